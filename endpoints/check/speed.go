package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

const (
	// leastMeasured is the shortest file that a rate is measured with, in bytes.
	leastMeasured = mib
	// tinyFile is the length of the files of which as many as possible are
	// written, in bytes, and mostTiny how many they are at most.
	tinyFile = 4096
	mostTiny = 500
	// telling is how much says something of more of it, in bytes, where it took
	// no second.
	telling = 16 * mib
	block   = mib // in which measuring reads and writes, in bytes
)

// A measure counts bytes until its time is over.
type measure struct {
	begun time.Time
	moved atomic.Int64
	first func() // called when bytes have come
}

func (m *measure) rate() float64 { return float64(m.moved.Load()) / time.Since(m.begun).Seconds() }

// measureReading reads the largest file that is there: with one session, then
// with several.
func (v *visit) measureReading() {
	many, slot, most := v.o.Sessions, v.o.Time/2, v.o.Bytes/2
	for _, sessions := range slices.Compact([]int{1, many}) {
		v.look("read speed, "+sessionsOf(sessions), slowly, func(ctx context.Context) answer {
			if v.large == nil || v.large.entry.Size < leastMeasured {
				return untried("there is no file of 1 MiB or more in the folder", "")
			}
			size := min(v.large.entry.Size, most)
			var pieces []piece
			for i := range sessions {
				n, at := int64(sessions), int64(i)
				pieces = append(pieces, piece{v.large.path, endpoints.Range{Off: size * at / n, End: size * (at + 1) / n}})
			}
			return v.readPieces(ctx, pieces, slot, nil)
		})
	}
}

// measureWriting writes files that grow until the time is over, reads them
// again, with one session and with several, and then writes small ones.
func (v *visit) measureWriting() {
	const shares = 5 // of the time: two to write, two to read, and one for small files
	many, slot, most := v.o.Sessions, v.o.Time/shares, v.o.Bytes/2
	data := noise(block)
	for _, sessions := range slices.Compact([]int{1, many}) {
		v.look("write speed, "+sessionsOf(sessions), slowly, func(ctx context.Context) answer { return v.writeGrowing(ctx, sessions, slot, most, data) })
		v.look("read speed, "+sessionsOf(sessions), slowly, func(ctx context.Context) answer {
			if len(v.measured) == 0 {
				return untried("no file was written to be read", "")
			}
			return v.readPieces(ctx, v.measured, slot, data)
		})
	}
	v.look("small files, "+sessionsOf(many), slowly, func(ctx context.Context) answer { return v.writeTiny(ctx, slot, data) })
}

const slowly = "the tasks here end later than they could, or do not"

func sessionsOf(n int) string {
	if n == 1 {
		return "1 session"
	}
	return fmt.Sprintf("%d sessions", n)
}

// piece is a range of a file to be read.
type piece struct {
	path string
	endpoints.Range
}

// speed is the answer of a look that has moved something.
func speed(m *measure, rate float64, more string) answer {
	if m.moved.Load() == 0 || rate <= 0 {
		return wrong("nothing moved in %s", span(time.Since(m.begun)))
	}
	a := works(transfer.FormatRate(rate)+more, "")
	if a.rate = rate; m.moved.Load() < telling && time.Since(m.begun) < time.Second {
		a.seen += ", most of which may be the beginning"
		return a
	}
	const tb = 1e12
	a.means = "1 TB takes about " + transfer.FormatDuration(time.Duration(tb/rate*float64(time.Second))) + " through one worker"
	return a
}

// readPieces reads all at once until they end or the time is over. Bytes that
// are not those of data, again and again, are another file's; nil knows nothing of them.
func (v *visit) readPieces(ctx context.Context, pieces []piece, slot time.Duration, data []byte) answer {
	// Logging in is not what is measured. What goes wrong here goes wrong below.
	_ = v.several(len(pieces), func(i int) error {
		_, err := v.readAll(ctx, pieces[i].path, pieces[i].Off, min(tinyFile, pieces[i].Len()))
		return err
	})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := &measure{begun: time.Now()}
	// Sessions that take long to come up make a server slow and not broken, so
	// the time runs from the first bytes on.
	var once sync.Once
	m.first = func() { once.Do(func() { time.AfterFunc(slot, cancel) }) }
	errs := make(chan error, len(pieces))
	for _, p := range pieces {
		go func() { errs <- v.readPiece(ctx, p, data, m) }()
	}
	var first error
	for range pieces {
		// What else goes wrong when the time is over is its end; other bytes are not.
		if err := <-errs; err != nil && first == nil && (ctx.Err() == nil || fault.Is(err, fault.Integrity)) {
			first = err
			cancel()
		}
	}
	if first != nil {
		return failed(first)
	}
	rate := m.rate()
	return speed(m, rate, fmt.Sprintf(", %s in %s", transfer.FormatBytes(m.moved.Load()), span(time.Since(m.begun))))
}

