package myproxyd

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCommand(t *testing.T) {
	t.Setenv("PLANTED", "from the daemon's environment")
	const check = `IFS= read -r given
[ "$GRIDFERRY_USER" = ada ] && [ "$GRIDFERRY_ADDRESS" = 192.0.2.1 ] && [ -z "$PLANTED" ] || exit 3
[ "$given" = 'correct horse' ]`
	for name, c := range map[string]struct {
		script, secret string
		right, wrong   bool
		says           string
	}{
		"right":             {script: check, secret: secret, right: true},
		"wrong":             {script: check, secret: "wrong", wrong: true},
		"spaces count":      {script: check, secret: " " + secret, wrong: true},
		"does not read":     {script: "exit 0", secret: secret, right: true},
		"cannot tell":       {script: "echo the server is down >&2; exit 2", secret: secret, says: "the server is down"},
		"killed":            {script: "kill -9 $$", secret: secret, says: "killed"},
		"tells the secret":  {script: "cat >&2; exit 2", secret: secret, says: "has the pass phrase in it"},
		"floods":            {script: "head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 2", secret: secret, says: strings.Repeat("x", maxComplaint)},
		"hangs":             {script: "sleep 100 & wait", secret: secret, says: "no answer"},
		"newline in itself": {script: `[ "$(wc -l)" = 1 ]`, secret: secret, right: true},
	} {
		t.Run(name, func(t *testing.T) {
			limit := time.Minute
			if name == "hangs" {
				limit = 200 * time.Millisecond
			}
			command := Command{Args: []string{"/bin/sh", "-c", c.script}, Timeout: limit}
			err := command.Verify(t.Context(), Attempt{User: "ada", Secret: []byte(c.secret), From: netip.MustParseAddr("192.0.2.1")})
			var wrong *Wrong
			switch {
			case c.right && err != nil, c.wrong && !errors.As(err, &wrong):
				t.Error(err)
			case !c.right && !c.wrong && (err == nil || errors.As(err, &wrong) || !strings.Contains(err.Error(), c.says)):
				t.Errorf("%v", err)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the pass phrase is in %q", err)
			}
		})
	}
}

func TestCommandMissing(t *testing.T) {
	var wrong *Wrong
	err := Command{Args: []string{filepath.Join(t.TempDir(), "none")}}.Verify(t.Context(), Attempt{User: "ada", Secret: []byte(secret)})
	if err == nil || errors.As(err, &wrong) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestCommandEndsWithItsConversation(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (Command{Args: []string{"/bin/sh", "-c", "sleep 100"}}).Verify(ctx, Attempt{User: "ada"}); err == nil {
		t.Error("a command outlived the conversation")
	}
}
