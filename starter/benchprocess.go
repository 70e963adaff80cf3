package starter

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what a process has cost.
type usage struct {
	elapsed, cpu time.Duration // CPU time with that of its children
}

const (
	// stopLimit is how long a process may take to end when it is asked to.
	stopLimit = 10 * time.Second
	// keptOutput is how much of what a process says is kept, in bytes.
	keptOutput = 4 << 10
	// versionLimit bounds a program that is asked for its version.
	versionLimit = 5 * time.Second
)

// runProcess runs a program to its end. Its last words are part of the error.
func runProcess(ctx context.Context, program string, args []string) (usage, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var said lastBytes
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = stopLimit
	ownGroup(cmd)
	start := time.Now()
	err := cmd.Run()
	used := usage{elapsed: time.Since(start)}
	if cmd.ProcessState != nil {
		used.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(said))
	}
	return used, err
}

// lastBytes keeps the end of what is written to it.
type lastBytes []byte

func (l *lastBytes) Write(p []byte) (int, error) {
	*l = append(*l, p...)
	if extra := len(*l) - keptOutput; extra > 0 {
		*l = append((*l)[:0], (*l)[extra:]...)
	}
	return len(p), nil
}

// programVersion is the first line that a program says of its version.
func programVersion(program string) string {
	argv := map[string][]string{
		"globus-url-copy": {program, "-version"},
		"scp":             {"ssh", "-V"}, // scp itself does not tell
		"sftp":            {"ssh", "-V"},
		"rclone":          {program, "version"},
		"sh":              {"sh", "-c", "echo the shell"}, // of which not all know their version
		"nullcopy":        {"sh", "-c", "echo of this checkout"},
	}[program]
	if argv == nil {
		argv = []string{program, "--version"}
	}
	ctx, cancel := context.WithTimeout(context.Background(), versionLimit)
	defer cancel()
	// Its end says nothing: globus-url-copy's exit code is 1 here.
	out, _ := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if line == "" {
		return "of unknown version"
	}
	return sentence(line)
}

// clockTick is the unit of CPU times in /proc: USER_HZ, which is 100 in every
// Linux that user space sees.
const clockTick = time.Second / 100

// cpuTime is the CPU time that processes and all their descendants have used,
// those that have ended included where they were waited for, as servers do
// with the processes of their sessions. Only Linux tells.
func cpuTime(pids []int) (time.Duration, error) {
	if len(pids) == 0 {
		return 0, nil
	}
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	ticks := make(map[int]int64)
	children := make(map[int][]int)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has just ended
		}
		pid, parent, used, err := parseStat(string(text))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		ticks[pid] = used
		children[parent] = append(children[parent], pid)
	}
	var sum int64
	counted := make(map[int]bool)
	for _, pid := range pids {
		if _, alive := ticks[pid]; !alive {
			return 0, fmt.Errorf("there is no process %d", pid)
		}
		queue := []int{pid}
		for len(queue) > 0 {
			next := queue[0]
			queue = append(queue[1:], children[next]...)
			if !counted[next] {
				counted[next] = true
				sum += ticks[next]
			}
		}
	}
	return time.Duration(sum) * clockTick, nil
}

// parseStat takes /proc/PID/stat (proc(5)): the process, its parent, and its
// CPU time in ticks with that of the children it has waited for.
func parseStat(text string) (pid, parent int, ticks int64, err error) {
	// The name of the program is in parentheses and may hold anything.
	before, _, ok := strings.Cut(text, " (")
	end := strings.LastIndexByte(text, ')')
	if !ok || end < 0 {
		return 0, 0, 0, fmt.Errorf("%q is no state of a process", text)
	}
	fields := strings.Fields(text[end+1:]) // from the third, the state, on
	const ppid, utime, cstime = 4 - 3, 14 - 3, 17 - 3
	if len(fields) <= cstime {
		return 0, 0, 0, fmt.Errorf("%q is no state of a process", text)
	}
	if pid, err = strconv.Atoi(before); err != nil {
		return 0, 0, 0, err
	}
	if parent, err = strconv.Atoi(fields[ppid]); err != nil {
		return 0, 0, 0, err
	}
	for _, field := range fields[utime : cstime+1] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, 0, 0, err
		}
		ticks += n
	}
	return pid, parent, ticks, nil
}

// loadAverage is that of the last minute, nil where the system does not tell.
func loadAverage() *float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return nil
	}
	first, _, _ := strings.Cut(string(text), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return nil
	}
	return &load
}

// busyTime is how long all CPUs together have been busy with whatever, since
// the system started (the first line of /proc/stat, proc_stat(5)); nil where it
// does not tell.
func busyTime() *time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return nil
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	const user, idle, iowait, steal = 1, 4, 5, 8
	if len(fields) <= steal {
		return nil
	}
	var ticks int64
	for i := user; i <= steal; i++ {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return nil
		}
		if i != idle && i != iowait {
			ticks += n
		}
	}
	busy := time.Duration(ticks) * clockTick
	return &busy
}
