package gsi

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// dataPair returns the two ends of a TCP connection on the loopback.
func dataPair(t testing.TB) (dialled, accepted net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close(); accepted.Close() })
	return dialled, accepted
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// secureBoth runs both sides of a data channel and calls each side's use at
// once when it is up, whatever the other side is still doing.
func secureBoth(t testing.TB, client, server DataConfig, use func(end string, conn, raw net.Conn) error) (clientErr, serverErr error) {
	t.Helper()
	dialled, accepted := dataPair(t)
	ctx := within(t)
	run := func(end string, raw net.Conn, config DataConfig, secure func(context.Context, net.Conn, DataConfig) (net.Conn, error)) error {
		conn, err := secure(ctx, raw, config)
		if err != nil {
			raw.Close()
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
			return err
		}
		return use(end, conn, raw)
	}
	done := make(chan error)
	go func() { done <- run("server", accepted, server, DataServer) }()
	clientErr = run("client", dialled, client, DataClient)
	return clientErr, <-done
}

// ephemeral returns the configuration of an end that has an ephemeral
// credential by DCSC.
func ephemeral(t testing.TB) DataConfig {
	t.Helper()
	c, err := NewEphemeral("data", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := c.SelfTrust()
	if err != nil {
		t.Fatal(err)
	}
	return DataConfig{Credential: c, Trust: trust}
}

// TestDataPayloadAtOnce sends from both ends the moment each is up, many times:
// whatever crypto/tls had read beyond the handshake would be missing.
func TestDataPayloadAtOnce(t *testing.T) {
	config := ephemeral(t)
	payload := bytes.Repeat([]byte("0123456789abcdef"), 1024)
	for _, v := range versions {
		for _, prot := range []Protection{Clear, Safe, Private} {
			t.Run(fmt.Sprintf("%s/%c", tls.VersionName(v), prot), func(t *testing.T) {
				config := config
				config.Prot, config.MinVersion, config.MaxVersion = prot, v, v
				rounds := 20
				if prot == Clear {
					rounds = 150
				}
				for i := range rounds {
					clientErr, serverErr := secureBoth(t, config, config, func(end string, conn, raw net.Conn) error {
						if prot == Clear && conn != raw {
							return errors.New("a clear channel is not the socket itself")
						}
						return swap(conn, payload)
					})
					if clientErr != nil || serverErr != nil {
						t.Fatalf("round %d: client: %v, server: %v", i, clientErr, serverErr)
					}
				}
			})
		}
	}
}

// swap sends the payload and expects the same from the peer.
func swap(conn net.Conn, payload []byte) error {
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(payload)
		sent <- err
	}()
	got := make([]byte, len(payload))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if !bytes.Equal(got, payload) {
		return errors.New("the payload was changed on the way")
	}
	return <-sent
}

func TestDataIdentities(t *testing.T) {
	f := newForgery(t)
	ada, bob, mallory := f.end("Ada"), f.end("Bob"), newForgery(t).end("Ada")
	orphan := f.proxy(ada)
	orphan.Chain = orphan.Chain[:1]
	end := func(c *Credential, expect string) DataConfig {
		return DataConfig{Credential: c, Trust: f.trust(), Prot: Clear, ExpectIdentity: expect}
	}
	for name, tc := range map[string]struct {
		client, server DataConfig
		reason         Reason // of the side that refuses; empty when both accept
		atServer       bool
	}{
		"the same person":              {client: end(ada, ""), server: end(ada, "")},
		"two proxies of the same":      {client: end(f.proxy(ada), ""), server: end(f.proxy(f.proxy(ada)), "")},
		"each expects the other":       {client: end(ada, "/O=Forged/CN=Bob"), server: end(bob, "/O=Forged/CN=Ada")},
		"client expects itself":        {client: end(ada, ""), server: end(bob, "/O=Forged/CN=Ada"), reason: ReasonIdentity},
		"server expects itself":        {client: end(ada, "/O=Forged/CN=Bob"), server: end(bob, ""), reason: ReasonIdentity, atServer: true},
		"a namesake elsewhere dials":   {client: end(mallory, ""), server: end(ada, ""), reason: ReasonUnknownAuthority, atServer: true},
		"a namesake elsewhere listens": {client: end(ada, ""), server: end(mallory, ""), reason: ReasonUnknownAuthority},
		"a proxy without its issuer":   {client: end(ada, ""), server: end(orphan, ada.Identity()), reason: ReasonProxyRule},
	} {
		for _, v := range versions {
			t.Run(name+"/"+tls.VersionName(v), func(t *testing.T) {
				client, server := tc.client, tc.server
				client.MinVersion, client.MaxVersion = v, v
				clientErr, serverErr := secureBoth(t, client, server, func(_ string, conn, _ net.Conn) error {
					return swap(conn, []byte("payload"))
				})
				if tc.reason == "" {
					if clientErr != nil || serverErr != nil {
						t.Errorf("client: %v, server: %v", clientErr, serverErr)
					}
					return
				}
				err, other := clientErr, serverErr
				if tc.atServer {
					err, other = other, err
				}
				var refused *TrustError
				if !errors.As(err, &refused) || refused.Reason != tc.reason {
					t.Errorf("refused for %v, want %q", err, tc.reason)
				}
				if other == nil {
					t.Error("the other side noticed nothing")
				}
			})
		}
	}
}

