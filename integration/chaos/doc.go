// Package chaos holds no code: its test draws, from a seed, a tree of files, a
// route and a series of misfortunes, and has a transfer go through them.
// Workers and servers are killed and stopped, connections cut, stalled and
// black-holed, Temporal is killed, a disk fills up, directories become
// forbidden, a worker's clock jumps by ten minutes, the source changes. Each is
// meant for a phase of the transfer, which is recognised from outside before it
// strikes. In the end every byte and every count is compared, and what was sent
// twice is counted in the servers' own logs.
//
// An ordinary run has three small seeds; `make chaos` has thirty.
package chaos
