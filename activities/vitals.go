package activities

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/gridferry/gridferry/fault"
)

// vitals go with the heartbeats of a step that keeps no ledger, so that who does
// it again knows of attempts that ended without a word. They are a hint: what is
// said in the last second or two before a kill may be lost.
type vitals struct {
	Worker string `json:"w,omitempty"` // Data.Identity
	Lost   int64  `json:"l,omitempty"` // attempts before this one that ended so, and of which nobody has heard
	Over   bool   `json:"o,omitempty"` // this one says itself that the step is to be done again
}

// vitals begins an attempt at a step, whose work is what. The attempts that were
// lost before it are a fault.
func (d *Data) vitals(ctx context.Context, what string) (vitals, faultList) {
	own := vitals{Worker: d.Identity}
	var last vitals
	if !activity.IsActivity(ctx) || !activity.HasHeartbeatDetails(ctx) || activity.GetHeartbeatDetails(ctx, &last) != nil || last.Worker == "" {
		return own, nil
	}
	own.Lost = last.Lost
	if !last.Over {
		own.Lost++
	}
	if own.Lost == 0 {
		return own, nil
	}
	f := toFault(fault.New(fault.Transient, "", "", fmt.Sprintf("the worker %s stopped without a last word while it %s: that is done again", last.Worker, what)), "", time.Now().UTC())
	f.Count = own.Lost
	return own, faultList{f}
}

// ends notes that the attempt ends with an error after which Temporal has the
// step done again. Nothing else may be beating any more.
func (v vitals) ends(ctx context.Context, err error) {
	if fault.Is(err, fault.Busy) && activity.IsActivity(ctx) {
		v.Over = true
		activity.RecordHeartbeat(ctx, v)
	}
}
