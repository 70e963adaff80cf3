package chaos

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/gridferry/gridferry/transfer"
)

// A watch recognises from outside what a transfer is at: by what Temporal has
// under way, and by what the servers say they were told.
type watch struct {
	*site
	id transfer.TaskID

	asked     time.Time
	described *workflowservice.DescribeWorkflowExecutionResponse // nil: Temporal does not answer
	runs      map[string]time.Time                               // when each was first seen
	finishing bool                                               // the end has been begun in this run or an earlier one
	heard     map[string]int                                     // commands by verb, when last asked for
	hasty     bool                                               // Temporal is asked every 5 ms
}

// look brings everything up to date, what Temporal says every 20 ms.
func (w *watch) look() {
	for _, e := range w.ends {
		e.log.update()
	}
	if since := time.Since(w.asked); since < 20*time.Millisecond && !(w.hasty && since >= 5*time.Millisecond) {
		return
	}
	w.asked = time.Now()
	ctx, cancel := context.WithTimeout(w.t.Context(), 300*time.Millisecond)
	defer cancel()
	d, err := w.client.DescribeWorkflowExecution(ctx, string(w.id), "")
	if w.described = d; err != nil {
		w.described = nil
		return
	}
	if run := d.GetWorkflowExecutionInfo().GetExecution().GetRunId(); w.runs[run].IsZero() {
		w.runs[run] = time.Now()
	}
	if w.pending("Finish") != "" {
		w.finishing = true
	}
}

func (w *watch) status() enumspb.WorkflowExecutionStatus {
	return w.described.GetWorkflowExecutionInfo().GetStatus()
}

// ended says that the task has.
func (w *watch) ended() bool {
	return w.described != nil && w.status() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING && w.status() != enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW
}

// pending names the worker that is at an activity of a type, as Temporal sees it.
func (w *watch) pending(activity string) string {
	for _, a := range w.described.GetPendingActivities() {
		if a.GetActivityType().GetName() == activity && a.GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED {
			return a.GetLastWorkerIdentity()
		}
	}
	return ""
}

// atWork names the workers that are at anything.
func (w *watch) atWork() map[string]bool {
	who := make(map[string]bool)
	for _, a := range w.described.GetPendingActivities() {
		if a.GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED {
			who[a.GetLastWorkerIdentity()] = true
		}
	}
	return who
}

// in looks for a phase. The evidence is empty when the transfer is not in it.
func (w *watch) in(p phase) (evidence string) {
	w.look()
	switch p {
	case walking:
		if w.pending("WalkStep") != "" {
			return "the walk is under way"
		}
	case copying:
		return w.said("ERET", "RETR", "ESTO", "STOR")
	case verifying:
		return w.said("CKSM")
	case renaming:
		return w.said("RNFR", "RNTO")
	case continuing:
		info := w.described.GetWorkflowExecutionInfo()
		if w.described == nil || w.ended() || w.finishing {
			return ""
		}
		if n := info.GetHistoryLength(); n >= suggest {
			return fmt.Sprintf("the history has %d events, and the server has asked for a new run", n)
		}
		if began := w.runs[info.GetExecution().GetRunId()]; len(w.runs) > 1 && time.Since(began) < 200*time.Millisecond {
			return fmt.Sprintf("run %d has just begun", len(w.runs))
		}
	case recording:
		if w.described == nil || w.ended() || !w.finishing {
			return ""
		}
		if len(w.described.GetPendingActivities()) == 0 {
			return "the end was seen to, and the record is not there yet"
		}
		if w.pending("Finish") != "" {
			return "Finish is under way"
		}
	}
	return ""
}

// said looks for a command that a server is at, or has got since the last look.
func (w *watch) said(verbs ...string) (evidence string) {
	for _, verb := range verbs {
		for i, e := range w.ends {
			name := fmt.Sprint(verb, i)
			n := e.log.count[verb]
			if n > w.heard[name] && evidence == "" {
				evidence = fmt.Sprintf("just now %s at the %s, the %dth", verb, endName(i), n)
			}
			w.heard[name] = n
			if command := e.log.under(verb); command != "" {
				evidence = "unanswered: " + command
			}
		}
	}
	return evidence
}

// sessions follows a server's account of what its clients say.
type sessions struct {
	read func(from int64) string
	at   int64
	rest string // of a line

	count map[string]int    // commands by verb
	open  map[string]string // by session: the last command, while it has no final reply
	modeS map[string]bool   // sessions in stream mode
	sent  map[string]bool   // paths that were sent or received in stream mode
}

// update reads what is new.
func (s *sessions) update() {
	more := s.read(s.at)
	s.at += int64(len(more))
	text := s.rest + more
	for {
		line, rest, whole := strings.Cut(text, "\n")
		if !whole {
			s.rest = line
			return
		}
		text = rest
		s.line(line)
	}
}

// line takes in a command or a reply of the Globus server,
// "[555] Sat Nov 21 02:58:05 2026 :: localhost:52524: [CLIENT]: CKSM MD5 0 -1 /b",
// or a command of ours, which is logged once it was carried out.
func (s *sessions) line(line string) {
	session, _, _ := strings.Cut(line, " ")
	if _, command, ok := strings.Cut(line, ": [CLIENT]: "); ok {
		verb, rest, _ := strings.Cut(strings.TrimSpace(command), " ")
		s.count[verb]++
		s.open[session] = command
		s.mode(session, verb, rest)
	} else if _, reply, ok := strings.Cut(line, ": [SERVER]: "); ok && !strings.HasPrefix(reply, "1") { // preliminary, RFC 959, 4.2.1
		delete(s.open, session)
	} else if m := ourCommand.FindStringSubmatch(line); m != nil {
		s.count[m[1]]++
	}
}

var ourCommand = regexp.MustCompile(`msg=command .*command="?([A-Z]+)`)

// mode notes which files went in stream mode, which cannot be resumed.
func (s *sessions) mode(session, verb, arg string) {
	if s.modeS == nil {
		s.modeS, s.sent = make(map[string]bool), make(map[string]bool)
	}
	switch verb {
	case "MODE":
		s.modeS[session] = arg == "S"
	case "RETR", "STOR", "ERET", "ESTO":
		if s.modeS[session] {
			s.sent[arg] = true
		}
	}
}

// under returns a command of a verb that the server is at.
func (s *sessions) under(verb string) string {
	for _, command := range s.open {
		if strings.HasPrefix(command, verb+" ") {
			return command
		}
	}
	return ""
}
