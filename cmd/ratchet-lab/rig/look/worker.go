package look

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/explorer"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
)

// Verb is what the program starts itself with, and a folder for files, to look at disks: that needs bubbles of virtual
// time, and a crash of the agent must be one cut's.
const Verb = "rig-look"

// task is one disk to look at.
type task struct {
	Run       Run
	Recording *disk.Recording
	Cut       disk.Cut
}

// answer is what became of a task. Err is of the lab, not of the disk.
type answer struct {
	Finding Finding
	Err     string
}

// Work is the process: tasks come in as lines of JSON, answers go out the same way. dir is for files.
func Work(in io.Reader, out io.Writer, dir string) {
	explorer.Host(func(t *testing.T) int {
		debug.SetGCPercent(100)
		answers := json.NewEncoder(out)
		var c *Checker
		defer func() {
			if c != nil {
				_ = c.Close()
			}
		}()
		for tasks := json.NewDecoder(in); ; {
			var next task
			if err := tasks.Decode(&next); err != nil {
				return 0 // no more
			}
			var a answer
			err := error(nil)
			if c == nil || c.Rec.Name != next.Recording.Name || c.run != next.Run {
				if c != nil {
					_ = c.Close()
				}
				c, err = Open(next.Run, dir, next.Recording)
			}
			if err == nil {
				a.Finding, err = c.Look(context.Background(), t, next.Cut)
			}
			if err != nil {
				a.Err = err.Error()
			}
			if err := answers.Encode(a); err != nil {
				return 1
			}
		}
	})
}

// looker is one such process.
type looker struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	err *strings.Builder
}

func startLooker(ctx context.Context, dir string) (*looker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	l := &looker{cmd: exec.CommandContext(ctx, self, Verb, dir), err: &strings.Builder{}}
	l.cmd.Stderr = l.err
	if l.in, err = l.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	l.out = bufio.NewReader(out)
	return l, l.cmd.Start()
}

func (l *looker) end() error { return errors.Join(l.in.Close(), l.cmd.Wait()) }

// look has one disk looked at. A process that ends is the disk's doing, and l is useless then.
func (l *looker) look(x task) (f Finding, alive bool, err error) {
	b, err := json.Marshal(x)
	if err != nil {
		return f, true, err
	}
	var a answer
	_, werr := l.in.Write(append(b, '\n'))
	line, rerr := l.out.ReadBytes('\n')
	if err := errors.Join(werr, rerr); err != nil {
		_ = l.end()
		said := strings.TrimSpace(l.err.String())
		return Finding{Wrong: fmt.Sprintf("the program ended (%v): %.2000s", err, said)}, false, nil
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return f, true, err
	}
	if a.Err != "" {
		err = errors.New(a.Err)
	}
	return a.Finding, true, err
}

// All looks at the disks of the cuts, with so many processes of this program at once, and returns what was found, in
// the order of the cuts. A process that ends is a finding, and another is started.
func All(ctx context.Context, r Run, rec *disk.Recording, cuts []disk.Cut, workers int) ([]Finding, error) {
	out := make([]Finding, len(cuts))
	scratch, err := scratchDir(r.Root)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	workers = min(max(1, workers), len(cuts))
	errs := make([]error, workers)
	next := 0
	var mu sync.Mutex
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			var l *looker
			defer func() {
				if l != nil {
					_ = l.end()
				}
			}()
			for ctx.Err() == nil {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= len(cuts) {
					return
				}
				if l == nil {
					if l, errs[w] = startLooker(ctx, filepath.Join(scratch, fmt.Sprint(w))); errs[w] != nil {
						return
					}
				}
				alive, err := true, error(nil)
				if out[i], alive, err = l.look(task{r, rec, cuts[i]}); err != nil {
					errs[w] = fmt.Errorf("cut %d %s of %s: %w", cuts[i].Point, cuts[i].Variant, rec.Name, err)
					return
				}
				if !alive {
					l = nil
				}
			}
		})
	}
	wait.Wait()
	return out, errors.Join(append(errs, ctx.Err())...)
}

// scratchRoom is what the processes need, with room to spare.
const scratchRoom = 1 << 30

// scratchDir is a directory for many small files that are flushed often: in memory where there is room.
func scratchDir(dir string) (string, error) {
	if free, err := freeBytes("/dev/shm"); err == nil && free > scratchRoom {
		if tmp, err := os.MkdirTemp("/dev/shm", "ratchet-rig-"); err == nil {
			return tmp, nil
		}
	}
	return os.MkdirTemp(dir, "look-")
}

// freeBytes is the room on the file system of path.
func freeBytes(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
