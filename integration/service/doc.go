// Package service holds no code: its tests ask the service what people ask, on
// a real Temporal server, with real workers over storage in memory. They also
// run the scenarios of workflows/testdata, and with -update record their
// histories, which is done for a release, from what the release runs:
//
//	go test ./integration/service -update
package service
