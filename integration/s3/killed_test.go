package s3_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/gridferry/gridferry/integration/s3"
	"github.com/gridferry/gridferry/transfer"
)

func soak() bool { return os.Getenv("GRIDFERRY_SOAK") != "" }

// killedSize is the size of the file in whose middle a worker is killed, and
// killedRate what each request may move in a second: so that there is a middle.
func killedSize() (size, rate int64) {
	if soak() {
		return 3 << 30, 96 * mib
	}
	return 256 * mib, 24 * mib
}

// sparse makes a file of which every MiB begins with bytes of its own and holds
// zeros else: its content is told from any other at little cost.
func sparse(t *testing.T, path string, size int64) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(size))
	b := make([]byte, 32<<10)
	for off := int64(0); off < size; off += mib {
		_, _ = rand.NewChaCha8([32]byte{byte(off >> 20), byte(off >> 28)}).Read(b) // never fails
		_, err := f.WriteAt(b, off)
		must(t, err)
	}
}

// equal compares two files.
func equal(t *testing.T, want, got string) {
	t.Helper()
	a, err := os.Open(want)
	must(t, err)
	defer a.Close()
	b, err := os.Open(got)
	if err != nil {
		t.Error(err)
		return
	}
	defer b.Close()
	x, y := make([]byte, mib), make([]byte, mib)
	for off := int64(0); ; off += mib {
		n, errA := io.ReadFull(a, x)
		m, errB := io.ReadFull(b, y)
		if n != m || !bytes.Equal(x[:n], y[:m]) {
			t.Errorf("%s is not %s from byte %d on", got, want, off)
			return
		}
		if errA != nil || errB != nil {
			return
		}
	}
}

// copied waits until the files of a task, so many, are at their names. Where a
// worker or a connection was lost, the task ends a minute later, when what that may
// have left behind is past: which only a soak waits for.
func (s *site) copied(id transfer.TaskID, files int64) transfer.Task {
	s.t.Helper()
	var task transfer.Task
	s.until("the files, or the end of their task", func() bool {
		var err error
		task, err = s.Service.Task(s.t.Context(), id)
		return err == nil && (task.Progress.FilesDone == files || !task.Completed.IsZero())
	})
	if soak() {
		task = s.wait(id, 5*time.Minute)
	}
	if p := task.Progress; p.FilesDone != files || p.FilesFailed != 0 {
		s.t.Fatalf("the task is %s: %s, %+v", task.Status, task.Verdict, p)
	}
	return task
}

// killWorker kills a worker in the middle of one large file, and lets another one
// go on. At most one part of each stream is moved again.
func (s *site) killWorker(from, to string, moved *s3.Tally) {
	s.t.Helper()
	size, rate := killedSize()
	s.meter.Rate.Store(rate)
	first := s.worker("first")
	begun := time.Now()
	id := s.submit(transfer.Request{Source: from, Destination: to})
	s.until("half of the file", func() bool { return moved.Bytes() >= size/2+5*mib }) // not between two parts
	first.Kill()
	at := moved.Bytes()
	s.meter.Rate.Store(0)
	s.worker("second")
	if task := s.copied(id, 1); task.Progress.FilesUnverified != 0 {
		s.t.Errorf("the file is not verified: %s", task.Verdict)
	}
	requests, bytes := moved.Again()
	streams := moved.Streams()
	s.t.Logf("%d MiB, killed at %d MiB: %d requests of %d streams carried %.1f MiB again; %v in all", size/mib, at/mib, requests, streams, float64(bytes)/mib, time.Since(begun).Round(100*time.Millisecond))
	if total := moved.Bytes(); total < size {
		s.t.Errorf("%d bytes of %d were moved", total, size)
	}
	// Parts are the 64th of a file, and 16 MiB or more.
	if most := int64(streams) * max(16*mib, size/64); bytes > most {
		s.t.Errorf("%d bytes were moved again; a part of each of %d streams are %d", bytes, streams, most)
	}
	if moved == s.meter.Parts && requests > streams {
		s.t.Errorf("%d parts were sent again, and there are %d streams", requests, streams)
	}
}

// A worker that dies in the middle of a large file to the store leaves an
// upload, with which the next one goes on.
func TestKilledOnTheWayThere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	path := filepath.Join(s.files, "large")
	size, _ := killedSize()
	sparse(t, path, size)
	s.killWorker(s.here(path), "s3://"+s.store.Bucket+"/large", s.meter.Parts)
	equal(t, path, filepath.Join(s.store.Dir, s.store.Bucket, "large"))
	if n := uploads(t, s.store); n != 0 {
		t.Errorf("%d uploads are still open", n)
	}
	if left, err := filepath.Glob(filepath.Join(s.store.Dir, s.store.Bucket, ".*gridferry*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// The same on the way back. The store has a checksum of the object, or else it is
// read again a minute later, when everything that was under way is looked at anew.
func TestKilledOnTheWayBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	path, back := filepath.Join(s.files, "large"), filepath.Join(s.files, "back")
	size, _ := killedSize()
	sparse(t, path, size)
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	_, err = s.store.Client().PutObject(t.Context(), &sdk.PutObjectInput{
		Bucket: &s.store.Bucket, Key: aws.String("large"), Body: f, ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c,
	})
	must(t, err)
	s.killWorker("s3://"+s.store.Bucket+"/large", s.here(back), s.meter.Reads)
	equal(t, path, back)
}
