//go:build race

package scale

// raceEnabled: the race detector multiplies a process's memory.
const raceEnabled = true
