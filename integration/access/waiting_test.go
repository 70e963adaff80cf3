package access

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/transfer"
)

// TestActivationReleasesItsOwnersTasks has tasks of two users waiting at two
// organisations. One activation releases all of that user there, and nobody
// else's.
func TestActivationReleasesItsOwnersTasks(t *testing.T) {
	s := newSite(t, nil)
	fill(t, s.north, "run7")
	fill(t, s.south, "run8")
	var mine []transfer.TaskID
	for i := range 5 {
		mine = append(mine, s.submit(ada, "north#dtn:"+s.north.Path("run7")+"/", fmt.Sprintf("north#dtn:%s/", s.north.Path(fmt.Sprintf("ada-%d", i)))))
	}
	elsewhere := s.submit(ada, "south#dtn:"+s.south.Path("run8")+"/", "south#dtn:"+s.south.Path("ada")+"/")
	bobs := s.submit(bob, "north#dtn:"+s.north.Path("run7")+"/", "north#dtn:"+s.north.Path("bob")+"/")
	for _, id := range append(mine, elsewhere) {
		s.becomes(ada, id, transfer.Inactive)
	}
	s.becomes(bob, bobs, transfer.Inactive)

	s.good(s.as(ada, s.northCA.Proxy(s.northCA.User("Ada")), "endpoint", "activate", "north#dtn", "--delegate"))
	// Each was told, once and by name: none had to find out by itself.
	const told = `msg="a task that waited for a credential was told" owner=` + ada + ` domain=north#dtn task=`
	for _, id := range mine {
		if n := strings.Count(s.daemon.Log(), told+string(id)); n != 1 {
			t.Errorf("task %s was told %d times", id, n)
		}
	}
	if n := strings.Count(s.daemon.Log(), "was told"); n != len(mine) {
		t.Errorf("%d tasks were told, want %d", n, len(mine))
	}
	for i, id := range mine {
		s.becomes(ada, id, transfer.Succeeded)
		same(t, s.north.Path("run7"), s.north.Path(fmt.Sprintf("ada-%d", i)))
	}
	if task := s.task(ada, elsewhere); task.Status != transfer.Inactive {
		t.Errorf("the task at the other organisation is %s: %s", task.Status, task.Verdict)
	}
	if task := s.task(bob, bobs); task.Status != transfer.Inactive {
		t.Errorf("the other user's task is %s: %s", task.Status, task.Verdict)
	}

	s.good(s.as(bob, s.northCA.Proxy(s.northCA.User("Bob")), "endpoint", "activate", "north#dtn", "--delegate"))
	s.becomes(bob, bobs, transfer.Succeeded)
	if task := s.task(ada, elsewhere); task.Status != transfer.Inactive {
		t.Errorf("the task at the other organisation is %s: %s", task.Status, task.Verdict)
	}
}
