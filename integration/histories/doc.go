// Package histories holds no code: its test runs the scenarios of
// workflows/testdata against a real Temporal server, with real activities over
// storage in memory. With -update it records their histories, which is done
// for a release, from what the release runs:
//
//	go test ./integration/histories -update
package histories
