// Package endpoints is storage as gridferry sees it: one small interface that
// every kind of storage implements, and, apart from it, abilities that only
// some have. It holds no drivers; those live in the folders below.
//
// # Paths
//
// A path is absolute, slash-separated, cleaned ("/", "/a/b", never "/a/" or
// "/a/../b") and may hold any byte but NUL, CR and LF; where a protocol cannot
// carry one of the others, the driver says Unsupported. A driver with a root
// maps "/" to it and lets nothing, not even a symbolic link, lead outside.
//
// # Errors
//
// Every error is a *fault.Error: NotFound, Exists, Permission, Credential,
// NoSpace, Unsupported, Invalid, Busy, Transient, Integrity, Canceled or
// Internal, naming the path and carrying the storage's own words. A name that
// is there but is another sort of thing than the call asks for (a directory
// to be read, a file in the middle of a path) is NotFound to a call that
// reads and Exists to one that writes. A call whose context was cancelled is
// Canceled; one whose deadline has passed, or on a closed storage, Transient.
package endpoints

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/gridferry/gridferry/fault"
)

// Type says what an entry is.
type Type string

// The types of entries. Other covers devices, sockets and pipes, which are
// listed and never moved.
const (
	File  Type = "file"
	Dir   Type = "dir"
	Link  Type = "link"
	Other Type = "other"
)

// Entry describes one name.
type Entry struct {
	Name    string    // last path element in a listing; the whole path from Stat
	Type    Type      //
	Size    int64     // bytes; 0 for anything but a file
	ModTime time.Time // UTC; zero when the storage does not tell, or not to the second
	Mode    uint32    // permission bits (07777); 0 when the storage does not tell
	Target  string    // of a symbolic link, as written in it
	Offline bool      `json:",omitempty"` // it may be in an archive: a Stager is asked before it is read

	// Version is another one whenever a file's content is, where the storage has
	// such a thing. Stat and Described tell it, listings need not.
	Version string `json:",omitempty"`

	// Inode is the same for all names of a file that has several, and for no
	// other file of the storage. Empty when there is one name, or when the
	// storage is no HardLinker.
	Inode string `json:",omitempty"`
}

// Caps says what a storage can do. It is learned once, when the storage is
// opened, and does not change while it is open.
type Caps struct {
	Kind       string // driver name: "posix", "gridftp", ...
	Server     string // what the server calls itself; empty when there is none
	StreamOnly bool   // no out-of-order writes: concurrency is the only tuning (CACM: stream mode)
	Ranges     bool   // CreateOptions.Offset may be other than 0
	Times      bool   // TimeSetter works
	Modes      bool   // ModeSetter works
	Links      bool   // Linker works
	// ResolvesLinks: targets of links are kept and told of as absolute paths,
	// and links that lead nowhere are neither made nor seen (Globus's servers).
	ResolvesLinks bool
	Checksums     []string // algorithms the storage computes where the data is, strongest first: "sha256", "md5", ...
	FoldsCase     bool     // names equal but for case are the same name
	MaxName       int      // longest name in bytes; 0 is unknown

	// NoEmptyDirs: a directory is there while something is in it, and only then.
	// Mkdir makes none, and is nil where one may be; what is written or renamed
	// brings those that lead to it.
	NoEmptyDirs bool

	// Multiplexed: an open file costs no session of its own, so that one more may
	// be opened at any time, and one that is read may be given up.
	Multiplexed bool

	RTT time.Duration // round trip to the server, the shortest that was seen when it was opened; 0 is unknown, or none

	// OneAnswer: so many bytes at most from the middle of a file, when they are all
	// that Open is asked for, come in one answer as they are read; of more, some is
	// read ahead into memory. 0 where the storage makes no such difference.
	OneAnswer int64

	// AtOnce: a file of up to so many bytes, written from its beginning, is under
	// its name as a whole after Commit, and not at all before.
	AtOnce int64
	// Parts: of a file of which CreateOptions.Becomes says what it is to be,
	// ranges of whole parts may be written in any order, also where Ranges is not
	// set.
	Parts Parts
}

