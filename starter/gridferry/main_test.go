package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gridferry/gridferry/starter"
	"github.com/gridferry/gridferry/transfer"
	"github.com/gridferry/gridferry/wire/gsi/gsitest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"gridferry": func() { os.Exit(program().Run(context.Background(), os.Args[1:])) },
	})
}

// program is the command line with a fake service, at noon of a day in 2026.
func program() starter.Program {
	return starter.Program{
		Version:     "v0.0.0-test",
		Owner:       "ada",
		Connect:     connectFake,
		Credentials: connectCredentials,
		Maintenance: connectMaintenance,
		Secret:      askFake(),
		Serve:       serveFake,
		Host:        "Laptop.example.org",
		NewID: func() transfer.TaskID {
			names, err := filepath.Glob("task-*.json")
			if err != nil {
				panic(err)
			}
			return transfer.TaskID(fmt.Sprintf("00000000-0000-4000-8000-%012d", len(names)+1))
		},
		Now:      func() time.Time { return noon },
		Stdin:    os.Stdin,
		Stdout:   os.Stdout,
		Stderr:   os.Stderr,
		Terminal: os.Getenv("GRIDFERRY_TEST_TERMINAL") != "",
		Poll:     time.Millisecond,
	}
}

// TestScripts runs the scripts in testdata, which read as documentation.
func TestScripts(t *testing.T) {
	ca := gsitest.NewCA(t)
	ada := ca.Proxy(ca.User("Ada"))
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exitcode": exitCode,
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("TZ", "UTC")
			// Else the race detector has every command wait for a second at its end.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			return ada.SaveProxy(filepath.Join(env.WorkDir, "proxy.pem"))
		},
	})
}

// exitCode runs gridferry and wants the exit code that is its first argument:
// "exitcode 3 wait TASK".
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode code command...")
	}
	err := ts.Exec("gridferry", args[1:]...)
	code := 0
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("gridferry: %v", err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}
