package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gridftp/data"
)

// rest says from where, or around what, the next transfer goes on: an offset
// in stream mode, in extended block mode the ranges that the receiver has
// (GFD.20, REST).
func rest(s *session, arg string) gridftp.Reply {
	have, err := parseRestart(arg)
	if err != nil {
		return gridftp.NewReply(501, "Syntax error in parameter.")
	}
	s.have = have
	return gridftp.NewReply(350, "Restart Marker OK. Send STORE or RETR to initiate transfer.")
}

// parseRestart reads "5" as what comes before byte 5.
func parseRestart(arg string) (gridftp.RangeSet, error) {
	if !strings.ContainsAny(arg, "-,") {
		n, err := strconv.ParseInt(strings.TrimSpace(arg), 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("restart marker %q", arg)
		}
		return gridftp.NewRangeSet(gridftp.Range{Off: 0, End: n}), nil
	}
	return gridftp.ParseRangeSet(arg)
}

func allo(s *session, arg string) gridftp.Reply {
	n, _, _ := strings.Cut(strings.TrimSpace(arg), " ") // "ALLO n R m": the record size says nothing here
	size, err := strconv.ParseInt(n, 10, 64)
	if err != nil || size < 0 {
		return gridftp.NewReply(501, "Syntax error in parameter.")
	}
	s.allocate = size
	return gridftp.NewReply(200, "ALLO command successful.")
}

// A job is one transfer command.
type job struct {
	verb string
	arg  string         // its path, as the client has it
	part *gridftp.Range // ERET: only this of the file
	at   int64          // ESTO: the offset of the first byte that comes
	keep bool           // what the file holds stays
	end  bool           // APPE: the first byte goes to the file's end
}

func retr(s *session, arg string) gridftp.Reply { return s.send(job{verb: "RETR", arg: arg}) }
func stor(s *session, arg string) gridftp.Reply { return s.receive(job{verb: "STOR", arg: arg}) }
func appe(s *session, arg string) gridftp.Reply {
	return s.receive(job{verb: "APPE", arg: arg, keep: true, end: true})
}

// eret sends a part of a file: "ERET P offset length path" (GFD.20).
func eret(s *session, arg string) gridftp.Reply {
	n, path, ok := cutModule(arg, "P", 2)
	if !ok {
		return gridftp.NewReply(501, "ERET takes: P offset length path.")
	}
	if n[1] > (1<<63-1)-n[0] {
		n[1] = (1<<63 - 1) - n[0]
	}
	return s.send(job{verb: "ERET", arg: path, part: &gridftp.Range{Off: n[0], End: n[0] + n[1]}})
}

// esto stores at an offset and keeps the rest: "ESTO A offset path".
func esto(s *session, arg string) gridftp.Reply {
	n, path, ok := cutModule(arg, "A", 1)
	if !ok {
		return gridftp.NewReply(501, "ESTO takes: A offset path.")
	}
	return s.receive(job{verb: "ESTO", arg: path, at: n[0], keep: true})
}

// cutModule reads a module's name, some numbers and a path; the numbers may be
// in the form MODULE="n n", as the Globus server's help has it.
func cutModule(arg, module string, numbers int) (n []int64, path string, ok bool) {
	name, rest, _ := strings.Cut(arg, " ")
	if bare, quoted, is := strings.Cut(arg, `="`); is && strings.EqualFold(bare, module) {
		numbers, path, closed := strings.Cut(quoted, `" `)
		if !closed {
			return nil, "", false
		}
		name, rest = bare, numbers+" "+path
	}
	for range numbers {
		var word string
		word, rest, _ = strings.Cut(rest, " ")
		v, err := strconv.ParseInt(word, 10, 64)
		if err != nil || v < 0 {
			return nil, "", false
		}
		n = append(n, v)
	}
	return n, rest, rest != "" && strings.EqualFold(name, module)
}