// Storage is an opened endpoint: one identity at one place. It may be used by
// many goroutines at once; drivers pool sessions below it.
type Storage interface {
	// Caps tells what the storage can do.
	Caps() Caps

	// Stat describes path without following a final symbolic link.
	Stat(ctx context.Context, path string) (Entry, error)

	// List calls page with the entries of the directory at path, in the
	// storage's own order and in pages of at most a few thousand, without "."
	// and "..". An error from page ends the listing and is returned as it is.
	// The slice belongs to List again when page returns.
	List(ctx context.Context, path string, page func([]Entry) error) error

	// Open reads length bytes of the file at path from offset; length -1 is
	// to the end. A file that is shorter ends early with io.EOF: the caller
	// knows the size it expects. Symbolic links are followed. The caller closes.
	Open(ctx context.Context, path string, offset, length int64) (io.ReadCloser, error)

	// Create opens the file at path for writing. The caller ends with exactly
	// one of Commit and Abort. What a server refuses only when it is sent
	// bytes, Write or Commit returns.
	Create(ctx context.Context, path string, opts CreateOptions) (Writer, error)

	// Mkdir makes one directory; its parent must exist. Exists when the name
	// is taken, by whatever. Where Caps.NoEmptyDirs is set, nothing is made.
	Mkdir(ctx context.Context, path string) error

	// Rename gives from the name to, replacing a file of that name at once.
	Rename(ctx context.Context, from, to string) error

	// Remove removes one file, link or empty directory. A directory that is
	// not empty is Exists.
	Remove(ctx context.Context, path string) error

	// Close ends the sessions. Calls under way fail; closing twice is nil.
	Close() error
}

// CreateOptions says how a file is written.
type CreateOptions struct {
	Size      int64 // bytes that will be written; -1 unknown. A hint for allocation and quota
	Offset    int64 // where writing begins; needs Caps.Ranges unless 0, and implies Update
	Update    bool  // keep what the file holds before and after (a range of a file that others write too); false truncates
	Exclusive bool  // fail with Exists when the name is taken

	// ModTime is the time that the file will be given, where it is known. It is
	// still SetModTime that gives it; a storage that can say such a thing only
	// of what it is about to write has then less to do.
	ModTime time.Time

	// Becomes says what a file that is written under a temporary name, in the
	// directory that it will be in, is going to be. A storage without renames
	// may then keep the bytes where they need not be moved: until Rename has
	// given it that name, such a file may be impossible to Open, and Checksum
	// may know only the whole of it. Every Create of one file says the same.
	Becomes *Becoming
}

// Becoming is what a file will be when it is whole.
type Becoming struct {
	Path    string    // that Rename will give it
	Size    int64     // of the whole file, in bytes
	ModTime time.Time // that SetModTime will give it; zero is none
}

// Writer takes the bytes of a file, or of a range of one, in order. It may
// also be an io.ReaderFrom, which io.Copy then uses, and an io.WriterAt, which
// takes bytes in any order, at offsets of the file, from many goroutines.
type Writer interface {
	io.Writer
	// Commit ends the write and returns when the bytes are as durable as the
	// storage makes them.
	Commit() error
	// Abort gives the write up. What was written may stay or go: the caller
	// removes the name. Aborting after Commit does nothing.
	Abort() error
}

// FileReader is what Open may return where the kernel can send the bytes to a
// socket on its own: the file, positioned at the next byte to be read, and how
// many of its bytes the reader still stands for (it may end earlier). Who
// takes it reads the rest from it and leaves closing to the reader.
type FileReader interface {
	File() (f *os.File, left int64)
}

// FileWriter is what Create may return where the kernel can copy from another
// file of this host on its own.
type FileWriter interface {
	// CopyFile writes n bytes of f from off next. It may move f's position. What is not allocated in f is not written, where the file system knows
	// of holes, and reads as zeros all the same. When f ends early the error is
	// io.ErrUnexpectedEOF, and when it cannot be read a *SourceError.
	CopyFile(f *os.File, off, n int64) error
}

// SourceError is an error of a file that is copied from, met by who writes.
type SourceError struct {
	Kind fault.Kind
	Err  error
}

func (e *SourceError) Error() string { return e.Err.Error() }
func (e *SourceError) Unwrap() error { return e.Err }

// Described is what Open may return where the storage told of the file as it was
// opened.
type Described interface {
	// Entry is what Stat would have said then.
	Entry() Entry
}

