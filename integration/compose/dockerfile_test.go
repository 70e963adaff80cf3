package compose

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// dockerfile is what these tests need to know of one of our images. Only what
// our own Dockerfiles use is understood, and anything else fails the test.
type dockerfile struct {
	path        string
	from        []string // images of all stages that are not stages themselves
	sources     []string // files that are copied from the build context
	copies      []copied // into the last stage
	env         []string
	user        string
	entrypoint  []string
	command     []string
	healthcheck []string
}

// copied is a file of the last stage.
type copied struct {
	stage  string // where it was built; empty is the build context
	source string
	target string
}

func readDockerfile(t *testing.T, build *types.BuildConfig) dockerfile {
	t.Helper()
	path := build.Dockerfile
	if !filepath.IsAbs(path) {
		path = filepath.Join(build.Context, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := dockerfile{path: path}
	stages := make(map[string]bool)
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", " ")) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		instruction, rest, _ := strings.Cut(line, " ")
		args := strings.Fields(rest)
		switch instruction {
		case "FROM":
			if !stages[args[0]] {
				d.from = append(d.from, args[0])
			}
			if len(args) == 3 && args[1] == "AS" {
				stages[args[2]] = true
			}
			// Nothing that an earlier stage set reaches the image.
			d = dockerfile{path: d.path, from: d.from, sources: d.sources}
		case "COPY":
			d.copy(t, args)
		case "ENV":
			d.env = append(d.env, args...)
		case "USER":
			d.user = rest
		case "ENTRYPOINT":
			d.entrypoint = execForm(t, path, rest)
		case "CMD":
			d.command = execForm(t, path, rest)
		case "HEALTHCHECK":
			_, command, _ := strings.Cut(rest, "CMD ")
			d.healthcheck = execForm(t, path, command)
		case "ARG", "RUN", "WORKDIR", "EXPOSE", "VOLUME":
		default:
			t.Fatalf("%s: this test does not know %s", path, instruction)
		}
	}
	return d
}

func (d *dockerfile) copy(t *testing.T, args []string) {
	t.Helper()
	stage := ""
	for len(args) > 0 && strings.HasPrefix(args[0], "--") {
		stage = strings.TrimPrefix(args[0], "--from=")
		if stage == args[0] {
			stage = ""
		}
		args = args[1:]
	}
	if len(args) < 2 {
		t.Fatalf("%s: COPY %q", d.path, args)
	}
	target := args[len(args)-1]
	for _, source := range args[:len(args)-1] {
		if stage == "" {
			d.sources = append(d.sources, source)
		}
		to := target
		if strings.HasSuffix(target, "/") {
			to += filepath.Base(source)
		}
		d.copies = append(d.copies, copied{stage: stage, source: source, target: to})
	}
}

// execForm wants a JSON list: the shell form would put a shell between the
// engine's signals and the program.
func execForm(t *testing.T, path, text string) []string {
	t.Helper()
	var list []string
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("%s: %q is not in the exec form: %v", path, text, err)
	}
	return list
}
