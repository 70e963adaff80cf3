// Command nullcopy is the least that copies a directory from one GridFTP server
// to another: it logs in, lists, makes directories, and pipelines RETR and STOR.
// It keeps no ledger, tries nothing again, uses final names at once, and checks
// nothing but the servers' replies. What gridferry does beyond it is what
// gridferry costs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/gridferry/gridferry/wire/gridftp"
	"github.com/gridferry/gridferry/wire/gsi"
)

func main() {
	pairs := flag.Int("pairs", 1, "sessions with each server")
	parallel := flag.Int("p", 1, "data connections of a pair")
	window := flag.Int("window", gridftp.MaxWindow, "files in flight of a pair")
	verify := flag.Bool("verify", false, "compare checksums that both servers compute")
	encrypt := flag.Bool("encrypt", false, "encrypt the data on its way")
	noDCAU := flag.Bool("nodcau", false, "leave data channels unauthenticated")
	flag.Parse()
	c := copier{options: gridftp.Options{Parallelism: *parallel, Window: *window}, pairs: *pairs, verify: *verify}
	if *encrypt {
		c.options.Prot = gsi.Private
	}
	if *noDCAU {
		c.options.Auth = gridftp.AuthNone
	}
	if flag.NArg() != 2 || *pairs < 1 {
		fmt.Fprintln(os.Stderr, "usage: nullcopy [flags] gsiftp://HOST/FROM gsiftp://HOST/TO; with a slash at their ends they are directories")
		os.Exit(2)
	}
	if err := c.run(context.Background(), flag.Arg(0), flag.Arg(1)); err != nil {
		fmt.Fprintln(os.Stderr, "nullcopy:", err)
		os.Exit(1)
	}
}

// A copier copies one tree, or one file.
type copier struct {
	options gridftp.Options
	pairs   int
	verify  bool
	files   queue
}

// A queue has no bound: a pair alone lists everything before it copies.
type queue struct {
	mu    sync.Mutex
	more  sync.Cond
	files []gridftp.File
	ended bool
}

func (q *queue) add(files ...gridftp.File) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.files = append(q.files, files...)
	q.more.Broadcast()
}

// end says that nothing more is coming.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.more.Broadcast()
}

// take waits for a file, and is false when there are no more.
func (q *queue) take(context.Context) (gridftp.File, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.files) == 0 && !q.ended {
		q.more.Wait()
	}
	if len(q.files) == 0 {
		return gridftp.File{}, false
	}
	file := q.files[0]
	q.files = q.files[1:]
	return file, true
}

func (c *copier) run(ctx context.Context, source, dest string) error {
	from, err := place(source)
	if err != nil {
		return err
	}
	to, err := place(dest)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.files.more.L = &c.files.mu
	var all sync.WaitGroup
	for i := range c.pairs {
		all.Go(func() {
			if err := c.pair(ctx, from, to, i == 0); err != nil {
				cancel(err)
				c.files.end()
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// A location is a server and a path there.
type location struct {
	config gridftp.Config
	path   string
	dir    bool
}

func place(text string) (location, error) {
	u, err := url.Parse(text)
	if err != nil {
		return location{}, err
	}
	if u.Scheme != "gsiftp" {
		return location{}, fmt.Errorf("%s is no gsiftp URL", text)
	}
	l := location{path: path.Clean(u.Path), dir: strings.HasSuffix(u.Path, "/")}
	l.config = gridftp.Config{Scheme: gridftp.GSIFTP, Addr: u.Host}
	if l.config.Credential, err = gsi.FromEnvironment(); err != nil {
		return location{}, err
	}
	l.config.Trust, err = gsi.LoadTrust(gsi.DefaultTrustDir())
	return l, err
}

// pair is one session with each server. The first lists while the others copy
// already, and joins them.
func (c *copier) pair(ctx context.Context, from, to location, first bool) error {
	src, dst, err := login(ctx, from.config, to.config)
	if err != nil {
		return err
	}
	defer src.Close()
	defer dst.Close()
	if first {
		if err := c.walk(ctx, src, dst, from, to); err != nil {
			return err
		}
	}
	options := c.options
	if c.verify {
		if options.Checksum = shared(src, dst); options.Checksum == "" {
			return errors.New("the servers share no checksum")
		}
	}
	var differ error
	err = gridftp.ThirdParty(ctx, src, dst, options, c.files.take, gridftp.Observer{Done: func(o gridftp.Outcome) {
		if c.verify && (o.SumErr != nil || o.SourceSum != o.DestSum) {
			differ = fmt.Errorf("%s and its copy have the checksums %q and %q (%w)", o.Source, o.SourceSum, o.DestSum, o.SumErr)
		}
	}})
	return errors.Join(err, differ)
}

func login(ctx context.Context, from, to gridftp.Config) (src, dst *gridftp.Client, err error) {
	var both sync.WaitGroup
	var errs [2]error
	both.Go(func() { src, errs[0] = gridftp.Dial(ctx, from) })
	both.Go(func() { dst, errs[1] = gridftp.Dial(ctx, to) })
	both.Wait()
	return src, dst, errors.Join(errs[:]...)
}

func shared(src, dst *gridftp.Client) string {
	for _, alg := range src.Features().Checksums() {
		for _, other := range dst.Features().Checksums() {
			if alg == other {
				return alg
			}
		}
	}
	return ""
}

// walk lists the source and makes the directories. A destination that is there
// is refused, as is one whose parent is not.
func (c *copier) walk(ctx context.Context, src, dst *gridftp.Client, from, to location) error {
	defer c.files.end()
	if !from.dir {
		c.files.add(gridftp.File{Source: from.path, Dest: to.path, Size: -1})
		return nil
	}
	dirs := []string{""}
	for len(dirs) > 0 {
		dir := dirs[0]
		dirs = dirs[1:]
		if err := dst.Mkdir(ctx, path.Join(to.path, dir)); err != nil {
			return err
		}
		err := src.List(ctx, path.Join(from.path, dir), func(entries []gridftp.Entry) error {
			var files []gridftp.File
			for _, e := range entries {
				name := path.Join(dir, e.Name)
				if e.IsDir() {
					dirs = append(dirs, name)
				} else {
					files = append(files, gridftp.File{Source: path.Join(from.path, name), Dest: path.Join(to.path, name), Size: -1})
				}
			}
			c.files.add(files...)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
