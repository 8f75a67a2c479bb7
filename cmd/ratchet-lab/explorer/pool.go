package explorer

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// Work is a worker process: tasks come in as lines of JSON, tallies go out the same way. The case
// that is being played stands in the file named by note, for when it ends the process.
func Work(in io.Reader, out io.Writer, note string) {
	Host(func(t *testing.T) int {
		lab, err := NewLab(t)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		f, err := os.OpenFile(note, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer f.Close()
		lab.Watch = func(c Case) { _, _ = f.WriteAt(fmt.Appendf(nil, "%-200s\n", c), 0) }
		enc := json.NewEncoder(out)
		for lines := bufio.NewScanner(in); lines.Scan(); {
			var task Task
			if err := json.Unmarshal(lines.Bytes(), &task); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			y, err := lab.Explore(task)
			if err != nil {
				y.Fails = append(y.Fails, Failure{What: "lab", Says: err.Error()})
			}
			if err := enc.Encode(y); err != nil {
				return 1
			}
		}
		return 0
	})
}

// Pool plays tasks in worker processes.
type Pool struct {
	Command []string // that is a worker; the name of its note is appended
	Workers int
	Dir     string        // for notes
	Limit   time.Duration // of one task
}

// Run hands out what next returns, until it returns false, and calls done with each tally, one at a
// time. A worker that ends in the middle of a task is a failure of that task, and is replaced.
func (p Pool) Run(ctx context.Context, next func() (Task, bool), done func(Tally)) error {
	var mu sync.Mutex
	var wait sync.WaitGroup
	errs := make([]error, p.Workers)
	for i := range p.Workers {
		wait.Go(func() {
			w := &worker{pool: p, note: fmt.Sprintf("%s/worker-%d", p.Dir, i)}
			defer w.end()
			for ctx.Err() == nil {
				mu.Lock()
				task, ok := next()
				mu.Unlock()
				if !ok {
					return
				}
				y, err := w.play(ctx, task)
				if err != nil {
					errs[i] = err
					return
				}
				mu.Lock()
				done(y)
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

type worker struct {
	pool   Pool
	note   string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr *strings.Builder
}

func (w *worker) begin(ctx context.Context) error {
	w.cmd = exec.CommandContext(ctx, w.pool.Command[0], append(w.pool.Command[1:], w.note)...)
	w.stderr = &strings.Builder{}
	w.cmd.Stderr = w.stderr
	var err error
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	w.out = bufio.NewReaderSize(out, 1<<20)
	if err := w.cmd.Start(); err != nil {
		return fmt.Errorf("cannot start a worker: %w", err)
	}
	return nil
}

func (w *worker) end() {
	if w.cmd != nil {
		_ = w.in.Close()
		_ = w.cmd.Wait()
		w.cmd = nil
	}
}

func (w *worker) play(ctx context.Context, task Task) (Tally, error) {
	if w.cmd == nil {
		if err := w.begin(ctx); err != nil {
			return Tally{}, err
		}
	}
	b, err := json.Marshal(task)
	if err != nil {
		return Tally{}, err
	}
	slow := time.AfterFunc(w.pool.Limit, func() { _ = w.cmd.Process.Kill() })
	defer slow.Stop()
	began := time.Now()
	if _, err = w.in.Write(append(b, '\n')); err == nil {
		var line []byte
		if line, err = w.out.ReadBytes('\n'); err == nil {
			var y Tally
			if err = json.Unmarshal(line, &y); err == nil {
				return y, nil
			}
		}
	}
	w.end()
	if ctx.Err() != nil {
		return Tally{}, ctx.Err()
	}
	last, _ := os.ReadFile(w.note)
	said := strings.TrimSpace(w.stderr.String())
	if len(said) > 2000 {
		said = said[:2000]
	}
	if said == "" && time.Since(began) >= w.pool.Limit {
		said = fmt.Sprintf("nothing for %v", w.pool.Limit)
	}
	replay := strings.TrimSpace(string(last))
	return Tally{Task: task, Fails: []Failure{{Case: replay, Replay: replay, What: "crash",
		Says: "the program ended: " + strings.SplitN(said, "\n", 2)[0], Story: said}}}, nil
}
