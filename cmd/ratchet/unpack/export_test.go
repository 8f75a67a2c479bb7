package unpack

import (
	"errors"
	"io"
	"os"
)

// StartWithoutMemory is Start on a kernel without memory files.
func StartWithoutMemory(user string) (*Child, error) {
	return start(user, nil, func() (*os.File, []byte, error) { return nil, nil, errors.ErrUnsupported })
}

// Receive is the daemon's end of the shared memory.
func Receive(mem []byte, bell io.Reader) io.Reader {
	return &receiver{bell: bell, back: io.Discard, mem: mem}
}

// Memory is how long the shared memory is.
const Memory = half * halves
