package memory

import (
	"context"
	"errors"
	"io"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
)

// block is how much of a file moves between two markers.
const block = 1 << 20

// Reaches implements endpoints.ThirdParty.
func (s *Storage) Reaches(dst endpoints.Storage) error {
	d, ok := dst.(*Storage)
	switch {
	case !ok:
		return fault.New(fault.Unsupported, "send to", dst.Caps().Kind, "memory sends to memory only")
	case s.disk.opts.NoThirdParty || d.disk.opts.NoThirdParty:
		return fault.New(fault.Unsupported, "send to", dst.Caps().Kind, "third-party transfers are switched off")
	}
	return nil
}

// Send implements endpoints.ThirdParty as a pair of pipelining GridFTP
// servers does, their great trap included: when the source refuses a file,
// the destination does not know and stores the next file's bytes under the
// refused one's name.
func (s *Storage) Send(ctx context.Context, dst endpoints.Storage, opts endpoints.SendOptions, next func() (endpoints.Send, bool), done func(endpoints.Sent), progress func(endpoints.SendProgress)) error {
	if err := s.Reaches(dst); err != nil {
		return err
	}
	run := &run{src: s, dst: dst.(*Storage), opts: opts, progress: progress}
	var queue []endpoints.Send
	more := true
	for {
		for more && len(queue) < max(1, opts.Pipelining) {
			var f endpoints.Send
			if f, more = next(); more {
				queue = append(queue, f)
			}
		}
		if len(queue) == 0 {
			return nil
		}
		sent := run.one(ctx, queue[0])
		if sent.Err == nil {
			queue = queue[1:]
			done(sent)
			continue
		}
		sent.Suspect = true
		if sent.AtSource && len(queue) > 1 {
			run.mispair(ctx, queue[1].Source, sent.Dest)
		}
		done(sent)
		for _, f := range queue[1:] {
			done(endpoints.Sent{Send: f, Suspect: true})
		}
		return sent.Err
	}
}

type run struct {
	src, dst *Storage
	opts     endpoints.SendOptions
	progress func(endpoints.SendProgress)
}

func (r *run) one(ctx context.Context, f endpoints.Send) endpoints.Sent {
	sent := endpoints.Sent{Send: f}
	part := endpoints.Range{End: f.Size}
	if f.Part != nil {
		part = *f.Part
	}
	sent.Err = r.src.live(ctx, Sent, f.Source, part.Off)
	if sent.AtSource = sent.Err != nil; sent.AtSource {
		return sent
	}
	if sent.Err = r.dst.live(ctx, Sent, f.Dest, part.Off); sent.Err != nil {
		return sent
	}
	have := append([]endpoints.Range(nil), f.Have...)
	missing := endpoints.MissingRanges(part, have)
	if len(missing) == 0 { // an empty file is made all the same
		missing = []endpoints.Range{{Off: part.Off, End: part.Off}}
	}
	for _, m := range missing {
		if sent.Err, sent.AtSource = r.move(ctx, f, m, &have, &sent.Bytes); sent.Err != nil {
			return sent
		}
	}
	if f.Part == nil {
		if e, err := r.src.Stat(ctx, f.Source); err == nil && e.Type == endpoints.File && e.Size != f.Size {
			sent.Err, sent.AtSource = fault.New(fault.Integrity, "send", f.Source, "the file has another size than when it was listed"), true
			return sent
		}
	}
	if r.opts.Checksum != "" {
		length := part.Len()
		if sent.SourceSum, sent.Err = r.src.Checksum(ctx, f.Source, r.opts.Checksum, part.Off, length, nil); sent.Err != nil {
			sent.AtSource = true
			return sent
		}
		sent.DestSum, sent.Err = r.dst.Checksum(ctx, f.Dest, r.opts.Checksum, part.Off, length, nil)
	}
	return sent
}

// move copies one range and says whose error it was.
func (r *run) move(ctx context.Context, f endpoints.Send, m endpoints.Range, have *[]endpoints.Range, moved *int64) (err error, atSource bool) {
	in, err := r.src.Open(ctx, f.Source, m.Off, m.Len())
	if err != nil {
		return err, true
	}
	defer in.Close()
	out, err := r.dst.Create(ctx, f.Dest, endpoints.CreateOptions{
		Size: m.Len(), Offset: m.Off, Update: f.Part != nil || len(f.Have) > 0,
	})
	if err != nil {
		return err, false
	}
	defer out.Abort()
	buf := make([]byte, min(block, max(1, m.Len())))
	for m.Len() > 0 {
		n, err := io.ReadFull(in, buf[:min(int64(len(buf)), m.Len())])
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return fault.New(fault.Integrity, "send", f.Source, "the file ends before its listed size"), true
		}
		if err != nil {
			return err, true
		}
		if _, err := out.Write(buf[:n]); err != nil {
			return err, false
		}
		*have = endpoints.AddRange(*have, endpoints.Range{Off: m.Off, End: m.Off + int64(n)})
		m.Off += int64(n)
		*moved += int64(n)
		if r.progress != nil {
			r.progress(endpoints.SendProgress{Key: f.Key, Bytes: *moved, Ranges: append([]endpoints.Range(nil), *have...)})
		}
	}
	return out.Commit(), false
}

// mispair writes the bytes of source under the name dest. Its own errors are
// of no interest: the name is suspect whatever happens.
func (r *run) mispair(ctx context.Context, source, dest string) {
	in, err := r.src.Open(ctx, source, 0, -1)
	if err != nil {
		return
	}
	defer in.Close()
	out, err := r.dst.Create(ctx, dest, endpoints.CreateOptions{Size: -1})
	if err != nil {
		return
	}
	if _, err := io.Copy(out, in); err == nil {
		_ = out.Commit()
	}
}
