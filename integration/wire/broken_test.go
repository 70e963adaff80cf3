package wire_test

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
)

// A Globus server whose control connection breaks while a part arrives may
// write a block to where the part begins. What lies outside the part is never
// touched, whenever that happens.
func TestBrokenPart(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	const mib = 1 << 20
	before := content(1, 6*mib)
	write(t, s, "f", before)
	part, other := gridftp.Range{Off: 2 * mib, End: 6 * mib}, content(2, 4*mib)
	broken := 0
	for n := range 60 {
		ctx, cancel := context.WithCancel(bounded(t))
		c := w.dial(s)
		out, err := c.Create(ctx, s.Path("f"), &part, part.Len(), gridftp.TransferOptions{})
		must(t, err)
		stop := time.AfterFunc(time.Duration(n%40)*time.Millisecond, cancel)
		for off := 0; off < len(other) && err == nil; off += mib {
			_, err = out.Write(other[off : off+mib])
		}
		if err == nil {
			err = out.Commit()
		}
		if err != nil {
			broken++
			must(t, out.Abort())
		}
		stop.Stop()
		cancel()
		must(t, c.Close())
		got, err := os.ReadFile(s.Path("f"))
		must(t, err)
		if len(got) != len(before) || !bytes.Equal(got[:part.Off], before[:part.Off]) {
			t.Fatalf("breaking off the part %v the %dth time changed what is before it", part, n+1)
		}
	}
	t.Logf("%d of 60 parts were broken off", broken)
	if broken == 0 {
		t.Error("none of the parts was broken off")
	}
}
