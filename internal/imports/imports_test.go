// Package imports holds no code: its test keeps the rooms of docs/design.md
// apart. Each failure says which rule was broken and why there is one.
package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/gridferry/gridferry"

// layer says what the packages of a room may import of this module, besides
// their own subtree. The first matching room counts.
type layer struct {
	room  string
	may   []string // rooms; "*" is anything
	third string   // what else is allowed: "std", "x/crypto", several such, or "*"
	why   string
}

var layers = []layer{
	{"fault", nil, "std", "everything imports the vocabulary of errors, so it imports nothing"},
	{"internal/spelling", nil, "std", "letters have no meaning, and whoever refuses a name may import it"},
	{"transfer", []string{"endpoints", "fault", "internal/spelling"}, "x/text", "the domain is pure: a workflow calls all of it"},
	{"endpoints/endpointtest", []string{"endpoints", "endpoints/check", "transfer", "fault"}, "std", "the suite knows the contract, not the drivers"},
	{"endpoints/check", []string{"endpoints", "transfer", "fault"}, "std", "a check knows the contract and what it means for transfers, not the drivers"},
	{"endpoints/gridftp", []string{"endpoints", "fault", "wire"}, "std", "a driver adapts one protocol to the storage interface"},
	{"endpoints/s3", []string{"endpoints", "fault"}, "*", "a driver adapts one SDK to the storage interface"},
	{"endpoints/sftp", []string{"endpoints", "fault"}, "*", "a driver adapts one protocol to the storage interface"},
	{"endpoints/http", []string{"endpoints", "fault"}, "std", "a driver adapts one protocol to the storage interface"},
	{"endpoints/posix", []string{"endpoints", "fault"}, "x/sys x/sync", "a driver adapts one storage to the storage interface"},
	{"endpoints/memory", []string{"endpoints", "fault"}, "std", "a driver adapts one storage to the storage interface"},
	{"endpoints", []string{"fault"}, "std", "the storage interface knows no driver and no task"},
	{"blob/s3store", []string{"blob", "fault"}, "*", "blobs in a bucket need an SDK, which who imports blob must not get"},
	{"blob", []string{"fault"}, "*", "blobs are bytes under keys"},
	{"wire/gsi", nil, "std", "the audited package stands on the standard library alone"},
	{"wire", []string{"wire/gsi"}, "x/crypto", "protocols know nothing of the rest"},
	{"activities", []string{"transfer", "endpoints", "endpoints/check", "fault", "blob"}, "*", "activities hold interfaces; workers knows who provides them"},
	{"workflows", []string{"activities", "transfer", "endpoints", "fault", "blob"}, "*", "a pipeline author imports workflows and must get a light dependency"},
	{"service/store", []string{"activities", "transfer", "endpoints", "fault"}, "*", "the store implements what activities ask for"},
	{"service/vault", []string{"transfer", "endpoints", "fault"}, "*", "the vault seals bytes, whoever keeps them"},
	{"service/credentials", []string{"service/vault", "activities", "transfer", "endpoints", "fault", "wire"}, "*", "activation reads certificates and asks MyProxy, and touches no task's data"},
	{"service", []string{"workflows", "activities", "transfer", "endpoints", "fault", "blob", "config"}, "*", "the service stands on Temporal, not on protocols"},
	{"gateway/mover", []string{"gateway/api", "activities", "blob", "transfer", "endpoints", "fault", "wire"}, "*", "a worker without a store gets leases, blobs and credentials through this door"},
	{"gateway", []string{"transfer", "endpoints", "fault", "wire"}, "*", "doors translate and never decide"},
	{"notify", []string{"transfer", "fault"}, "*", "mail knows tasks, not how they run"},
	{"config", []string{"endpoints", "transfer", "fault", "internal/spelling"}, "*", "configuration is read before anything runs"},
	{"bench", []string{"transfer", "endpoints", "fault"}, "std", "what is made of measurements is arithmetic; the command measures"},
	{"internal", []string{"fault", "transfer", "endpoints"}, "*", "helpers are below the rooms that use them"},
	{"workers", []string{"*"}, "*", "programs put the rooms together"},
	{"starter", []string{"*"}, "*", "programs put the rooms together"},
	{"integration", []string{"*"}, "*", "programs put the rooms together"},
}

