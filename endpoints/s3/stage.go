package s3

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// Objects of the classes for archives cannot be read: RestoreObject asks for a
// copy that can, for some days, and it comes after minutes or hours. HEAD tells
// how far that is, in x-amz-restore. See "Working with archived objects" in
// Amazon's user guide.

var _ endpoints.Stager = (*Storage)(nil)

// restoreOff, as the tier, leaves archived files where they are: to read one
// is refused, and nobody pays for bringing it back.
const restoreOff = "off"

// archived says that an object cannot be read before it is restored.
// status is of objects that "intelligent tiering" has archived, which listings
// do not tell.
func archived(class types.StorageClass, status types.ArchiveStatus, restore string) bool {
	switch {
	case class != types.StorageClassGlacier && class != types.StorageClassDeepArchive && status == "":
		return false
	case restore == "":
		return true
	}
	return restoring(restore)
}

// restoring says that a copy was asked for, and has not come.
func restoring(restore string) bool { return strings.Contains(restore, `ongoing-request="true"`) }

// offline is archived, as an entry says it: where nothing is restored, archived
// files are like others that cannot be read.
func (s *Storage) offline(class types.StorageClass, status types.ArchiveStatus, restore *string) bool {
	return s.opts.restores() && archived(class, status, aws.ToString(restore))
}

// StageLimit implements endpoints.Stager: copies cost, and are not fewer.
func (s *Storage) StageLimit() int { return 0 }

// StageRequest implements endpoints.Stager.
func (s *Storage) StageRequest(ctx context.Context, paths []string) ([]endpoints.Staged, error) {
	return s.stage(ctx, "restore", paths, true)
}

// StagePoll implements endpoints.Stager.
func (s *Storage) StagePoll(ctx context.Context, paths []string) ([]endpoints.Staged, error) {
	return s.stage(ctx, "look for the restored copy of", paths, false)
}

// StageRelease implements endpoints.Stager. Copies go by themselves, after the
// days that they were asked for.
func (s *Storage) StageRelease(context.Context, []string) error { return nil }

func (s *Storage) stage(ctx context.Context, op string, paths []string, ask bool) ([]endpoints.Staged, error) {
	out := make([]endpoints.Staged, len(paths))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var first error
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(headsAtOnce, len(paths)) {
		wg.Go(func() {
			for i := range next {
				st, err := s.stageOne(ctx, op, paths[i], ask)
				if err != nil {
					mu.Lock()
					if first == nil {
						first = err
						cancel()
					}
					mu.Unlock()
				}
				out[i] = st
			}
		})
	}
	for i := range paths {
		next <- i // they all answer soon once ctx has ended
	}
	close(next)
	wg.Wait()
	return out, first
}

func (s *Storage) stageOne(ctx context.Context, op, p string, ask bool) (endpoints.Staged, error) {
	ctx, o, leave, err := s.enter(ctx, op, p)
	if err != nil {
		return ofOne(err)
	}
	defer leave()
	h, err := s.head(ctx, o, o.key)
	if err != nil {
		return ofOne(s.failed(ctx, op, p, err))
	}
	restore := aws.ToString(h.Restore)
	switch {
	case !archived(h.StorageClass, h.ArchiveStatus, restore):
		return endpoints.Staged{State: endpoints.StageOnline}, nil
	case restoring(restore):
		return endpoints.Staged{State: endpoints.StageComing}, nil
	case !ask:
		return endpoints.Staged{State: endpoints.StageOffline}, nil
	case !s.opts.restores():
		return refused(&fault.Error{Kind: fault.Unsupported, Op: op, Path: p, Err: errors.New("the file is archived"), Hint: "options." + optionRestoreTier + " of the endpoint is off"})
	}
	in := &types.RestoreRequest{GlacierJobParameters: &types.GlacierJobParameters{Tier: s.opts.tier}}
	if h.StorageClass != types.StorageClassIntelligentTiering { // there it moves, and stays
		in.Days = &s.opts.restoreDays
	}
	_, err = s.client.RestoreObject(ctx, &s3.RestoreObjectInput{Bucket: &o.bucket, Key: &o.key, RestoreRequest: in, RequestPayer: s.opts.payer})
	switch {
	case err == nil || hasCode(err, "RestoreAlreadyInProgress"):
		return endpoints.Staged{State: endpoints.StageComing}, nil
	case hasCode(err, "InvalidObjectState"): // it has left the archive since we looked
		return endpoints.Staged{State: endpoints.StageComing}, nil
	case hasCode(err, "MethodNotAllowed", "NotImplemented"):
		return refused(&fault.Error{Kind: fault.Unsupported, Op: op, Path: p, Err: answerOf(err), Hint: "the store keeps files in an archive class and restores none: its operator has to"})
	}
	if a := answerOf(err); a != nil && a.status == http.StatusBadRequest {
		return refused(&fault.Error{Kind: fault.Unsupported, Op: op, Path: p, Err: a, Hint: "check options." + optionRestoreTier + " of the endpoint: not every class has every tier"})
	}
	return ofOne(s.failed(ctx, op, p, err))
}

func refused(err error) (endpoints.Staged, error) {
	return endpoints.Staged{State: endpoints.StageRefused, Err: err}, nil
}

// ofOne tells what is wrong with one file from what is wrong with all.
func ofOne(err error) (endpoints.Staged, error) {
	if k := fault.KindOf(err); slices.Contains([]fault.Kind{fault.NotFound, fault.Permission, fault.Unsupported, fault.Invalid}, k) {
		return refused(err)
	}
	return endpoints.Staged{}, err
}
