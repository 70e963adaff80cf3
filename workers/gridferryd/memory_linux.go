package main

import "golang.org/x/sys/unix"

// guardMemory keeps this process out of core dumps and from being traced by
// others of the same user (prctl(2), PR_SET_DUMPABLE): pass phrases and the keys
// that seal credentials stay in its memory longer than they are needed, in
// buffers that are not ours to clear. A limit on core files would not hold
// where the kernel hands them to a program.
func guardMemory() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
