package main

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
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/explorer"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
)

// lookVerb is what rig starts itself with: looking at disks needs bubbles of virtual time, and a crash
// of the agent must be one cut's.
const lookVerb = "rig-look"

// lookTask is one disk to look at.
type lookTask struct {
	Target    string
	Root      string // directory of the target's run
	Recording *disk.Recording
	Cut       disk.Cut
}

// lookAnswer is what became of a task. Err is of the lab, not of the disk.
type lookAnswer struct {
	Finding finding
	Err     string
}

// lookWork is the process: tasks come in as lines of JSON, answers go out the same way. dir is for files.
func lookWork(in io.Reader, out io.Writer, dir string) {
	explorer.Host(func(t *testing.T) int {
		debug.SetGCPercent(100)
		answer := json.NewEncoder(out)
		var c *checker
		defer func() {
			if c != nil {
				_ = c.Close()
			}
		}()
		for tasks := json.NewDecoder(in); ; {
			var task lookTask
			if err := tasks.Decode(&task); err != nil {
				return 0 // no more
			}
			var a lookAnswer
			err := error(nil)
			if c == nil || c.rec.Name != task.Recording.Name || c.root != task.Root {
				if c != nil {
					_ = c.Close()
				}
				c = nil
				if board, ok := board.Find(task.Target); ok {
					c, err = newChecker(board, task.Root, dir, task.Recording)
				} else {
					err = fmt.Errorf("there is no target %q", task.Target)
				}
			}
			if err == nil {
				a.Finding, err = c.look(context.Background(), t, task.Cut)
			}
			if err != nil {
				a.Err = err.Error()
			}
			if err := answer.Encode(a); err != nil {
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
	l := &looker{cmd: exec.CommandContext(ctx, self, lookVerb, dir), err: &strings.Builder{}}
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
func (l *looker) look(task lookTask) (f finding, alive bool, err error) {
	b, err := json.Marshal(task)
	if err != nil {
		return f, true, err
	}
	var a lookAnswer
	_, werr := l.in.Write(append(b, '\n'))
	line, rerr := l.out.ReadBytes('\n')
	if err := errors.Join(werr, rerr); err != nil {
		_ = l.end()
		said := strings.TrimSpace(l.err.String())
		return finding{Wrong: fmt.Sprintf("the program ended (%v): %.2000s", err, said)}, false, nil
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return f, true, err
	}
	if a.Err != "" {
		err = errors.New(a.Err)
	}
	return a.Finding, true, err
}

// lookAll looks at the disks of the cuts, with as many processes as there are processors.
func (r *rig) lookAll(ctx context.Context, rec *disk.Recording, cuts []disk.Cut) ([]finding, error) {
	out := make([]finding, len(cuts))
	scratch, err := scratchDir(r.Dir)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	workers := min(max(1, runtime.NumCPU()/r.o.together), len(cuts))
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
				if out[i], alive, err = l.look(lookTask{r.target.Name, r.Dir, rec, cuts[i]}); err != nil {
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
