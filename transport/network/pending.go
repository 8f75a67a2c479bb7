package network

import (
	"os"
	"sync"
	"time"
)

// fileWait is how long a file may take to be opened, or to be read: its file system may not answer. It is so short that
// several such files are told of before the process is taken for dead (lookWait, askWait).
const fileWait = 4 * time.Second

// Pending is work on files that may not end. Its zero value is ready.
type Pending struct {
	mu    sync.Mutex
	paths map[string]bool
}

// Within is what do makes of the file at path, or os.ErrDeadlineExceeded when that takes too long; late then gets what
// comes after all. While it has not come nothing else is done with the file: it would cost another thread, and end
// as late.
func Within[T any](p *Pending, path string, do func() (T, error), late func(T)) (T, error) {
	type result struct {
		v   T
		err error
	}
	var none T
	tooLong := errorf("%s: its file system does not answer: %w", path, os.ErrDeadlineExceeded)
	p.mu.Lock()
	busy := p.paths[path]
	if p.paths == nil {
		p.paths = map[string]bool{}
	}
	p.paths[path] = true
	p.mu.Unlock()
	if busy {
		return none, tooLong
	}
	done, left := make(chan result), make(chan struct{})
	defer close(left)
	go func() {
		v, err := do()
		p.mu.Lock()
		delete(p.paths, path)
		p.mu.Unlock()
		select {
		case done <- result{v, err}:
		case <-left:
			if err == nil {
				late(v)
			}
		}
	}()
	timer := time.NewTimer(fileWait)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.v, r.err
	case <-timer.C:
		return none, tooLong
	}
}
