package activities

import (
	"context"
	"testing"
	"time"

	"github.com/gridferry/gridferry/endpoints"
)

// free is a ration that nobody waits for.
type free struct{ drawn []endpoints.Draw }

func (f *free) Take(_ context.Context, d endpoints.Draw) (time.Duration, error) {
	f.drawn = append(f.drawn, d)
	return 0, nil
}

// TestOwedBytesAreDrawnInParts: a large file that went whole is paid for so
// that others get their turn meanwhile.
func TestOwedBytesAreDrawnInParts(t *testing.T) {
	const rate, owed = 1_000_000, 25_000_000
	rations := &free{}
	at := &place{name: "lab#dtn", rec: endpoints.Record{Limits: endpoints.Limits{Rate: rate}}}
	if d := (&Data{Rations: rations}); !d.pay(t.Context(), at, owed, nil) {
		t.Fatal("not paid")
	}
	var sum int64
	for _, d := range rations.drawn {
		sum += d.N
		if d.Cost() > mostDrawn {
			t.Errorf("%d bytes at once, which take %s to grow back", d.N, d.Cost())
		}
	}
	if sum != owed {
		t.Errorf("%d bytes were drawn for %d", sum, owed)
	}
}
