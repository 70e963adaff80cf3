package endpoints

import (
	"context"
	"errors"
)

// Stager is a storage that keeps files where they cannot be read, on tape or
// in a class of storage for archives, and brings them online when it is asked
// to. That takes from seconds to days.
//
// Each call is about some hundreds of files at most and answers for each of
// them, in their order; its own error is about none of them. All of it may be
// said again at any time, by whomever: what was asked for is asked for once.
type Stager interface {
	// StageRequest asks for files to be brought online, and says where each
	// stands: never Offline.
	StageRequest(ctx context.Context, paths []string) ([]Staged, error)

	// StagePoll says where files stand that were asked for.
	StagePoll(ctx context.Context, paths []string) ([]Staged, error)

	// StageRelease says that files are not needed online any more, whether
	// they have come or not.
	StageRelease(ctx context.Context, paths []string) error

	// StageLimit is how many files may be asked for and not yet released; 0 is
	// any number.
	StageLimit() int
}

// StageState is where a file stands between an archive and who reads it.
type StageState string

// The states.
const (
	StageOnline  StageState = "online"  // it can be read
	StageComing  StageState = "coming"  // it was asked for
	StageOffline StageState = "offline" // it has to be asked for (again)
	StageRefused StageState = "refused" // it will not come, and Err says why
)

// Staged is where one file stands.
type Staged struct {
	State StageState
	Err   error // of one that is refused: a *fault.Error of one name
}

// ErrOffline is the cause of an error, of the kind Unsupported, of whoever
// reads a file that a Stager has to bring online first.
var ErrOffline = errors.New("the file is in the archive")
