// Package matrix_test copies a tree of all sorts of files from every kind of
// storage to every kind, through a real daemon and servers that others wrote,
// and compares it on the servers' disks, past all drivers.
package matrix_test