// TimeLister is a storage whose listings tell modification times only when they
// are asked to, because it costs a request for each file.
type TimeLister interface {
	// ListTimes has List tell them from now on. It is called before any List.
	ListTimes()
}

// Checksummer computes checksums where the data is.
type Checksummer interface {
	// Checksum returns the lower-case hexadecimal digest of length bytes of
	// path from offset (-1: to the end). Unsupported when alg is not in
	// Caps.Checksums. It may take as long as reading the file does; alive, when
	// not nil, is called from time to time meanwhile.
	Checksum(ctx context.Context, path, alg string, offset, length int64, alive func()) (string, error)
}

// SelfDescriber is a storage whose server lists what it can do.
type SelfDescriber interface {
	// Says are the lines of that list as they came when the storage was opened:
	// any bytes. Who shows them bounds them.
	Says() []string
}

// TimeSetter sets modification times.
type TimeSetter interface {
	SetModTime(ctx context.Context, path string, t time.Time) error
}

// ModeSetter sets permission bits (07777).
type ModeSetter interface {
	SetMode(ctx context.Context, path string, mode uint32) error
}

// Linker makes symbolic links.
type Linker interface {
	Symlink(ctx context.Context, target, path string) error
}

// HardLinker gives files several names, and tells of them: Entry.Inode.
type HardLinker interface {
	// Link gives the file from, which must not be a symbolic link, the name to
	// as well. Exists when that is taken; Unsupported where the two places
	// cannot share a file, or it has as many names as it may.
	Link(ctx context.Context, from, to string) error
}

// SpaceReporter tells how much may still be written under path, in bytes.
type SpaceReporter interface {
	Free(ctx context.Context, path string) (int64, error)
}

// ThirdParty moves files straight to another storage: the bytes go from
// server to server and never through this process.
type ThirdParty interface {
	// Reaches says whether files can go straight to dst: nil, or an
	// Unsupported error with the reason.
	Reaches(dst Storage) error

	// Send copies the files that next hands out until it says false, over one
	// pair of sessions, with at most opts.Pipelining requests outstanding.
	// Concurrency is several Sends at once.
	//
	// done is called exactly once for every file taken from next, in that
	// order, from one goroutine, which need not be next's. progress, when not nil, is called as markers
	// arrive. When Send returns an error, files that were taken and not
	// proven done have had their done with Sent.Err or Sent.Suspect set; the
	// error says what ended the run.
	Send(ctx context.Context, dst Storage, opts SendOptions, next func() (Send, bool), done func(Sent), progress func(SendProgress)) error
}

// SendOptions is the tuning of one pair of sessions.
type SendOptions struct {
	Parallelism int           // sockets per file, 1 to 64
	Pipelining  int           // requests outstanding, 1 to 1,000
	Buffer      int           // TCP buffer in bytes; 0 leaves it to the systems
	Encrypt     bool          // the data channel is private, whatever the endpoints' default
	Checksum    string        // algorithm both ends compute after each file; empty for none
	Stall       time.Duration // no marker and no reply for this long is a stall; 0 is 120 s
}

// Send is one file to be sent.
type Send struct {
	Source, Dest string
	Size         int64   // of the whole file, as listed
	Part         *Range  // move only this part, to the same offsets of Dest, which keeps the rest; nil is the whole file
	Have         []Range // what Dest holds already; sorted, disjoint
	Key          int     // the caller's own; handed back
}

// Range is the half-open byte range [Off, End).
type Range struct {
	Off int64 `json:"off"`
	End int64 `json:"end"`
}

// Sent says how one file ended. With neither Err nor Suspect both servers
// said that the file is complete, and its byte count is the one expected.
type Sent struct {
	Send
	Bytes     int64  // moved in this run
	SourceSum string // when opts.Checksum was set
	DestSum   string
	Err       error // this file failed, and this is why
	AtSource  bool  // Err is the source's; otherwise the destination's or both
	Suspect   bool  // not proven: Dest may hold nothing, a part, or another file's bytes
}

// SendProgress tells of a file on its way. Ranges are what the destination
// has made restartable so far, merged, Have included.
type SendProgress struct {
	Key    int
	Bytes  int64 // moved in this run, as far as is known
	Ranges []Range
}
