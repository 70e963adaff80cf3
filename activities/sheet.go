package activities

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"github.com/gridferry/gridferry/blob"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// fileLine is a file without the methods that make JSON of it, which cost
// several times what they add: its names are packed by hand.
type fileLine transfer.File

// putFiles stores the files of a sheet.
func putFiles(ctx context.Context, s blob.Store, key string, files []transfer.File) error {
	data, err := compress(func(w io.Writer) error {
		var line []byte
		for i := range files {
			var err error
			if line, err = appendFile(line[:0], &files[i]); err != nil {
				return fault.Wrap(fault.Internal, "encode", "", err)
			}
			if _, err := w.Write(line); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.Put(ctx, key, data)
}

// getFiles returns the files that putFiles has stored, of which there are
// about n.
func getFiles(ctx context.Context, s blob.Store, key string, n int64) ([]transfer.File, error) {
	data, err := s.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	z, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxUnpacked))
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "decompress", "", err)
	}
	defer z.Close()
	files := make([]transfer.File, 0, min(max(n, 0), transfer.SegmentLimit))
	lines := bufio.NewReaderSize(io.LimitReader(z, maxUnpacked), 64<<10)
	var long []byte // the beginning of a line that is longer than the buffer
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, line...)
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fault.Wrap(fault.Internal, "decode", "", err)
		}
		if len(long) > 0 {
			line = append(long, line...)
			long = long[:0]
		}
		if len(bytes.TrimSpace(line)) > 0 {
			f, parseErr := parseFile(line)
			if parseErr != nil {
				return nil, fault.Wrap(fault.Internal, "decode", "", parseErr)
			}
			files = append(files, f)
		}
		if err != nil {
			return files, nil
		}
	}
}

// Nearly all lines of a sheet have two names of plain characters, a size, and
// perhaps a time and a mode. Those are written and read without encoding/json,
// which took a tenth of all that a worker spends on a file of a few bytes.
// What is written is the same, byte for byte, and so is what is read: whatever
// looks otherwise goes the long way.
const (
	sourceKey = `{"s":"`
	destKey   = `","d":"`
	sizeKey   = `","n":`
	timeKey   = `,"m":"`
	modeKey   = `,"p":`
)

// appendFile appends a file's line.
func appendFile(b []byte, f *transfer.File) ([]byte, error) {
	if line, ok := appendPlain(b, f); ok {
		return line, nil
	}
	line := fileLine(*f)
	line.Source, line.Dest, line.Link, line.Same = transfer.PackName(f.Source), transfer.PackName(f.Dest), transfer.PackName(f.Link), transfer.PackName(f.Same)
	out := bytes.NewBuffer(b)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(&line)
	return out.Bytes(), err
}

// appendPlain is appendFile without encoding/json. It is false for a file that
// has more, or other names, than parsePlain reads.
func appendPlain(b []byte, f *transfer.File) (line []byte, ok bool) {
	if f.Link != "" || f.Inode != "" || f.Same != "" || f.Exists || f.Check || !plain(f.Source) || !plain(f.Dest) {
		return nil, false
	}
	b = append(append(b, sourceKey...), f.Source...)
	b = append(append(b, destKey...), f.Dest...)
	b = strconv.AppendInt(append(b, sizeKey...), f.Size, 10)
	if !f.ModTime.IsZero() {
		var err error
		if b, err = f.ModTime.AppendText(append(b, timeKey...)); err != nil {
			return nil, false
		}
		b = append(b, '"')
	}
	if f.Mode != 0 {
		b = strconv.AppendUint(append(b, modeKey...), uint64(f.Mode), 10)
	}
	return append(b, "}\n"...), true
}

// plain says that a name is the same in JSON, whoever writes it.
func plain(name string) bool {
	for i := range len(name) {
		if c := name[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// parseFile is what appendFile has made a line of.
func parseFile(line []byte) (transfer.File, error) {
	if f, ok := parsePlain(line); ok {
		return f, nil
	}
	var f fileLine
	if err := json.Unmarshal(line, &f); err != nil {
		return transfer.File{}, err
	}
	f.Source, f.Dest, f.Link, f.Same = transfer.UnpackName(f.Source), transfer.UnpackName(f.Dest), transfer.UnpackName(f.Link), transfer.UnpackName(f.Same)
	return transfer.File(f), nil
}

// parsePlain reads a line as appendFile writes it without encoding/json. It is
// false for every other one.
func parsePlain(line []byte) (f transfer.File, ok bool) {
	line, ok = bytes.CutPrefix(line, []byte(sourceKey))
	if !ok {
		return f, false
	}
	source, line, ok := cutName(line, destKey)
	if !ok {
		return f, false
	}
	dest, line, ok := cutName(line, sizeKey)
	if !ok {
		return f, false
	}
	size, line, ok := cutNumber(line, math.MaxInt64)
	if !ok {
		return f, false
	}
	if after, timed := bytes.CutPrefix(line, []byte(timeKey)); timed {
		var text []byte
		if text, line, ok = bytes.Cut(after, []byte{'"'}); !ok || f.ModTime.UnmarshalText(text) != nil {
			return f, false
		}
	}
	var mode uint64
	if after, moded := bytes.CutPrefix(line, []byte(modeKey)); moded {
		if mode, line, ok = cutNumber(after, math.MaxUint32); !ok {
			return f, false
		}
	}
	f.Source, f.Dest, f.Size, f.Mode = string(source), string(dest), int64(size), uint32(mode)
	return f, string(line) == "}\n"
}

// cutName takes a name of plain characters, up to its end and what has to
// follow.
func cutName(line []byte, next string) (name, rest []byte, ok bool) {
	for i, c := range line {
		switch {
		case c == '"':
			rest, ok = bytes.CutPrefix(line[i:], []byte(next))
			return line[:i], rest, ok
		case c < ' ' || c >= utf8.RuneSelf || c == '\\':
			return nil, nil, false
		}
	}
	return nil, nil, false
}

// cutNumber takes a number of at most most, as encoding/json would.
func cutNumber(line []byte, most uint64) (n uint64, rest []byte, ok bool) {
	digits := 0
	for digits < len(line) && '0' <= line[digits] && line[digits] <= '9' {
		digits++
	}
	if digits == 0 || digits > 1 && line[0] == '0' {
		return 0, nil, false
	}
	n, err := strconv.ParseUint(string(line[:digits]), 10, 64)
	return n, line[digits:], err == nil && n <= most
}
