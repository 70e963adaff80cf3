package access

import (
	"fmt"
	"testing"

	"github.com/gridferry/gridferry/transfer"
)

// TestActivationReleasesItsOwnersTasks has tasks of two users waiting at two
// organisations. One activation releases all of that user there, and nobody
// else's.
func TestActivationReleasesItsOwnersTasks(t *testing.T) {
	s := newSite(t)
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