func TestDataConfiguration(t *testing.T) {
	config := ephemeral(t)
	for name, edit := range map[string]func(*DataConfig){
		"no protection":   func(*DataConfig) {},
		"confidentiality": func(c *DataConfig) { c.Prot = 'E' },
		"no credential":   func(c *DataConfig) { c.Prot, c.Credential = Clear, nil },
		"no trust":        func(c *DataConfig) { c.Prot, c.Trust = Clear, nil },
		"nobody": func(c *DataConfig) {
			f := newForgery(t)
			proxy := f.proxy(f.end("Ada"))
			c.Prot, c.Credential = Clear, &Credential{Chain: proxy.Chain[:1], Key: proxy.Key}
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := config
			edit(&config)
			dialled, accepted := dataPair(t)
			if _, err := DataClient(within(t), dialled, config); err == nil {
				t.Error("a client was secured")
			}
			if _, err := DataServer(within(t), accepted, config); err == nil {
				t.Error("a server was secured")
			}
		})
	}
}

func TestDataFlag(t *testing.T) {
	config := ephemeral(t)
	config.Prot = Clear
	dialled, accepted := dataPair(t)
	verify := &verifier{trust: config.Trust, identity: config.Credential.Identity()}
	conf, err := tlsConfig(config.Credential, verify, tls.VersionTLS12, tls.VersionTLS12)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := tls.Client(dialled, conf).Write(flagDelegate)
		done <- err
	}()
	if _, err := DataServer(within(t), accepted, config); err == nil {
		t.Error("delegation on a data channel was accepted")
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestDataSilentPeer(t *testing.T) {
	config := ephemeral(t)
	for _, config.Prot = range []Protection{Clear, Private} {
		dialled, accepted := dataPair(t)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		_, err := DataClient(ctx, dialled, config)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("PROT %c, a deadline: %v", config.Prot, err)
		}
		cancel()
		ctx, cancel = context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			_, err := DataServer(ctx, accepted, config)
			done <- err
		}()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("PROT %c, a cancellation: %v", config.Prot, err)
		}
	}
}

// putCounter counts the session tickets that a client is sent.
type putCounter struct{ puts int }

func (*putCounter) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (c *putCounter) Put(string, *tls.ClientSessionState)      { c.puts++ }

// TestDataNoTickets: a Globus client takes a ticket for data.
func TestDataNoTickets(t *testing.T) {
	config := ephemeral(t)
	config.Prot = Private
	dialled, accepted := dataPair(t)
	conf, err := tlsConfig(config.Credential, &verifier{trust: config.Trust}, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	cache := new(putCounter)
	conf.SessionTicketsDisabled, conf.ClientSessionCache, conf.ServerName = false, cache, "localhost"
	done := make(chan error, 1)
	go func() {
		conn, err := DataServer(within(t), accepted, config)
		if err == nil {
			_, err = conn.Write([]byte("data"))
		}
		done <- err
	}()
	got := make([]byte, 4)
	if _, err := io.ReadFull(tls.Client(dialled, conf), got); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if cache.puts != 0 {
		t.Errorf("%d tickets came before the data", cache.puts)
	}
}

// TestDataOutlivesItsContext: the context is the handshake's alone.
func TestDataOutlivesItsContext(t *testing.T) {
	config := ephemeral(t)
	for _, config.Prot = range []Protection{Clear, Private} {
		dialled, accepted := dataPair(t)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		type outcome struct {
			conn net.Conn
			err  error
		}
		done := make(chan outcome)
		go func() {
			conn, err := DataServer(ctx, accepted, config)
			done <- outcome{conn, err}
		}()
		client, err := DataClient(ctx, dialled, config)
		server := <-done
		cancel()
		if err != nil || server.err != nil {
			t.Fatalf("client: %v, server: %v", err, server.err)
		}
		go func() {
			_, err := server.conn.Write([]byte("later"))
			done <- outcome{err: err}
		}()
		got := make([]byte, 5)
		if _, err := io.ReadFull(client, got); err != nil || string(got) != "later" {
			t.Errorf("PROT %c: read %q, %v", config.Prot, got, err)
		}
		if o := <-done; o.err != nil {
			t.Errorf("PROT %c: write: %v", config.Prot, o.err)
		}
	}
}

// A feed is a connection that has data waiting and gives at most step bytes of
// it at a time.
type feed struct {
	net.Conn
	data []byte
	step int
}

func (c *feed) Read(b []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), c.step)], c.data)
	c.data = c.data[n:]
	return n, nil
}

func TestRecordConnStopsAtTheRecord(t *testing.T) {
	first, empty, second := []byte{22, 3, 3, 0, 2, 'a', 'b'}, []byte{23, 3, 3, 0, 0}, []byte{23, 3, 3, 0, 1, 'c'}
	stream := bytes.Join([][]byte{first, empty, second}, nil)
	t.Run("all waiting", func(t *testing.T) {
		r := &recordConn{Conn: &feed{data: stream, step: 100}}
		buf := make([]byte, 100)
		for _, want := range [][]byte{first[:5], first[5:], empty, second[:5], second[5:]} {
			n, err := r.Read(buf)
			if err != nil || !bytes.Equal(buf[:n], want) {
				t.Fatalf("read %v, %v; want %v", buf[:n], err, want)
			}
		}
	})
	t.Run("byte by byte", func(t *testing.T) {
		r := &recordConn{Conn: &feed{data: stream, step: 1}}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, stream) {
			t.Errorf("read %v, %v", got, err)
		}
		if r.body != 0 || r.have != 0 {
			t.Errorf("the reader stands %d and %d bytes into a record", r.body, r.have)
		}
	})
}
