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
	// most is where the process ends, in bytes. The runtime of Go takes 64 MiB at once on processors of 64 bits.
	most = 256 << 20
	// endTime is how long the end of a killed process is waited for.
	endTime = 5 * time.Second
)

// shared is the argument that says that descriptors 3 and 4 are the way back.
const shared = "shared-memory"

// Process confines this process and decodes what comes in, until it is at its end. args are what Start gave it.
func Process(in io.Reader, out io.Writer, args []string) error {
	debug.SetGCPercent(40)
	debug.SetMemoryLimit(heap)
	p := sandbox.Policy{Memory: most}
	if len(args) > 0 && args[0] == shared {
		s, err := newSender(os.NewFile(4, "memory"), os.NewFile(3, "back"), out)
		if err != nil {
			return err
		}
		out, args, p.Files = s, args[1:], 1
	}
	p.Without = args
	sandbox.Confine(p)
	return slots.Unpack(in, out)
}

// Start starts this program as such a process, of the system user's name, without the features that are named.
func Start(user string, without []string) (*Child, error) { return start(user, without, newMemory) }

func start(user string, without []string, newMemory func() (*os.File, []byte, error)) (_ *Child, err error) {
	var ours, theirs []*os.File // to be closed: both if it fails, else theirs
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
		for _, f := range ours {
			if err != nil {
				f.Close()
			}
		}
	}()
	pipe := func() (r, w *os.File) {
		if err == nil {
			r, w, err = os.Pipe()
		}
		return r, w
	}
	inR, inW := pipe()
	outR, outW := pipe()
	backR, backW := pipe()
	if err != nil {
		return nil, err // what was opened goes with its finalizer
	}
	ours, theirs = []*os.File{inW, outR, backW}, []*os.File{inR, outW, backR}
	// Without a standard error: it could write lines of the log that look like the daemon's.
	o := sandbox.Options{Args: append([]string{"unpack"}, without...), Stdin: inR, Stdout: outW, User: user,
		Without: without}
	c := &Child{in: inW, out: outR, back: backW, Reader: outR}
	memory, mem, noMemory := newMemory()
	if noMemory == nil {
		theirs = append(theirs, memory)
		o.Args = append([]string{"unpack", shared}, without...)
		o.Files = []*os.File{backR, memory}
		c.shared = &receiver{bell: outR, back: backW, mem: mem}
		c.Reader = c.shared
		if _, err := backW.Write(make([]byte, halves)); err != nil {
			return nil, err
		}
	}
	if c.child, err = sandbox.Start(o); err != nil && c.shared != nil {
		c.shared.close()
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Child is the daemon's end.
type Child struct {
	io.Reader

	child         *sandbox.Child
	in, out, back *os.File
	shared        *receiver // nil on a kernel without memory files: all comes through the pipe
	once          sync.Once
	err           error
}

var _ slots.Unpacker = (*Child)(nil)

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
		p.back.Close()
		if p.shared != nil {
			p.shared.close()
		}
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
