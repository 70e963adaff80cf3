package endpoints

// Parts are what files are made of at a storage that takes ranges only as
// whole parts: all parts of a file are of one length, but for its last one. The
// zero Parts are of a storage that knows no such thing.
type Parts struct {
	Least int64 // bytes of each part, or, of files that would have too many, a multiple of it
	Most  int   // how many a file may have
}

// Unit is how long each part of a file of that size is, in bytes, but for its
// last one; 0 when ranges may begin and end anywhere.
func (p Parts) Unit(size int64) int64 {
	if p.Most <= 0 {
		return 0
	}
	return p.Least * (max(0, size-1)/(p.Least*int64(p.Most)) + 1)
}

// Align returns the parts that begin in r, of a file of that size: ranges that
// follow each other do so after it, too.
func (p Parts) Align(r Range, size int64) Range {
	unit := p.Unit(size)
	if unit == 0 {
		return r
	}
	up := func(at int64) int64 { return min((at+unit-1)/unit*unit, size) }
	return Range{Off: up(r.Off), End: up(r.End)}
}

// Inside returns the parts all of which are in r, of a file of that size. Where
// there are none, the range is empty, or its end before its beginning.
func (p Parts) Inside(r Range, size int64) Range {
	unit := p.Unit(size)
	if unit == 0 {
		return r
	}
	r.Off = (r.Off + unit - 1) / unit * unit
	if r.End < size {
		r.End = r.End / unit * unit
	}
	return r
}
