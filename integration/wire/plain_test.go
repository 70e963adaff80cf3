package wire_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/globus"
	"github.com/gridferry/gridferry/wire/gridftp"
)

// plainServers are the servers without GSI that must work as endpoints: how to
// start each, and its tree.
func plainServers(t *testing.T) map[string]func() (gridftp.Config, string) {
	named := func(addr string) gridftp.Config {
		return gridftp.Config{Scheme: gridftp.FTP, Addr: addr, User: globus.PlainUser, Password: globus.PlainPassword}
	}
	return map[string]func() (gridftp.Config, string){
		"vsftpd": func() (gridftp.Config, string) {
			s := globus.NewVsftpd(t, "")
			return gridftp.Config{Scheme: gridftp.FTP, Addr: s.Addr()}, s.Root
		},
		"proftpd": func() (gridftp.Config, string) {
			s := globus.NewProftpd(t, "")
			return named(s.Addr()), s.Root
		},
		"anonymous Globus": func() (gridftp.Config, string) {
			s := globus.NewServer(t, globus.Options{Plain: true})
			return gridftp.Config{Scheme: gridftp.FTP, Addr: s.Addr()}, s.Root
		},
		"Globus with a password": func() (gridftp.Config, string) {
			s := globus.NewServer(t, globus.Options{Plain: true})
			return named(s.Addr()), s.Root
		},
		"Globus over ssh": func() (gridftp.Config, string) {
			s := globus.NewSSHServer(t, "")
			return gridftp.Config{Scheme: gridftp.SSHFTP, Addr: s.Host + ":" + strconv.Itoa(s.Port), User: s.User, SSH: s.SSH(), SSHServer: s.Command}, s.Root
		},
	}
}

