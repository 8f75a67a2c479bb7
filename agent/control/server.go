package control

import (
	"context"
	"errors"
	"net"
	"os"
)

// Access says who may do what. Root, and the user that the daemon runs as, may do everything. Whoever
// may write may read.
type Access struct {
	Read, Write           []uint32 // user ids
	ReadGroup, WriteGroup []uint32 // group ids, primary or supplementary
	// NoSocketGroup takes the read verbs away from the group of the socket file, which has them otherwise.
	NoSocketGroup bool
	// Report is told what went wrong with a connection (a panic of the handler is a *PanicError), so
	// that the caller can log it. It may be nil; calls are concurrent.
	Report func(error)
}

// Listen listens on the unix socket path.
func Listen(path string, mode os.FileMode) (net.Listener, error) {
	return nil, errors.New("internal error")
}

// Serve answers requests.
func Serve(ctx context.Context, l net.Listener, a Access, h Handler) error {
	return errors.New("internal error")
}
