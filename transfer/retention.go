package transfer

import "time"

// How long what a task leaves behind is kept after its end, where a site says
// nothing else.
const (
	KeepManifests = 30 * 24 * time.Hour  // what the walk found: lists of files, directories and extras
	KeepLedgers   = 30 * 24 * time.Hour  // what each chunk did
	KeepResults   = 90 * 24 * time.Hour  // how each file ended
	KeepEvents    = 90 * 24 * time.Hour  // what happened
	KeepRecords   = 365 * 24 * time.Hour // that there was such a task
)
