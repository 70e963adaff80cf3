package chaos

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gridferry/gridferry/integration/harness"
)

// A wallClock is what a running process takes for the time of day. Go programs
// ask no C library, which could be replaced, but the code that the kernel maps
// into each process (vdso(7)). That code is changed in the one process: it asks
// the kernel, and adds an offset. The clock of the machine stays as it is, and
// so does the process's monotonic clock, as when an administrator sets a clock.
type wallClock struct {
	pid    int
	offset int64 // where in the process the offset is, an int64 in seconds
}

// asked is the code: clock_gettime by system call, and for CLOCK_REALTIME the
// offset, which is in the eight bytes before.
func asked() []byte {
	return []byte{
		0xb8, 0xe4, 0x00, 0x00, 0x00, // mov eax, 228
		0x0f, 0x05, // syscall
		0x85, 0xc0, // test eax, eax
		0x75, 0x0e, // jnz end
		0x85, 0xff, // test edi, edi
		0x75, 0x0a, // jnz end
		0x48, 0x8b, 0x0d, 0xe2, 0xff, 0xff, 0xff, // mov rcx, [rip-30]
		0x48, 0x01, 0x0e, // add [rsi], rcx
		0xc3, // end: ret
	}
}

// newWallClock takes over the clock of a process that is stopped.
func newWallClock(pid int) (*wallClock, error) {
	if runtime.GOARCH != "amd64" {
		return nil, fmt.Errorf("the code that tells a process the time is known for amd64 only")
	}
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	var from, to int64
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, "[vdso]") {
			if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
				return nil, err
			}
		}
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer memory.Close()
	image := make([]byte, to-from)
	if _, err := memory.ReadAt(image, from); err != nil {
		return nil, fmt.Errorf("read the vDSO of process %d: %w", pid, err)
	}
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, err
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return nil, err
	}
	for _, s := range symbols {
		if s.Name != "__vdso_clock_gettime" {
			continue
		}
		// The image ends before its last page does.
		used := int64(len(bytes.TrimRight(image, "\x00")))
		room := (used + 31) &^ 15
		code := append(make([]byte, 8), asked()...)
		if room+int64(len(code)) > int64(len(image)) {
			return nil, fmt.Errorf("no room in the vDSO of process %d", pid)
		}
		jump := binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(room+8-int64(s.Value)-5))
		for _, w := range []struct {
			bytes []byte
			at    int64
		}{{code, room}, {jump, int64(s.Value)}} {
			if _, err := memory.WriteAt(w.bytes, from+w.at); err != nil {
				return nil, fmt.Errorf("change the vDSO of process %d: %w", pid, err)
			}
		}
		return &wallClock{pid: pid, offset: from + room}, nil
	}
	return nil, fmt.Errorf("the vDSO of process %d tells no time", pid)
}

// set puts the clock that far off the machine's.
func (c *wallClock) set(by time.Duration) error {
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", c.pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	_, err = memory.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(by/time.Second)), c.offset)
	return err
}

// TestWallClock steps the clock of one process, this test's binary.
func TestWallClock(t *testing.T) {
	if os.Getenv("CHAOS_TELL_TIME") != "" {
		for range 400 {
			fmt.Printf("%d\n", time.Now().Unix())
			time.Sleep(50 * time.Millisecond) // the process under test: it has nothing to wait for
		}
		return
	}
	harness.NeedRoot(t, "it changes the memory of another process")
	self, err := os.Executable()
	must(t, err)
	p := harness.Start(t, harness.Command{
		Name: "clock", Path: self, Args: []string{"-test.run", "^TestWallClock$"}, Env: harness.Environment("CHAOS_TELL_TIME=1"),
	})
	off := func(want time.Duration) func() error {
		return func() error {
			lines := strings.Fields(p.Log())
			var told int64
			if len(lines) > 0 {
				fmt.Sscan(lines[len(lines)-1], &told)
			}
			if d := time.Until(time.Unix(told, 0)); d < want-2*time.Second || d > want+2*time.Second {
				return fmt.Errorf("its clock is off by %v, not %v", d, want)
			}
			return nil
		}
	}
	p.Ready(10*time.Second, off(0))
	p.Freeze()
	clock, err := newWallClock(p.PID())
	must(t, err)
	p.Thaw()
	for _, by := range []time.Duration{10 * time.Minute, -10 * time.Minute, 0} {
		must(t, clock.set(by))
		p.Ready(5*time.Second, off(by))
	}
}
