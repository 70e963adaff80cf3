// Package ranges holds no code: its test copies one large file in ranges
// between two endpoints of two real GridFTP servers each, with two worker
// processes of which one is killed on the way. That several workers and
// several servers were at the one file at the same time, and how much was sent
// twice, is read from the servers' own logs.
package ranges
