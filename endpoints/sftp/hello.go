package sftp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The greeting of a session is spoken here, and played back to the library,
// which does not ask for the server's limits.

// Numbers of packets (draft-ietf-secsh-filexfer-02, 3).
const (
	packetInit          = 1
	packetVersion       = 2
	packetExtended      = 200
	packetExtendedReply = 201
	protocolVersion     = 3
)

// Extensions (OpenSSH's PROTOCOL, 4).
const (
	extLimits      = "limits@openssh.com"
	extPosixRename = "posix-rename@openssh.com"
	extFsync       = "fsync@openssh.com"
	extStatVFS     = "statvfs@openssh.com"
)

const (
	// maxPacket is the longest packet that is taken, as of OpenSSH.
	maxPacket = 256 << 10
	// maxGreeting bounds what a server tells of itself.
	maxGreeting = 32 << 10
	// maxExtensions bounds how many extensions it names.
	maxExtensions = 256
	// safePayload is what all servers take in one packet (the same draft, 3).
	safePayload = 32 << 10
	// room is what a packet has besides the bytes of a file.
	room = 1 << 10
)

var errMalformed = errors.New("the server's packet is malformed")

// greeting is what a server says of itself.
type greeting struct {
	raw        []byte            // its first packet, as it came
	extensions map[string]string // name to version
	payload    int               // bytes of a file in one packet
}

// greet begins a session. The server has said nothing yet.
func greet(rw io.ReadWriter) (greeting, error) {
	g := greeting{payload: safePayload}
	init := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 5, packetInit}, protocolVersion)
	if _, err := rw.Write(init); err != nil {
		return g, err
	}
	raw, err := readPacket(rw, maxGreeting)
	if err != nil {
		return g, err
	}
	g.raw = raw
	if g.extensions, err = parseVersion(raw[4:]); err != nil {
		return g, err
	}
	if g.extensions[extLimits] != "1" {
		return g, nil
	}
	const id = 1
	ask := []byte{0, 0, 0, 0, packetExtended}
	ask = binary.BigEndian.AppendUint32(ask, id)
	ask = binary.BigEndian.AppendUint32(ask, uint32(len(extLimits)))
	ask = append(ask, extLimits...)
	binary.BigEndian.PutUint32(ask, uint32(len(ask)-4))
	if _, err := rw.Write(ask); err != nil {
		return g, err
	}
	answer, err := readPacket(rw, maxGreeting)
	if err != nil {
		return g, err
	}
	g.payload, err = parseLimits(answer[4:], id)
	return g, err
}

// readPacket reads one packet of at most limit bytes, its length included.
func readPacket(r io.Reader, limit int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || int64(n) > int64(limit-4) {
		return nil, fmt.Errorf("%w: it is %d bytes", errMalformed, n)
	}
	packet := make([]byte, 4+n)
	copy(packet, head[:])
	_, err := io.ReadFull(r, packet[4:])
	return packet, err
}

// parseVersion returns the extensions of a VERSION packet.
func parseVersion(b []byte) (map[string]string, error) {
	f := fields{b: b}
	if kind, version := f.byte(), f.uint32(); f.bad || kind != packetVersion {
		return nil, errMalformed
	} else if version != protocolVersion {
		return nil, fmt.Errorf("the server speaks version %d of SFTP, not %d", version, protocolVersion)
	}
	ext := map[string]string{}
	for len(f.b) > 0 {
		name, value := f.string(), f.string()
		if f.bad || len(ext) >= maxExtensions {
			return nil, errMalformed
		}
		ext[name] = value
	}
	return ext, nil
}

// parseLimits returns how many bytes of a file may be in one packet. A server
// that has no answer has the least that it must have.
func parseLimits(b []byte, id uint32) (int, error) {
	f := fields{b: b}
	kind, got := f.byte(), f.uint32()
	if f.bad || got != id {
		return 0, errMalformed
	}
	if kind != packetExtendedReply {
		return safePayload, nil
	}
	packet, read, write, _ := f.uint64(), f.uint64(), f.uint64(), f.uint64()
	if f.bad {
		return 0, errMalformed
	}
	n := uint64(maxPacket - room)
	for _, limit := range []uint64{read, write} {
		if limit > 0 { // 0 is no limit, or none that is known
			n = min(n, limit)
		}
	}
	if packet > 2*room {
		n = min(n, packet-room)
	}
	return int(max(n, room)), nil
}

// fields takes a packet apart.
type fields struct {
	kind byte // of the packet, where it is known
	b    []byte
	bad  bool // it was shorter than what was asked for
}

func (f *fields) take(n uint32) []byte {
	if f.bad || uint64(n) > uint64(len(f.b)) {
		f.bad = true
		return nil
	}
	b := f.b[:n]
	f.b = f.b[n:]
	return b
}

func (f *fields) byte() byte {
	if b := f.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) uint32() uint32 {
	if b := f.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (f *fields) uint64() uint64 {
	if b := f.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (f *fields) string() string { return string(f.take(f.uint32())) }
