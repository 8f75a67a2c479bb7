package rig

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// prefixed writes whole lines, each with a prefix, for several writers that share mu.
type prefixed struct {
	to     io.Writer
	mu     *sync.Mutex
	prefix string
	rest   []byte
}

// Write implements io.Writer.
func (w *prefixed) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, p...)
	for {
		line, rest, ok := bytes.Cut(w.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		w.rest = rest
		if _, err := fmt.Fprintf(w.to, "%s%s\n", w.prefix, line); err != nil {
			return len(p), err
		}
	}
}
