// Package durability holds no code: its tests take a transfer between real
// GridFTP servers through what it is meant to survive. Worker processes are
// killed, frozen and drained, Temporal is killed, bytes are damaged, files
// refused and data channels blocked; then both trees are compared, and what was
// sent twice is counted in the servers' own logs.
//
// GRIDFERRY_SOAK=1 makes the trees as large as the bars ask; an ordinary run
// moves smaller ones.
package durability
