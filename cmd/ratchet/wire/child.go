package wire

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/connect"
	"github.com/ratchet-ota/ratchet/hal/linux/sandbox"
	"github.com/ratchet-ota/ratchet/transport/network"
	"github.com/ratchet-ota/ratchet/transport/wire/pair"
)

// DefaultUser is the system user that has nothing but the daemon's connections.
const DefaultUser = "ratchet-net"

// child is a confined process of this program.
type child struct {
	*sandbox.Child
	conn pair.Conn
	last *lastWords
}

// startNetwork starts `ratchet net`.
func startNetwork(c *config.Config, s connect.Settings) (network.Child, error) {
	conn, theirs, err := pair.Sockets()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	defer w.Close()
	started, err := sandbox.Start(sandbox.Options{Args: []string{"net"}, Files: []*os.File{theirs}, Stderr: w,
		User: netUser(c), Read: readable(s), Network: true, Without: c.Sandbox.Without})
	if err != nil {
		return nil, errors.Join(err, conn.Close(), r.Close())
	}
	return &child{started, conn, hear(r)}, nil
}

func netUser(c *config.Config) string {
	if c.Sandbox.User != "" {
		return c.Sandbox.User
	}
	return DefaultUser
}

// Conn implements network.Child.
func (c *child) Conn() pair.Conn { return c.conn }

// Features implements network.Child.
func (c *child) Features() (all []pair.Feature) {
	for _, f := range c.Child.Features() {
		all = append(all, pair.Feature(f))
	}
	return all
}

// Wait implements network.Child.
func (c *child) Wait() error {
	err := c.Child.Wait()
	if text := c.last.String(); err != nil && text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return err
}

// lastWords is the beginning of what a process says where only a crash says anything.
type lastWords struct {
	from *os.File
	mu   sync.Mutex
	text []byte
	done chan struct{}
}

// lastTime is how long last words are waited for. They are in the pipe when a process ends; but another process can
// hold its end of the pipe, where the kernel has nothing by which the first one is kept from making processes.
const lastTime = time.Second

// hear reads r to its end; what is beyond the first few lines is let go.
func hear(r *os.File) *lastWords {
	l := &lastWords{from: r, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		defer r.Close()
		_, _ = io.Copy(l, r)
	}()
	return l
}

func (l *lastWords) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p[:min(len(p), pair.MaxText-len(l.text))]...)
	return len(p), nil
}

// String is what was heard, in one line, without where in the program that was: the line is for people, and it is to be
// the same one each time. The process has ended.
func (l *lastWords) String() string {
	_ = l.from.SetReadDeadline(time.Now().Add(lastTime))
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	text := string(l.text)
	for _, trace := range []string{"\ngoroutine ", "\nruntime stack:"} {
		text, _, _ = strings.Cut(text, trace)
	}
	return strings.TrimSpace(pair.Line(text))
}
