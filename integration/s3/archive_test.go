package s3_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/gridferry/gridferry/integration/harness"
	"github.com/gridferry/gridferry/transfer"
)

// Objects in the archive are restored while the others are copied: those that
// the listing tells of, and none is asked for twice, though a worker dies.
func TestArchivedObjectsAreRestored(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.worker("first")
	var away []string
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		_, err := s.store.Client().PutObject(t.Context(), &sdk.PutObjectInput{Bucket: &s.store.Bucket, Key: aws.String("run/" + name), Body: strings.NewReader("bytes of " + name)})
		must(t, err)
		if name < "d" {
			away = append(away, "/"+s.store.Bucket+"/run/"+name)
		}
	}
	s.meter.Take(away...)
	id := s.submit(transfer.Request{Source: "s3://" + s.store.Bucket + "/run/", Destination: s.here(s.files) + "/to/", Recursive: true})
	waits := func() (task transfer.Task) {
		harness.Eventually(t, time.Minute, func() (err error) {
			task, err = s.Service.Task(t.Context(), id)
			if err == nil && (task.Outlook.For != transfer.ForArchive || task.Progress.FilesDone != 2) {
				err = fmt.Errorf("it does not wait for the archive: %s, %+v", task.Verdict, task.Progress)
			}
			return err
		})
		return task
	}
	if task := waits(); task.Progress.FilesOffline != 3 || !strings.Contains(task.Verdict, "3 files") {
		t.Errorf("%+v: %s", task.Progress, task.Verdict)
	}
	first.Kill()
	s.worker("second")
	if n := s.meter.Bring(); n != 3 {
		t.Errorf("%d objects were asked for", n)
	}
	task := s.wait(id, 2*time.Minute)
	if task.Status != transfer.Succeeded || task.Progress.FilesDone != 3+2 || task.Progress.FilesOffline != 0 {
		t.Fatalf("%s: %s, %+v", task.Status, task.Verdict, task.Progress)
	}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		if b, err := os.ReadFile(filepath.Join(s.files, "to", name)); err != nil || string(b) != "bytes of "+name {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if n := s.meter.Bring(); n != 3 {
		t.Errorf("%d requests to restore in all", n)
	}
}
