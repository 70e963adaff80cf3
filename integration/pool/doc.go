// Package pool holds tests of endpoints with several servers, with limits and
// under maintenance, against real GridFTP servers: what happened is read from
// the servers' own logs.
package pool
