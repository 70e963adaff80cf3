// Package mover holds no code: its tests have workers that hold no store move
// the data - the worker inside a command, which reaches the files of whoever
// typed it, and a daemon on another host. Around them run a real daemon with
// the store, Temporal, and GridFTP servers that others wrote.
package mover
