// Package bench compares gridferry with its peers on this machine: two Globus
// GridFTP servers and an SSH server in front of the same trees, an embedded
// Temporal, a gridferryd, and the command gridferry bench between them. Its
// test sees that the comparison works and asserts nothing about time; `make
// bench` runs it for its figures.
package bench
