package transfer

import (
	"testing"
	"time"

	"github.com/gridferry/gridferry/fault"
)

func TestAnswerTo(t *testing.T) {
	for _, tc := range []struct {
		name    string
		trouble Trouble
		want    Answer
	}{
		{"transient", Trouble{Kind: fault.Transient, Attempt: 1}, Answer{Action: Again, Delay: time.Second}},
		{"transient, third time", Trouble{Kind: fault.Transient, Attempt: 3}, Answer{Action: Again, Delay: 4 * time.Second}},
		{"transient, for days", Trouble{Kind: fault.Transient, Attempt: 1e6}, Answer{Action: Again, Delay: 5 * time.Minute}},
		{"transient, fail fast", Trouble{Kind: fault.Transient, Attempt: 9, OnError: OnErrorFail}, Answer{Action: Again, Delay: 256 * time.Second}},
		{"no attempt counted", Trouble{Kind: fault.Transient}, Answer{Action: Again, Delay: time.Second}},
		{"busy", Trouble{Kind: fault.Busy, Attempt: 7}, Answer{Action: Again, Delay: 5 * time.Second}},
		{"stopped", Trouble{Kind: fault.Canceled, Attempt: 1}, Answer{Action: Again}},
		{"credential", Trouble{Kind: fault.Credential, Attempt: 100}, Answer{Action: Suspend}},
		{"full", Trouble{Kind: fault.NoSpace, Attempt: 1}, Answer{Action: Wait, Delay: time.Minute}},
		{"full for long", Trouble{Kind: fault.NoSpace, Attempt: 50}, Answer{Action: Wait, Delay: 15 * time.Minute}},
		{"our own store is full", Trouble{Kind: fault.NoSpace, Attempt: 9, OwnStore: true, FailOnFull: true}, Answer{Action: Wait, Delay: time.Minute}},
		{"full is a failure", Trouble{Kind: fault.NoSpace, Attempt: 1, FailOnFull: true}, Answer{Action: FailNow}},
		{"invalid", Trouble{Kind: fault.Invalid, Attempt: 1, OnError: OnErrorSkip}, Answer{Action: FailNow}},
		{"not found", Trouble{Kind: fault.NotFound, Attempt: 1}, Answer{Action: Again, Delay: 5 * time.Second, Last: true}},
		{"not found, fourth time", Trouble{Kind: fault.NotFound, Attempt: 4}, Answer{Action: Again, Delay: 40 * time.Second, Last: true}},
		{"not found, rule by name", Trouble{Kind: fault.NotFound, Attempt: 1, OnError: "retry"}, Answer{Action: Again, Delay: 5 * time.Second, Last: true}},
		{"not found, fifth time", Trouble{Kind: fault.NotFound, Attempt: 5}, Answer{Action: FailLater}},
		{"not found, skipped", Trouble{Kind: fault.NotFound, Attempt: 1, OnError: OnErrorSkip}, Answer{Action: SkipFile}},
		{"not found, fail fast", Trouble{Kind: fault.NotFound, Attempt: 1, OnError: OnErrorFail}, Answer{Action: FailNow}},
		{"permission at the destination", Trouble{Kind: fault.Permission, Attempt: 2}, Answer{Action: Again, Delay: 10 * time.Second, Last: true}},
		{"exists", Trouble{Kind: fault.Exists, Attempt: 5}, Answer{Action: FailLater}},
		{"unsupported, of a step", Trouble{Kind: fault.Unsupported, Attempt: 1}, Answer{Action: Again, Delay: 5 * time.Second, Last: true}},
		{"unsupported, of a file", Trouble{Kind: fault.Unsupported, OfFile: true, Attempt: 1}, Answer{Action: FailLater}},
		{"unsupported, of a file, fail fast", Trouble{Kind: fault.Unsupported, OfFile: true, OnError: OnErrorFail}, Answer{Action: FailNow}},
		{"not found, of a file", Trouble{Kind: fault.NotFound, OfFile: true, Attempt: 1}, Answer{Action: Again, Delay: 5 * time.Second, Last: true}},
		{"unsupported, skipped", Trouble{Kind: fault.Unsupported, Attempt: 1, OnError: OnErrorSkip}, Answer{Action: SkipFile}},
		{"integrity", Trouble{Kind: fault.Integrity, Attempt: 1, OnError: OnErrorFail}, Answer{Action: Again}},
		{"integrity, third copy", Trouble{Kind: fault.Integrity, Attempt: 3}, Answer{Action: Again}},
		{"integrity, after three more copies", Trouble{Kind: fault.Integrity, Attempt: 4}, Answer{Action: FailLater}},
		{"integrity, fail fast", Trouble{Kind: fault.Integrity, Attempt: 4, OnError: OnErrorFail}, Answer{Action: FailNow}},
		{"internal", Trouble{Kind: fault.Internal, Attempt: 9}, Answer{Action: Again, Delay: 256 * time.Second}},
		{"internal, tenth time", Trouble{Kind: fault.Internal, Attempt: 10}, Answer{Action: FailNow}},
		{"a kind of a later version", Trouble{Kind: "Odd", Attempt: 10}, Answer{Action: FailNow}},
	} {
		if got := AnswerTo(tc.trouble); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}
