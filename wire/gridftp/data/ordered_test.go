package data

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestOrderedPutsBlocksInOrder(t *testing.T) {
	var out bytes.Buffer
	o := NewOrdered(&out, 10, 100)
	for _, block := range []struct {
		off  int64
		text string
	}{{14, "ef"}, {12, "cd"}, {10, "ab"}, {16, "gh"}} {
		if _, err := o.WriteAt([]byte(block.text), block.off); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if out.String() != "abcdefgh" || o.Next() != 18 {
		t.Fatalf("got %q up to %d", out.String(), o.Next())
	}
}

func TestOrderedNamesTheGap(t *testing.T) {
	o := NewOrdered(&bytes.Buffer{}, 0, 100)
	if _, err := o.WriteAt([]byte("late"), 4); err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); !errors.Is(err, ErrTruncated) || !strings.Contains(err.Error(), "offset 0") {
		t.Fatalf("got %v", err)
	}
}

func TestOrderedRefusesBytesTwice(t *testing.T) {
	o := NewOrdered(&bytes.Buffer{}, 0, 100)
	if _, err := o.WriteAt([]byte("abc"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := o.WriteAt([]byte("b"), 1); err == nil {
		t.Fatal("accepted byte 1 a second time")
	}
}

func TestOrderedBoundsItsMemory(t *testing.T) {
	var out bytes.Buffer
	o := NewOrdered(&out, 0, 4)
	if _, err := o.WriteAt([]byte("cccc"), 8); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := o.WriteAt([]byte("bbbb"), 4) // beyond the limit: it waits
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("held more than its limit (%v)", err)
	case <-time.After(20 * time.Millisecond):
	}
	if _, err := o.WriteAt([]byte("aaaa"), 0); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil || out.String() != "aaaabbbbcccc" {
		t.Fatalf("got %q, %v", out.String(), err)
	}
}

func TestOrderedAbortWakesWaiters(t *testing.T) {
	o := NewOrdered(&bytes.Buffer{}, 0, 1)
	done := make(chan error)
	go func() {
		_, err := o.WriteAt([]byte("bb"), 4)
		done <- err
	}()
	o.Abort(ErrStalled)
	if err := <-done; !errors.Is(err, ErrStalled) {
		t.Fatalf("got %v", err)
	}
}
