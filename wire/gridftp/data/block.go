package data

import (
	"encoding/binary"
	"io"
	"math"
)

// Flags are the bits of a block's descriptor (GFD.20, 3.4).
type Flags byte

// The descriptor bits. A block with EOF carries no data, and its offset is the
// number of EOD that the receiver is to expect, one from each connection used.
const (
	FlagClose   Flags = 0x04 // the sender closes this connection after the block
	FlagEOD     Flags = 0x08 // end of data on this connection
	FlagRestart Flags = 0x10 // the data is a restart marker
	FlagError   Flags = 0x20 // the sender suspects errors in the data
	FlagEOF     Flags = 0x40 // end of file
	FlagEOR     Flags = 0x80 // end of record
)

// HeaderSize is the size of a block header in bytes.
const HeaderSize = 17

// A Header precedes each block of extended block mode.
type Header struct {
	Flags  Flags
	Count  int64 // bytes of data that follow
	Offset int64 // where in the file they belong; with FlagEOF, how many EOD to expect
}

// Append appends the header's seventeen bytes.
func (h Header) Append(b []byte) []byte {
	b = append(b, byte(h.Flags))
	b = binary.BigEndian.AppendUint64(b, uint64(h.Count))
	return binary.BigEndian.AppendUint64(b, uint64(h.Offset))
}

// ParseHeader reads a header and checks what can be checked without knowing
// the transfer.
func ParseHeader(b [HeaderSize]byte) (Header, error) {
	count, offset := binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint64(b[9:])
	h := Header{Flags: Flags(b[0]), Count: int64(count), Offset: int64(offset)}
	switch {
	case count > math.MaxInt64 || offset > math.MaxInt64 || h.Offset > math.MaxInt64-h.Count:
		return h, &ProtocolError{h, "it lies beyond any file"}
	case h.Flags&FlagError != 0:
		return h, &ProtocolError{h, "the sender suspects errors in its data"}
	case h.Flags&FlagRestart != 0:
		return h, &ProtocolError{h, "restart markers within the data are not supported"}
	case h.Flags&FlagEOF != 0 && h.Count != 0:
		return h, &ProtocolError{h, "an end of file carries data"}
	case h.Flags&FlagEOF != 0 && h.Offset == 0:
		return h, &ProtocolError{h, "an end of file expects no end of data"}
	case h.Flags&^(FlagClose|FlagEOD|FlagEOF|FlagEOR) != 0:
		return h, &ProtocolError{h, "unknown descriptor bits"}
	}
	return h, nil
}

// ReadHeader reads one header. io.EOF means that the stream ended before it,
// io.ErrUnexpectedEOF within it.
func ReadHeader(r io.Reader) (Header, error) {
	var b [HeaderSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return Header{}, err
	}
	return ParseHeader(b)
}