// heavy are dependencies that a pipeline author must not get from workflows.
var heavy = map[string]string{
	module + "/wire":               "protocols",
	module + "/endpoints/gridftp":  "a driver",
	module + "/endpoints/posix":    "a driver",
	module + "/endpoints/memory":   "a driver",
	module + "/endpoints/s3":       "a driver",
	module + "/endpoints/http":     "a driver",
	module + "/endpoints/sftp":     "a driver",
	module + "/blob/s3store":       "a cloud SDK",
	module + "/service":            "the service",
	module + "/gateway":            "a gateway",
	module + "/notify":             "mail",
	module + "/config":             "configuration files",
	"database/sql":                 "a database",
	"modernc.org/sqlite":           "a database",
	"github.com/aws/aws-sdk-go-v2": "a cloud SDK",
	"golang.org/x/crypto/ssh":      "a protocol",
}

type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
}

func list(t *testing.T, pattern string) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Standard,Imports,Deps", pattern)
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", pattern, err, stderr.String())
	}
	var pkgs []pkg
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

func within(path, room string) bool { return path == room || strings.HasPrefix(path, room+"/") }

func layerOf(rel string) (layer, bool) {
	for _, l := range layers {
		if within(rel, l.room) {
			return l, true
		}
	}
	return layer{}, false
}

func allowed(l layer, rel string) bool {
	if within(rel, l.room) {
		return true
	}
	for _, room := range l.may {
		switch {
		case room == "*":
			return true
		case room == "endpoints":
			// The interface, never a driver: who may know drivers may import anything.
			if rel == "endpoints" {
				return true
			}
		case within(rel, room):
			return true
		}
	}
	return false
}

func TestRoomsImportDownward(t *testing.T) {
	for _, p := range list(t, "./...") {
		rel := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		l, ok := layerOf(rel)
		if !ok {
			t.Errorf("%s is in no room of docs/design.md: put it in one, or add the room here and there", rel)
			continue
		}
		for _, imp := range p.Imports {
			if target, ours := strings.CutPrefix(imp, module+"/"); ours {
				if !allowed(l, target) {
					t.Errorf("%s imports %s: %s", rel, target, l.why)
				}
				continue
			}
			if !strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") || l.third == "*" {
				continue
			}
			if !slices.ContainsFunc(strings.Fields(l.third), func(repo string) bool { return within(imp, "golang.org/"+repo) }) {
				t.Errorf("%s imports %s: %s", rel, imp, l.why)
			}
		}
	}
}

func TestWorkflowsAreLight(t *testing.T) {
	for _, p := range list(t, "./workflows") {
		for _, dep := range p.Deps {
			for bad, what := range heavy {
				// google/uuid implements the value interfaces of database/sql/driver.
				if within(dep, bad) && dep != "database/sql/driver" {
					t.Errorf("workflows links %s (%s): a pipeline author who embeds a transfer would link it too", dep, what)
				}
			}
		}
	}
}

func TestTheDomainIsPure(t *testing.T) {
	impure := map[string]string{
		"os": "I/O", "net/http": "I/O", "io/ioutil": "I/O", "os/exec": "I/O",
		"math/rand": "chance", "math/rand/v2": "chance", "crypto/rand": "chance",
		"sync": "goroutines", "sync/atomic": "goroutines", "log": "output", "log/slog": "output",
	}
	for _, p := range list(t, "./transfer") {
		for _, imp := range p.Imports {
			if what, bad := impure[imp]; bad {
				t.Errorf("transfer imports %s (%s): the domain is pure, so that a workflow may call all of it", imp, what)
			}
		}
	}
}

// TestTheDomainReadsNoClock looks at calls: packages time and net have pure
// functions too, which transfer may use.
func TestTheDomainReadsNoClock(t *testing.T) {
	pure := map[string]map[string]bool{
		"net": {"SplitHostPort": true, "JoinHostPort": true, "ParseIP": true},
	}
	impure := map[string]map[string]bool{
		"time": {"Now": true, "Since": true, "Until": true, "Sleep": true, "After": true, "AfterFunc": true, "NewTimer": true, "NewTicker": true, "Tick": true},
	}
	var files []string
	for _, room := range []string{"transfer", "fault"} {
		found, err := filepath.Glob("../../" + room + "/*.go")
		if err != nil || len(found) == 0 {
			t.Fatalf("no files in %s: %v", room, err)
		}
		files = append(files, found...)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := sel.X.(*ast.Ident)
			if !ok || x.Obj != nil {
				return true
			}
			allowed, listed := pure[x.Name]
			if impure[x.Name][sel.Sel.Name] || listed && !allowed[sel.Sel.Name] {
				t.Errorf("%s: %s.%s: the domain is pure, so that a workflow may call all of it", fset.Position(sel.Pos()), x.Name, sel.Sel.Name)
			}
			return true
		})
	}
}