// TestPlain uses each as an endpoint.
func TestPlain(t *testing.T) {
	for _, name := range []string{"vsftpd", "proftpd", "anonymous Globus", "Globus with a password", "Globus over ssh"} {
		t.Run(name, func(t *testing.T) {
			config, root := plainServers(t)[name]()
			ctx := bounded(t)
			c := open(t, config)
			whole := content(1, 1_500_000)
			must(t, c.Mkdir(ctx, root+"/a dir"))
			n, err := c.Put(ctx, gridftp.Transfer{Path: root + "/a dir/f 1", Source: source(whole), Size: int64(len(whole))}, gridftp.TransferOptions{})
			if err != nil || n != int64(len(whole)) {
				t.Fatalf("put: %d, %v", n, err)
			}
			want(t, root+"/a dir/f 1", whole)
			must(t, os.WriteFile(root+"/a dir/.hidden", nil, 0o644))
			must(t, os.WriteFile(root+"/a dir/-dash", []byte("12"), 0o600))

			var names []string
			must(t, c.List(ctx, root+"/a dir", func(page []gridftp.Entry) error {
				for _, e := range page {
					names = append(names, fmt.Sprintf("%s %s %d %o", e.Name, e.Type, e.Size, e.Mode))
				}
				return nil
			}))
			slices.Sort(names)
			if wanted := []string{"-dash file 2 600", ".hidden file 0 644", "f 1 file 1500000 644"}; !slices.Equal(names, wanted) {
				t.Errorf("listed %q, want %q", names, wanted)
			}

			e, err := c.Stat(ctx, root+"/a dir/f 1")
			if err != nil || e.Type != gridftp.TypeFile || e.Size != int64(len(whole)) || time.Since(e.ModTime) > time.Hour {
				t.Errorf("stat: %+v, %v", e, err)
			}
			if e, err = c.Stat(ctx, root+"/a dir"); err != nil || !e.IsDir() {
				t.Errorf("stat of a folder: %+v, %v", e, err)
			}
			var refusal *gridftp.ReplyError
			if _, err = c.Stat(ctx, root+"/none"); !errors.As(err, &refusal) {
				t.Errorf("stat of nothing: %v", err)
			}

			var got memory
			n, err = c.Get(ctx, gridftp.Transfer{Path: root + "/a dir/f 1", Sink: &got}, gridftp.TransferOptions{})
			if err != nil || n != int64(len(whole)) || !bytes.Equal(got.b, whole) {
				t.Errorf("get: %d, %v", n, err)
			}
			for _, part := range []gridftp.Range{{Off: 100, End: 1000}, {Off: 1_400_000, End: 1_500_000}} {
				in, err := c.Open(ctx, root+"/a dir/f 1", part.Off, part.Len(), gridftp.TransferOptions{})
				must(t, err)
				b, err := io.ReadAll(in)
				if err != nil || !bytes.Equal(b, whole[part.Off:part.End]) {
					t.Errorf("part %v: %d bytes, %v", part, len(b), err)
				}
				must(t, in.Close())
			}
			f, err := c.Create(ctx, root+"/a dir/f 1", &gridftp.Range{Off: 500, End: 600}, 100, gridftp.TransferOptions{})
			must(t, err)
			_, err = f.Write(bytes.Repeat([]byte("x"), 100))
			must(t, errors.Join(err, f.Commit()))
			changed := bytes.Clone(whole)
			copy(changed[500:600], bytes.Repeat([]byte("x"), 100))
			want(t, root+"/a dir/f 1", changed)

			i := 0
			done := 0
			must(t, c.PutAll(ctx, gridftp.TransferOptions{}, func(context.Context) (gridftp.Transfer, bool) {
				i++
				return gridftp.Transfer{Path: fmt.Sprintf("%s/a dir/n%d", root, i), Source: source(content(i, i)), Key: i}, i <= 20
			}, func(r gridftp.Transferred) {
				if r.Err != nil {
					t.Errorf("file %d: %v", r.Key, r.Err)
				}
				done++
			}))
			if done != 20 {
				t.Errorf("%d of 20 files were put", done)
			}
			if _, err = c.Get(ctx, gridftp.Transfer{Path: root + "/none", Sink: &got}, gridftp.TransferOptions{}); !errors.As(err, &refusal) {
				t.Errorf("get of nothing: %v", err)
			}

			when := time.Date(2001, 9, 9, 1, 46, 40, 0, time.UTC)
			must(t, c.SetModTime(ctx, root+"/a dir/f 1", when))
			if at, err := c.ModTime(ctx, root+"/a dir/f 1"); err != nil || !at.Equal(when) {
				t.Errorf("time %v, %v", at, err)
			}
			must(t, c.Rename(ctx, root+"/a dir/f 1", root+"/moved"))
			must(t, c.RemoveFile(ctx, root+"/moved"))
			if err := c.RemoveDir(ctx, root+"/a dir"); !errors.As(err, &refusal) {
				t.Errorf("a full folder was removed: %v", err)
			}
			must(t, c.Noop(ctx))
			must(t, c.Quit(ctx))
		})
	}
}

// TestPlainThirdParty moves files between servers of which one, or neither,
// knows GridFTP.
func TestPlainThirdParty(t *testing.T) {
	for _, pair := range [][2]string{{"vsftpd", "proftpd"}, {"proftpd", "vsftpd"}, {"anonymous Globus", "proftpd"}, {"proftpd", "Globus with a password"}, {"Globus over ssh", "anonymous Globus"}, {"Globus with a password", "Globus over ssh"}} {
		t.Run(pair[0]+" to "+pair[1], func(t *testing.T) {
			from, a := plainServers(t)[pair[0]]()
			to, b := plainServers(t)[pair[1]]()
			var files []gridftp.File
			for i, size := range []int{0, 1, 300_000} {
				must(t, os.WriteFile(fmt.Sprintf("%s/f%d", a, i), content(i, size), 0o644))
				files = append(files, gridftp.File{Source: fmt.Sprintf("%s/f%d", a, i), Dest: fmt.Sprintf("%s/g%d", b, i), Size: int64(size), Key: i})
			}
			move(t, open(t, from), open(t, to), gridftp.Options{}, files...)
			wantMoved(t, files)
		})
	}
}
