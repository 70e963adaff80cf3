// Package access shows how credentials get in: the command and the daemon as
// processes of different users and hosts, real GridFTP servers under two
// authorities, and tasks that wait for what their owner has not given yet.
package access
