package renewal

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/transfer"
)

// TestRenewedTwice: a mail for each suspension goes to a real mail server.
func TestRenewedTwice(t *testing.T) {
	t.Parallel() // most of it is waiting
	m := newMailbox(t)
	renewTwice(t, fmt.Sprintf("smtp: {server: %q, tls: none}", m.address), m.mails, func(*site) {})
}

// TestKilledWhileSuspended kills the daemon in each suspension; mail goes to
// the double of SendGrid.
func TestKilledWhileSuspended(t *testing.T) {
	t.Parallel()
	g := newSendGrid(t)
	key := filepath.Join(t.TempDir(), "key")
	must(t, os.WriteFile(key, []byte("SG.key\n"), 0o600))
	starts := 1
	renewTwice(t, fmt.Sprintf("sendgrid: {url: %q, key_file: %q}", g.URL, key), g.mails, func(s *site) {
		s.daemon.Restart()
		starts++
		s.serves(starts)
	})
}

// renewTwice has one task outlive two proxies. While it is suspended something
// happens.
func renewTwice(t *testing.T, notify string, mails func() int, happens func(*site)) {
	s := newSite(t, notify)
	end := s.activate()
	id := s.submit()
	for n := 1; n <= 2; n++ {
		task := s.becomes(id, 3*proxyLife(), transfer.Inactive)
		if late := time.Since(end); late > 5*time.Second {
			t.Errorf("suspension %d: %s after the end of the proxy", n, late)
		}
		t.Logf("suspension %d, %s before the end of the proxy: %s; %d of %d files, %d faults", n,
			time.Until(end).Round(time.Second), task.Verdict, task.Progress.FilesDone, task.Progress.Files, task.Progress.Faults)
		harness.Eventually(t, time.Minute, func() error {
			if got := mails(); got != n {
				return fmt.Errorf("%d mails", got)
			}
			return nil
		})
		done, counted := s.arrived(), int(task.Progress.FilesDone)
		// Whatever the servers would still allow: after the end of the proxy
		// nobody tells them anything.
		until(t.Context(), end)
		told := s.commands()
		happens(s)
		until(t.Context(), end.Add(5*time.Second))
		if got := s.commands(); got != told {
			t.Errorf("suspension %d: %d commands after the end of the proxy", n, got-told)
		}
		if now, err := s.service.Task(t.Context(), id); err != nil || now.Status != transfer.Inactive {
			t.Fatalf("it did not wait: %+v, %v", now, err)
		}
		end = s.activate()
		given := time.Now()
		s.becomes(id, 30*time.Second, transfer.Active)
		t.Logf("it went on %s after the activation", time.Since(given).Round(100*time.Millisecond))
		defer func() {
			var again []string
			for name, times := range s.arrived() {
				if before, ok := done[name]; ok && times != before {
					again = append(again, name)
				}
			}
			// What arrived while the sessions were closed was not finished yet.
			if len(again) > len(done)-counted {
				t.Errorf("suspension %d: %d files were finished and %d had arrived, and these were sent again: %q", n, counted, len(done), again)
			}
			t.Logf("suspension %d: %d files had been finished", n, counted)
		}()
	}
	for {
		// However long the rest takes on this machine.
		task, err := s.service.Task(t.Context(), id)
		must(t, err)
		if task.Status == transfer.Succeeded {
			break
		}
		if task.Status == transfer.Failed {
			t.Fatalf("the task failed: %+v", task)
		}
		if time.Until(end) < 2*proxyLife()/3 {
			end = s.activate() // ahead of time, as a script would: nothing is begun in the last half minute
		}
		until(t.Context(), time.Now().Add(time.Second))
	}
	s.same()
	if inactive, active := s.events(id, transfer.EventInactive), s.events(id, transfer.EventActivated); inactive != 2 || active != 2 || mails() != 2 {
		t.Errorf("%d suspensions, %d ends of them, %d mails", inactive, active, mails())
	}
	// A kill or a yield costs what was under way, and no more: of a large file
	// at most what its parts risk.
	size := treeSpec().Large[0]
	if sent := s.sentOfLarge(size); sent > size+64*mib {
		t.Errorf("%d bytes of the large file were sent, which has %d", sent, size)
	}
}
