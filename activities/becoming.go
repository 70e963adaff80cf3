package activities

import (
	"io"

	"github.com/gridferry/gridferry/endpoints"
	"github.com/gridferry/gridferry/fault"
	"github.com/gridferry/gridferry/transfer"
)

// takesRanges says that a destination takes large files in ranges: into files,
// or into what becomes one.
func takesRanges(caps endpoints.Caps) bool { return caps.Ranges || caps.Parts.Most > 0 }

// partsOf cuts what is missing of a file of size bytes into pieces of about that
// length, each of them whole parts where the destination has such.
func partsOf(missing transfer.RangeSet, piece, size int64, parts endpoints.Parts) []endpoints.Range {
	if unit := parts.Unit(size); unit > 0 {
		piece = max(unit, piece/unit*unit)
	}
	return missing.Split(piece)
}

// wholeParts is what of a set is whole parts of a file of size bytes. The rest
// was written when parts were of another length, and is not to be had.
func wholeParts(s transfer.RangeSet, size int64, parts endpoints.Parts) transfer.RangeSet {
	out := make(transfer.RangeSet, len(s))
	for i, r := range s {
		out[i] = parts.Inside(r, size)
	}
	return transfer.NewRangeSet(out...)
}

// creating is how a part of the file is written in this attempt.
func (r *relay) creating(part endpoints.Range, update bool) endpoints.CreateOptions {
	opts := endpoints.CreateOptions{Size: part.Len(), Offset: part.Off, Update: update}
	if r.c.in.Options.PreserveTime {
		opts.ModTime = r.f.ModTime
	}
	if r.path != r.f.Dest {
		opts.Becomes = &endpoints.Becoming{Path: r.f.Dest, Size: r.f.Size, ModTime: opts.ModTime}
	}
	return opts
}

// describe takes over what a source tells of the file as it is opened: which
// version it is, of which all parts have to be, and where its listing has not
// told the time, that.
func (r *relay) describe(in io.Reader) error {
	d, ok := in.(endpoints.Described)
	if !ok {
		return nil
	}
	e := d.Entry()
	if err := r.sameVersion(e.Version); err != nil || !r.f.ModTime.IsZero() {
		return err
	}
	if e.Size != r.f.Size {
		return fault.New(fault.Integrity, "read", r.f.Source, "the file is not as long as it was when it was listed")
	}
	r.f.ModTime = e.ModTime
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.c.files[r.i].ModTime = e.ModTime
	return nil
}

// sameVersion says that a part which was opened is of the version that the other
// parts are of. Size and time do not tell: both may have been kept.
func (r *relay) sameVersion(tag string) error {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	p, ok := r.c.led.Partial[r.i]
	switch {
	case !ok || tag == "" || p.Tag == tag:
		return nil
	case p.Tag != "":
		return fault.New(fault.Integrity, "read", r.f.Source, "the file was replaced while it was being copied")
	}
	p.Tag = tag
	r.c.led.Partial[r.i] = p
	return nil
}
