package sftp

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
)

// What a server sends is bounded, and makes no trouble, whatever it is.
func FuzzPackets(f *testing.F) {
	str := func(s string) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }
	version := bytes.Join([][]byte{{packetVersion, 0, 0, 0, 3}, str(extLimits), str("1"), str("x"), str("")}, nil)
	limits := append([]byte{packetExtendedReply, 0, 0, 0, 1}, bytes.Repeat([]byte{0, 0, 0, 0, 0, 4, 0, 0}, 4)...)
	names := bytes.Join([][]byte{{0, 0, 0, 2}, str("f"), str("-rw f"), {0, 0, 0, 15}, make([]byte, 28), str(".."), str(""), {0, 0, 0, 0}}, nil)
	for _, seed := range [][]byte{nil, version, limits, names, {0, 0, 0, 1, 0, 0, 0, 1, '/', 0, 0, 0, 0, 0, 0, 0, 0}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if ext, err := parseVersion(b); err == nil && len(ext) > maxExtensions {
			t.Errorf("%d extensions", len(ext))
		}
		if n, err := parseLimits(b, 1); err == nil && (n < room || n > maxPacket-room) {
			t.Errorf("%d bytes in a packet", n)
		}
		entries, err := parseNames(&fields{b: b})
		for _, e := range entries {
			if err == nil && (e.Name == "" || e.Name == ".." || strings.Contains(e.Name, "/") || e.Size < 0) {
				t.Errorf("it lists %+v", e)
			}
		}
		packet, err := readPacket(bytes.NewReader(b), 1<<10)
		if err == nil && (len(packet) > 1<<10 || !bytes.HasPrefix(b, packet)) {
			t.Errorf("%d bytes of %d", len(packet), len(b))
		}
	})
}

func FuzzJumps(f *testing.F) {
	for _, seed := range []string{"", "h", "ada@h:22", "[::1]:2222, x@h", "@h", "h:0", "a@b@c", "-oProxyCommand=x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		hops, err := parseJumps(text)
		if err != nil {
			return
		}
		for _, h := range hops {
			if again, err := address(h.addr); err != nil || again != h.addr {
				t.Errorf("%q of %q is %q, %v", h.addr, text, again, err)
			}
		}
	})
}

// A greeting as OpenSSH gives it.
func TestGreet(t *testing.T) {
	packet := func(b ...[]byte) []byte {
		all := bytes.Join(b, nil)
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(all))), all...)
	}
	str := func(s string) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }
	hello := []byte{packetVersion, 0, 0, 0, 3}
	limits := func(packet, read, write, handles uint64) []byte {
		b := []byte{packetExtendedReply, 0, 0, 0, 1}
		for _, n := range []uint64{packet, read, write, handles} {
			b = binary.BigEndian.AppendUint64(b, n)
		}
		return b
	}
	ext := bytes.Join([][]byte{str(extLimits), str("1"), str(extFsync), str("1")}, nil)
	for name, c := range map[string]struct {
		says    []byte
		payload int // 0: refused
		asks    int // bytes
	}{
		"OpenSSH":         {append(packet(hello, ext), packet(limits(256<<10, 255<<10, 255<<10, 1019))...), 255 << 10, 9 + 31},
		"an old one":      {packet(hello), safePayload, 9},
		"no limits":       {append(packet(hello, ext), packet(limits(0, 0, 0, 0))...), maxPacket - room, 9 + 31},
		"small packets":   {append(packet(hello, ext), packet(limits(34000, 32768, 32768, 10))...), 32768, 9 + 31},
		"no answer":       {append(packet(hello, ext), packet([]byte{packetStatus, 0, 0, 0, 1, 0, 0, 0, 8})...), safePayload, 9 + 31},
		"another version": {packet([]byte{packetVersion, 0, 0, 0, 6}), 0, 9},
		"a banner":        {[]byte("Welcome to this host\n"), 0, 9},
		"cut off":         {packet(hello)[:6], 0, 9},
	} {
		var asked bytes.Buffer
		g, err := greet(struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(c.says), &asked})
		if (err == nil) != (c.payload > 0) || err == nil && g.payload != c.payload || asked.Len() != c.asks {
			t.Errorf("%s: %d bytes in a packet after asking %q, %v", name, g.payload, asked.Bytes(), err)
		}
	}
}
