package chaos

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/adler32"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/integration/tree"
	"github.com/gridferry/gridferry/transfer"
)

// ended waits for the end of the task, which is a success.
func (d *drive) end() transfer.Task {
	d.t.Helper()
	var task transfer.Task
	var err error
	limit := time.Now().Add(endLimit)
	for time.Now().Before(limit) {
		d.turn()
		if !d.ended() {
			continue
		}
		if task, err = d.task(d.id); err == nil && task.Status != transfer.Active {
			break
		}
	}
	if task.Status != transfer.Succeeded {
		now, err := d.task(d.id)
		d.t.Errorf("the task is %s, %s: %s (%v)", now.Status, now.Phase, now.Verdict, err)
		return now
	}
	return task
}

// endLimit is for a minute in which servers may still be writing, one in which
// a full disk is left alone, and backoffs of up to a minute.
const endLimit = 6 * time.Minute

// content compares both trees byte for byte. What changed meanwhile may be what
// it was or what it is.
func (d *drive) content() (equal int64) {
	d.t.Helper()
	equal, diffs, err := tree.Compare(d.ends[0].root, d.ends[1].root)
	must(d.t, err)
	var wrong []string
	for _, diff := range diffs {
		if d.old != "" && strings.Contains(diff.What, "differ") {
			if n, was, err := tree.Compare(filepath.Join(d.old, diff.Path), filepath.Join(d.ends[1].root, diff.Path)); err == nil && n > 0 && len(was) == 0 {
				equal += n
				continue
			}
		}
		wrong = append(wrong, diff.String())
	}
	if len(wrong) > 0 {
		d.t.Errorf("%d names differ: %s", len(wrong), strings.Join(wrong[:min(len(wrong), 10)], "; "))
	}
	_ = filepath.WalkDir(d.ends[0].root, func(path string, _ fs.DirEntry, err error) error {
		must(d.t, err)
		if transfer.IsTempName(filepath.Base(path)) {
			d.t.Errorf("a stray name at the source: %s", path)
		}
		return nil
	})
	return equal
}

// counts compares the status and the results with what there was to do.
func (d *drive) counts(task transfer.Task) {
	d.t.Helper()
	p := task.Progress
	files, bytes := int64(d.made.Files), d.made.Bytes
	if p.Files != files || p.FilesDone != files || p.Bytes != bytes || p.BytesDone != bytes {
		d.t.Errorf("the status counts %d of %d files and %d of %d bytes; there are %d files of %d bytes", p.FilesDone, p.Files, p.BytesDone, p.Bytes, files, bytes)
	}
	if p.FilesFailed+p.FilesSkipped+p.FilesUnverified+p.EntriesIgnored+p.FilesInFlight+p.BytesInFlight != 0 || p.Walking {
		d.t.Errorf("the status counts what did not happen: %+v", p)
	}
	seen := make(map[string]int)
	page := transfer.Page{Limit: 1000}
	for {
		r, err := d.service.Results(d.t.Context(), d.id, transfer.ResultQuery{Page: page})
		must(d.t, err)
		for _, f := range r.Results {
			rel := strings.TrimPrefix(f.Dest, d.ends[1].root+"/")
			seen[rel]++
			d.result(rel, f)
		}
		if page.Token = r.Next; r.Next == "" {
			break
		}
	}
	var twice []string
	for name, n := range seen {
		if n != 1 {
			twice = append(twice, name)
		}
	}
	if len(twice) > 0 {
		d.t.Errorf("%d files have more than one result: %q", len(twice), twice[:min(len(twice), 5)])
	}
	if len(d.wrong) > 0 {
		d.t.Errorf("%d results are wrong: %s", len(d.wrong), strings.Join(d.wrong[:min(len(d.wrong), 5)], "\n"))
	}
	if len(seen) != d.made.Files {
		d.t.Errorf("results for %d files of %d", len(seen), d.made.Files)
	}
}

// result compares what was recorded of a file with the file.
func (d *drive) result(rel string, f transfer.Result) {
	d.t.Helper()
	sum, size, err := checksum(f.Algorithm, filepath.Join(d.ends[1].root, rel))
	if err != nil || f.Status != "copied" || size != f.Size || !strings.EqualFold(sum, f.Checksum) {
		d.wrong = append(d.wrong, fmt.Sprintf("%q: the result is %+v, but the file has %d bytes and the checksum %s (%v)", rel, f, size, sum, err))
	}
}