// send carries out RETR and ERET.
func (s *session) send(j job) gridftp.Reply {
	have := s.takeMarker()
	path, ch, ctx, end, err := s.prepare(j.arg, true)
	if err != nil {
		return s.refuseTransfer(err)
	}
	defer end()
	file, err := s.config.Files.Open(ctx, path)
	if err != nil {
		return s.refuseTransfer(err)
	}
	defer file.Close()
	part := gridftp.Range{Off: 0, End: file.Size()}
	if j.part != nil {
		part = gridftp.Range{Off: min(j.part.Off, file.Size()), End: min(j.part.End, file.Size())}
	}
	// What the receiver has, it counts from the part's beginning, and so does
	// it the blocks that we send.
	var ranges []data.Range
	for _, r := range gridftp.NewRangeSet(gridftp.Range{Off: 0, End: part.Len()}).Subtract(have) {
		ranges = append(ranges, data.Range{Off: part.Off + r.Off, End: part.Off + r.End})
	}
	source, err := file.Source(ranges)
	if err != nil {
		return s.refuseTransfer(err)
	}
	return s.logged(j.verb, path, ch, func() (int64, error) {
		p := s.newSentProgress()
		defer p.end()
		return s.sendOver(ctx, ch, source, -part.Off, p.moved)
	})
}

// sendOver sends in the session's mode, with the offsets of blocks shifted.
func (s *session) sendOver(ctx context.Context, ch channel, source data.Source, shift int64, moved func(data.Range)) (int64, error) {
	if s.data.mode == gridftp.Stream {
		return ch.set.SendStream(ctx, source, ch.config, moved)
	}
	return ch.set.Send(ctx, source, ch.config, data.SendOptions{Parallelism: s.data.parallelism, Shift: shift, Progress: moved})
}

// receive carries out STOR, APPE and ESTO.
func (s *session) receive(j job) gridftp.Reply {
	have := s.takeMarker()
	size := s.allocate
	s.allocate = -1
	path, ch, ctx, end, err := s.prepare(j.arg, false)
	if err != nil {
		return s.refuseTransfer(err)
	}
	defer end()
	stream := s.data.mode == gridftp.Stream
	offset := j.at
	if j.end {
		if offset, err = s.sizeOf(ctx, path); err != nil {
			return s.refuseTransfer(err)
		}
	} else if stream && len(have) > 0 && have[0].Off == 0 {
		offset += have[0].End
	}
	writer, err := s.config.Files.Create(ctx, path, CreateOptions{Size: size, Offset: offset, Update: j.keep || len(have) > 0})
	if err != nil {
		return s.refuseTransfer(err)
	}
	return s.logged(j.verb, path, ch, func() (n int64, err error) {
		if stream {
			n, err = ch.set.ReceiveStream(ctx, writer, offset, ch.config, data.ReceiveOptions{})
		} else {
			// In extended block mode the sender counts from where ESTO or APPE
			// begins to write, and is told in that count what was stored.
			p := s.newProgress()
			n, err = ch.set.Receive(ctx, shifted(writer, offset), ch.config, data.ReceiveOptions{Progress: p.moved})
			p.end()
		}
		if err != nil {
			_ = writer.Abort() // the first error counts
			return n, err
		}
		if err := writer.Commit(); err != nil {
			return n, &data.SinkError{Err: err}
		}
		return n, nil
	})
}

// shifted returns a view of w that begins at an offset. A writer that puts
// blocks into order is still told, by Fail, when no more come.
func shifted(w Writer, by int64) io.WriterAt {
	s := shiftedWriter{w, by}
	if f, ok := w.(interface{ Fail(error) }); ok {
		return failingWriter{s, f.Fail}
	}
	return s
}

type shiftedWriter struct {
	w  Writer
	by int64
}

func (s shiftedWriter) WriteAt(p []byte, off int64) (int, error) { return s.w.WriteAt(p, off+s.by) }

