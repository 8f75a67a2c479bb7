package unpack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// What comes back is several times the payload: through a pipe it costs a quarter more processor time than decoding
// here. So it goes by shared memory of two halves that take turns: the process fills one, says by its
// standard output how many bytes that are, and goes on with a half that it was given back (a byte on another pipe).
// The memory cannot shrink, and what the process changes behind its word is copied before it is looked at.
const (
	half   = 132 << 10 // a piece of an image with its head
	halves = 2
)

// newMemory makes the shared memory, which is mapped here and handed over as a file.
func newMemory() (*os.File, []byte, error) {
	fd, err := unix.MemfdCreate("ratchet-unpack", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, nil, err
	}
	f := os.NewFile(uintptr(fd), "memory")
	err = unix.Ftruncate(fd, half*halves)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	var mem []byte
	if err == nil {
		mem, err = unix.Mmap(fd, 0, half*halves, unix.PROT_READ, unix.MAP_SHARED)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, mem, nil
}

// sender is the process's end.
type sender struct {
	mem  []byte
	back io.Reader // a byte for each half that may be filled
	bell io.Writer
	next int
}

// newSender maps the memory that was handed over, and lets go of its file.
func newSender(memory, back *os.File, bell io.Writer) (*sender, error) {
	defer memory.Close()
	mem, err := unix.Mmap(int(memory.Fd()), 0, half*halves, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("cannot map what comes back: %w", err)
	}
	return &sender{mem: mem, back: back, bell: bell}, nil
}

// Write fills halves, and says so.
func (s *sender) Write(b []byte) (done int, err error) {
	for done < len(b) {
		var one [1]byte
		if _, err := io.ReadFull(s.back, one[:]); err != nil {
			return done, err
		}
		n := copy(s.mem[s.next*half:(s.next+1)*half], b[done:])
		if _, err := s.bell.Write(binary.LittleEndian.AppendUint32(nil, uint32(n))); err != nil {
			return done, err
		}
		s.next = (s.next + 1) % halves
		done += n
	}
	return done, nil
}

// receiver is the daemon's end.
type receiver struct {
	bell io.Reader
	back io.Writer
	mu   sync.Mutex // of mem, which close unmaps
	mem  []byte     // nil: closed
	next int        // the half that is read
	from int        // how much of it was
	to   int        // and how much there is
}

var errMemoryClosed = errors.New("closed")

func (r *receiver) Read(b []byte) (int, error) {
	for r.from == r.to {
		var word [4]byte
		if _, err := io.ReadFull(r.bell, word[:]); err != nil {
			return 0, err
		}
		n := binary.LittleEndian.Uint32(word[:])
		if n == 0 || n > half {
			return 0, fmt.Errorf("%d bytes at once are not possible", n)
		}
		r.from, r.to = 0, int(n)
	}
	n, err := r.copy(b)
	if err != nil {
		return 0, err
	}
	if r.from += n; r.from == r.to {
		r.next = (r.next + 1) % halves
		// It fails where the process has ended, which the next read tells; what it left is good.
		_, _ = r.back.Write([]byte{0})
	}
	return n, nil
}

// copy takes bytes out of the memory before anybody looks at them.
func (r *receiver) copy(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mem == nil {
		return 0, errMemoryClosed
	}
	return copy(b, r.mem[r.next*half+r.from:r.next*half+r.to]), nil
}

func (r *receiver) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mem != nil {
		_ = unix.Munmap(r.mem)
		r.mem = nil
	}
}