func checksum(algorithm, path string) (sum string, size int64, err error) {
	makers := map[string]func() hash.Hash{
		"MD5": md5.New, "SHA1": sha1.New, "SHA-1": sha1.New, "SHA256": sha256.New, "SHA-256": sha256.New, "SHA512": sha512.New, "SHA-512": sha512.New,
		"ADLER32": func() hash.Hash { return adler32.New() }, "CRC32": func() hash.Hash { return crc32.NewIEEE() },
	}
	maker := makers[strings.ToUpper(algorithm)]
	if maker == nil {
		return "", 0, fmt.Errorf("no checksum %q is known", algorithm)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := maker()
	size, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// mailed makes sure that the owner was told of the end, once.
func (d *drive) mailed() {
	d.t.Helper()
	harness.Eventually(d.t, time.Minute, func() error {
		if n, _ := d.finalMails(); n == 0 {
			return fmt.Errorf("no final mail")
		}
		return nil
	})
}

// mailedOnce is for when everything has come to its end.
func (d *drive) mailedOnce() {
	d.t.Helper()
	switch n, ids := d.finalMails(); {
	case n == 1:
	case n > 1 && len(ids) == 1:
		// Killed between the mail server's word and the record: not to be told
		// from a mail that was not taken. See docs/design.md, "Mail once".
		d.note("%d final mails, of one Message-ID", n)
		for _, s := range d.struck {
			if s.phase == recording && (s.kind == killWorker || s.kind == stopWorker || s.kind == killTemporal) {
				return
			}
		}
		d.t.Errorf("%d final mails, of one Message-ID", n)
	default:
		d.t.Errorf("%d final mails", n)
	}
}

// processes ends the workers as an operator does, and makes sure that nothing
// of theirs is left, on either side.
func (d *drive) processes() {
	d.t.Helper()
	for i, w := range d.workers {
		if err := w.Terminate(time.Minute); err != nil {
			d.t.Errorf("worker %d ended with %v: %s", i, err, lastLine(w.Log()))
		}
	}
	var left map[int]string
	until := time.Now().Add(20 * time.Second)
	for {
		left = d.strays()
		if len(left) == 0 || time.Now().After(until) {
			break
		}
		time.Sleep(100 * time.Millisecond) // processes tell nobody of their end
	}
	for pid, what := range left {
		if d.gone(pid) {
			// Seen: the Globus server, when it is cut off in certain moments,
			// waits for good inside its own abort. No client can end that.
			d.note("process %d of the server is left, which has lost its client: %s", pid, what)
			continue
		}
		d.t.Errorf("process %d is left: %s", pid, what)
	}
}

// gone says that a session of a server has noticed that its client is gone.
func (d *drive) gone(pid int) bool {
	for _, e := range d.ends {
		if e.globus == nil {
			continue
		}
		for line := range strings.Lines(e.globus.SessionLog()) {
			if strings.HasPrefix(line, fmt.Sprintf("[%d] ", pid)) && strings.Contains(line, "[SERVER]: 421 ") {
				return true
			}
		}
	}
	return false
}

// strays finds processes of the seed besides those that the test has started
// itself and not ended.
func (d *drive) strays() map[int]string {
	own := map[int]bool{}
	for _, e := range d.ends {
		own[e.PID()] = true
	}
	found := make(map[int]string)
	entries, err := os.ReadDir("/proc")
	must(d.t, err)
	for _, entry := range entries {
		var pid int
		if _, err := fmt.Sscan(entry.Name(), &pid); err != nil || own[pid] {
			continue
		}
		environ, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
		if err != nil || !strings.Contains(string(environ)+"\x00", d.mark+"\x00") {
			continue
		}
		if what, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline")); !strings.Contains(string(what), "aiosmtpd") && syscall.Kill(pid, 0) == nil {
			found[pid] = strings.ReplaceAll(string(what), "\x00", " ")
		}
	}
	return found
}
