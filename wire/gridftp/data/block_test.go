package data

import (
	"bytes"
	"errors"
	"io"
	"math"
	"testing"
)

func TestHeaderIsWhatTheGlobusServerSends(t *testing.T) {
	// The end of a file sent over four connections, as globus-gridftp-server ends it.
	got := Header{Flags: FlagEOF | FlagEOD, Offset: 4}.Append(nil)
	want := append([]byte{0x48}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4)
	if !bytes.Equal(got, want) {
		t.Fatalf("got % x, want % x", got, want)
	}
}

func TestReadHeaderRefuses(t *testing.T) {
	for name, h := range map[string]Header{
		"negative count":   {Count: -1},
		"negative offset":  {Offset: -1, Count: 1},
		"beyond any file":  {Offset: math.MaxInt64, Count: 1},
		"suspected errors": {Flags: FlagError, Count: 1},
		"restart marker":   {Flags: FlagRestart, Count: 1},
		"EOF with data":    {Flags: FlagEOF, Count: 1, Offset: 1},
		"EOF without EOD":  {Flags: FlagEOF | FlagEOD},
		"unknown bits":     {Flags: 0x01},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadHeader(bytes.NewReader(h.Append(nil)))
			var protocol *ProtocolError
			if !errors.As(err, &protocol) {
				t.Fatalf("got %v, want a ProtocolError", err)
			}
		})
	}
	if _, err := ReadHeader(bytes.NewReader(nil)); err != io.EOF {
		t.Errorf("nothing to read: got %v, want io.EOF", err)
	}
	if _, err := ReadHeader(bytes.NewReader(make([]byte, HeaderSize-1))); err != io.ErrUnexpectedEOF {
		t.Errorf("a part of a header: got %v, want io.ErrUnexpectedEOF", err)
	}
}

func FuzzReadHeader(f *testing.F) {
	f.Add(Header{Count: 10, Offset: 5}.Append(nil))
	f.Add(Header{Flags: FlagEOF | FlagEOD | FlagClose, Offset: 4}.Append(nil))
	f.Add([]byte{0x08})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ReadHeader(bytes.NewReader(b))
		if err != nil {
			return
		}
		if h.Count < 0 || h.Offset < 0 || h.Offset+h.Count < 0 {
			t.Fatalf("accepted %+v", h)
		}
		if got := h.Append(nil); !bytes.Equal(got, b[:HeaderSize]) {
			t.Fatalf("% x was read as %+v, which is % x", b[:HeaderSize], h, got)
		}
	})
}