type failingWriter struct {
	shiftedWriter
	fail func(error)
}

// Abort is what package data calls.
func (f failingWriter) Abort(err error) { f.fail(err) }

// sizeOf returns where a file ends; one that is not there ends at 0.
func (s *session) sizeOf(ctx context.Context, path string) (int64, error) {
	e, err := s.config.Files.Stat(ctx, path, true)
	var told *Error
	if errors.As(err, &told) && told.Category == gridftp.CategoryPathNotFound {
		return 0, nil
	}
	return max(e.Size, 0), err
}

// takeMarker returns what REST said, once.
func (s *session) takeMarker() gridftp.RangeSet {
	have := s.have
	s.have = nil
	return have
}

// prepare begins a transfer: its path, its data channel, and a context that
// ABOR ends. Files are touched only when there is a channel: a STOR that could
// go nowhere must not truncate.
func (s *session) prepare(arg string, sending bool) (path string, ch channel, ctx context.Context, end func(), err error) {
	if path, err = s.path(arg); err != nil {
		return "", ch, nil, nil, err
	}
	if ch, err = s.channel(sending); err != nil {
		return "", ch, nil, nil, err
	}
	if ctx, end, err = s.begin(); err != nil {
		return "", ch, nil, nil, transferError(err)
	}
	return path, ch, ctx, end, nil
}

// refuseTransfer refuses a transfer before its data channel was used. The other
// end of that channel may know nothing of the refusal: see the package's
// comment.
func (s *session) refuseTransfer(err error) gridftp.Reply {
	s.distrust()
	return s.refuse(err)
}

// distrust closes the data channel unless its other end is the client itself,
// which hears of the refusal and keeps its files apart.
func (s *session) distrust() {
	if set := s.data.set; set != nil && !s.clientAtOtherEnd(set) {
		s.data.close()
	}
}

// clientAtOtherEnd reports whether all connections are with the host that the
// client is on. While there are none, nothing is known, and it is not.
func (s *session) clientAtOtherEnd(set *data.Set) bool {
	peers := set.Peers()
	for _, peer := range peers {
		if peer != s.client.Addr() {
			return false
		}
	}
	return len(peers) > 0
}

// logged makes a transfer that goes into the transfer log.
func (s *session) logged(verb, path string, ch channel, run func() (int64, error)) gridftp.Reply {
	start := time.Now()
	var n int64
	var streams int
	reply, err := s.move(ch, func() (err error) {
		n, err = run()
		streams = ch.set.Connected()
		return err
	})
	t := Transfer{
		Start: start, Seconds: time.Since(start).Seconds(), Session: s.id, Client: s.client, Peer: ch.set.Addr(),
		User: s.login.user, Identity: s.login.identity, Command: verb, Path: path,
		Bytes: n, Streams: max(streams, 1), Code: reply.Code,
	}
	if err != nil {
		t.Error = err.Error()
		s.log.Info("transfer failed", "command", verb, "path", path, "bytes", n, "error", err)
	}
	s.config.Transferred(t)
	return reply
}

// move uses the data channel once, between its preliminary and its final reply.
// A client that sends the bytes itself waits for the former, as globus-url-copy
// does; a server at the other end does not, and then both replies share a packet.
func (s *session) move(ch channel, run func() error) (gridftp.Reply, error) {
	begin := gridftp.NewReply(150, "Beginning transfer.")
	if ch.set.Connected() > 0 {
		begin = gridftp.NewReply(125, "Beginning transfer; reusing existing data connection.")
	}
	if ch.receives && s.clientAtOtherEnd(ch.set) {
		_ = s.control.reply(begin) // a dead connection ends the transfer through the session's reader
	} else {
		s.control.replySoon(begin)
	}
	if err := run(); err != nil {
		return s.refuse(transferError(err)), err // a channel that has lost its place is closed already
	}
	return gridftp.NewReply(226, "Transfer Complete."), nil
}
