package gridftp_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gridftp/transcript"
	"github.com/gridferry/gridferry/wire/gsi"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

// TestTranscripts replays what real servers were heard to say. It fails where
// the client sends anything else than it did then, or understands something
// else. "go test ./integration/wire -run TestTranscripts -update" records them
// again.
func TestTranscripts(t *testing.T) {
	who := transcript.NewIdentities(gsitest.NewCA(t))
	known := map[string]bool{}
	for _, s := range transcript.Scenarios() {
		known[s.Name+".txt"] = true
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join("testdata", s.Name+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			recorded, err := transcript.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			if got := recorded.Format(); !bytes.Equal(got, text) {
				t.Errorf("the file is not as it would be written:\n%s", got)
			}
			if got := recorded.ReplayAs(t, who, s); !slices.Equal(got, recorded.Result) {
				t.Errorf("the client understood:\n%s\nand then:\n%s", strings.Join(got, "\n"), strings.Join(recorded.Result, "\n"))
			}
		})
	}
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !known[filepath.Base(f)] {
			t.Errorf("%s belongs to no scenario", f)
		}
	}
}

// TestReplayNotices: a client that does something else than was recorded fails
// its test.
func TestReplayNotices(t *testing.T) {
	for name, test := range map[string]struct{ recorded, want string }{
		"another command":  {"S: 220 old\nC: USER bob\nS: 230 in", `sends "USER ada" where it sent "USER bob"`},
		"a command more":   {"S: 220 old\nC: USER ada\nS: 230 in", `goes on after the end with "FEAT"`},
		"a command less":   {"S: 421 full\nC: QUIT", `instead of "QUIT"`},
		"hangs up early":   {"S: 220 old\nC: USER ada\nS: 530 no\nC: PASS ***", `instead of "PASS ***"`},
		"another password": {"S: 220 old\nC: USER ada\nS: 331 and?\nC: PASS ***\nS: 530 no", ""},
	} {
		t.Run(name, func(t *testing.T) {
			parsed, err := transcript.Parse([]byte("== session\n" + test.recorded))
			if err != nil {
				t.Fatal(err)
			}
			s := parsed.Sessions[0]
			stage, err := s.Serve(gsi.ServerConfig{})
			if err != nil {
				t.Fatal(err)
			}
			c, err := gridftp.Dial(t.Context(), gridftp.Config{Scheme: gridftp.FTP, Addr: stage.Addr(), User: "ada", Password: "x"})
			if err == nil {
				c.Close()
			}
			got := ""
			if err := stage.Close(); err != nil {
				got = err.Error()
			}
			if (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
				t.Errorf("it said %q, want %q", got, test.want)
			}
		})
	}
}
