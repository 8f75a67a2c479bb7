// Package unpack is the process that decodes zstd for the daemon: both ends of it. It has no network, no
// files, no rights, and no way to get any; it reads the payload from its standard input and writes the image to
// its standard output, in the words of package slots. It lives as long as one image takes. Nothing of
// it outlasts a power cut.
package unpack

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/ratchet-ota/ratchet/hal/linux/sandbox"
	"github.com/ratchet-ota/ratchet/slots"
)

const (
	// heap is what the decoder's memory is kept near to: the largest window, and what one frame takes.
	heap = 16 << 20
	// most is where the process ends. The runtime of Go takes 64 MiB at once on processors of 64 bits.
	most = 256 << 20
	// endTime is how long the end of a killed process is waited for.
	endTime = 5 * time.Second
)

// Process confines this process and decodes what comes in, until it is at its end.
func Process(in io.Reader, out io.Writer, without []string) error {
	debug.SetGCPercent(40)
	debug.SetMemoryLimit(heap)
	sandbox.Confine(sandbox.Policy{Memory: most, Without: without})
	return slots.Unpack(in, out)
}

// Start starts this program as such a process, of the system user's name, without the features that are named.
func Start(user string, without []string) (*Child, error) {
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer inR.Close()
	outR, outW, err := os.Pipe()
	if err != nil {
		inW.Close()
		return nil, err
	}
	defer outW.Close()
	// Without a standard error: it could write lines of the log that look like the daemon's.
	c, err := sandbox.Start(sandbox.Options{Args: append([]string{"unpack"}, without...), Stdin: inR, Stdout: outW,
		User: user, Without: without})
	if err != nil {
		inW.Close()
		outR.Close()
		return nil, err
	}
	return &Child{child: c, in: inW, out: outR}, nil
}

// Child is the daemon's end.
type Child struct {
	child   *sandbox.Child
	in, out *os.File
	once    sync.Once
	err     error
}

var _ slots.Unpacker = (*Child)(nil)

// Read implements slots.Unpacker.
func (p *Child) Read(b []byte) (int, error) { return p.out.Read(b) }

// Write implements slots.Unpacker.
func (p *Child) Write(b []byte) (int, error) { return p.in.Write(b) }

// CloseWrite implements slots.Unpacker.
func (p *Child) CloseWrite() error { return p.in.Close() }

// Pid is the number of the process.
func (p *Child) Pid() int { return p.child.Pid() }

// Close implements slots.Unpacker. A process that is at its end already keeps its own cause.
func (p *Child) Close() error {
	p.once.Do(func() {
		p.child.Kill()
		p.in.Close()
		p.out.Close()
		select {
		case <-p.child.Done():
			p.err = p.child.Wait()
		case <-time.After(endTime):
			p.err = errors.New("not ended, though it was killed")
		}
		if p.err != nil {
			p.err = fmt.Errorf("%w (process %d)", p.err, p.child.Pid())
		}
	})
	return p.err
}
