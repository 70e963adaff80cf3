// Package temporalcli holds no code: its test runs the commands that README.md
// prints for the stock temporal command, as they are printed, and a few that
// must go wrong.
package temporalcli