func (v *visit) readPiece(ctx context.Context, p piece, data []byte, m *measure) error {
	r, err := v.Open(ctx, p.path, p.Off, p.Len())
	if err != nil {
		return err
	}
	buf := make([]byte, block)
	for off := p.Off; off < p.End && err == nil; {
		var n int
		n, err = io.ReadFull(r, buf[:min(block-off%block, p.End-off)])
		if data != nil && !bytes.Equal(buf[:n], data[off%block:off%block+int64(n)]) {
			err = fault.New(fault.Integrity, "read", p.path, fmt.Sprintf("it has other bytes at %d than were written", off))
		}
		off += int64(n)
		m.moved.Add(int64(n))
		m.first()
		if err == nil {
			err = v.o.Pay(ctx, int64(n))
		}
	}
	if ctx.Err() == nil && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)) {
		err = fault.New(fault.Integrity, "read", p.path, "it ends before it should")
	}
	if closed := r.Close(); err == nil {
		err = closed
	}
	return err
}

// writeGrowing writes files, as many at once as there are sessions, longer ones
// each time, until the time or the bytes are used up. What counts is the last
// that was written whole: shorter ones are mostly round trips.
func (v *visit) writeGrowing(ctx context.Context, sessions int, slot time.Duration, most int64, data []byte) answer {
	v.measured = nil
	// Logging in is not what is measured.
	if err := v.several(sessions, func(i int) error { return v.put(ctx, fmt.Sprintf("first-%d-%d", sessions, i), data[:tinyFile]) }); err != nil {
		return failed(err)
	}
	begun, left := time.Now(), most
	var rate float64
	var m *measure
	size := int64(leastMeasured)
	for round := 0; ; round++ {
		var pieces []piece
		for i := range sessions {
			pieces = append(pieces, piece{v.in(fmt.Sprintf("speed-%d-%d-%d", sessions, round, i)), endpoints.Range{End: size}})
		}
		m = &measure{begun: time.Now()}
		// A line that becomes slow must not make a file of seconds one of hours.
		wctx, cancel := context.WithTimeout(ctx, max(2*slot, lookTime/4))
		err := v.several(sessions, func(i int) error { return v.writePiece(wctx, pieces[i], data, m) })
		late := wctx.Err() != nil
		cancel()
		took := time.Since(m.begun)
		switch {
		case err != nil && !late:
			return failed(err)
		case err != nil && rate > 0:
			return speed(m, rate, ", and slower later on")
		case err != nil:
			return speed(m, float64(m.moved.Load())/took.Seconds(), ", at which no file was written to its end in "+span(took))
		}
		v.measured, rate = pieces, float64(m.moved.Load())/took.Seconds()
		left -= size * int64(sessions)
		rest := slot - time.Since(begun)
		next := min(left/int64(sessions), max(2*size, int64(rate/float64(sessions)*rest.Seconds()))) / block * block
		if rest <= 0 || took > slot/2 || next < 2*size {
			return speed(m, rate, fmt.Sprintf(", %s in %s", transfer.FormatBytes(m.moved.Load()), span(took)))
		}
		size = next
	}
}

func (v *visit) writePiece(ctx context.Context, p piece, data []byte, m *measure) error {
	w, err := v.Create(ctx, p.path, endpoints.CreateOptions{Size: p.End})
	if err != nil {
		return err
	}
	for off := int64(0); off < p.End; off += block {
		part := data[:min(block, p.End-off)]
		if err = v.o.Pay(ctx, int64(len(part))); err == nil {
			_, err = w.Write(part)
		}
		if err != nil {
			_ = w.Abort() // the directory goes as a whole
			return err
		}
		m.moved.Add(int64(len(part)))
	}
	return w.Commit()
}

// writeTiny writes small files until the time is over.
func (v *visit) writeTiny(ctx context.Context, slot time.Duration, data []byte) answer {
	if err := v.Mkdir(ctx, v.in("small")); err != nil {
		return failed(err)
	}
	begun := time.Now()
	var n atomic.Int64
	err := v.several(mostTiny, func(i int) error {
		if i > 0 && time.Since(begun) > slot || ctx.Err() != nil { // one is tried however slow this worker is
			return nil
		}
		err := v.put(ctx, fmt.Sprintf("small/%03d", i), data[:tinyFile])
		if err == nil {
			n.Add(1)
		}
		return err
	})
	if err != nil {
		return failed(err)
	}
	took := time.Since(begun)
	if n.Load() == 0 {
		return wrong("none was written in %s", span(took))
	}
	rate := float64(n.Load()) / took.Seconds()
	a := works(fmt.Sprintf("%.0f files/s, %d of 4 KiB in %s", rate, n.Load(), span(took)), "a million of them take about "+transfer.FormatDuration(time.Duration(1e6/rate*float64(time.Second)))+" when they are relayed")
	a.rate = rate
	return a
}
