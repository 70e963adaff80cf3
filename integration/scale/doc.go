// Package scale holds no code: its tests move as many files as one likes, from
// a source that makes them up to a sink that checks each of them, with a
// worker that is killed on the way. They say what it cost in time, memory,
// history and disk:
//
//	go test ./integration/scale -run TestScale -files 10000000 -kills 2 -baseline 1000000 -v -timeout 2h
//
// Without flags it is a small number of files. GRIDFERRY_SOAK=1 makes it a
// million, and moves real files between real servers at full size.
package scale
