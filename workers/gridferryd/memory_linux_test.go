package main

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestGuardMemory(t *testing.T) {
	if err := guardMemory(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) }) // or a crash of the next test leaves nothing
	if n, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); n != 0 || err != nil {
		t.Errorf("dumpable is %d, %v", n, err)
	}
}
