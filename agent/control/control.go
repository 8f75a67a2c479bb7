// Package control is the local door of the agent: a unix stream socket on which the technician's
// verbs arrive, and the client that the command line uses.
//
// Protocol, version 1. A connection carries one exchange:
//
//	client: {"v":1,"verb":"install","args":{...},"files":2}\n     one line, at most MaxRequest bytes
//	server: {"progress":{...}}\n                                  any number, some may be left out
//	server: {"result":{...}}\n   or   {"error":{...}}\n           exactly one, then it closes
//
// Up to MaxFiles descriptors travel with the first byte of the request (SCM_RIGHTS, unix(7)); "files"
// is their number, so that one that was lost on the way is noticed. They are regular files or pipes,
// opened by the client with the client's rights: the daemon opens no path that a caller names. Who
// the client is, the kernel says (SO_PEERCRED), never the request. Closing the connection, or its
// sending half, means that the client has gone: the handler's context ends.
//
// A client that is slow or dead never holds the agent up: progress that it does not take is
// replaced by newer progress, not queued. Nothing here is durable; what survives a power loss is the
// business of the handler. The socket file is stale after a crash, which Listen repairs.
package control

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ratchet-ota/ratchet/agent/reason"
)

// DefaultSocket is where the daemon listens unless the configuration says otherwise.
const DefaultSocket = "/run/ratchet/ratchet.sock"

// Limits of the protocol.
const (
	MaxRequest     = 64 << 10 // bytes of a request line, newline included
	MaxResponse    = 4 << 20  // bytes of one response line, newline included
	MaxFiles       = 4        // descriptors with a request
	MaxConnections = 8        // at a time; two of them are kept for root
	MaxHistory     = 1000     // entries of one history answer
	protocol       = 1
)

// Exit codes of the command line; an Error names the one that fits.
const (
	ExitOK           = 0
	ExitFailed       = 1
	ExitUsage        = 2
	ExitRefused      = 3 // by policy or signature
	ExitDeferred     = 4
	ExitUnreachable  = 5 // the daemon does not answer
	ExitNotPermitted = 6
	ExitBusy         = 7 // an update is in progress, or too many clients
)

var (
	// ErrInUse: another daemon listens on the socket.
	ErrInUse = errors.New("another daemon is listening")
	// ErrUnreachable: nobody listens on the socket.
	ErrUnreachable = errors.New("the daemon does not answer")
	// ErrNotPermitted: the socket's file mode does not let this user in.
	ErrNotPermitted = errors.New("not permitted")
	// ErrLost: the connection ended before the result came: the daemon, or the device, restarted.
	ErrLost = errors.New("the connection ended before the result came")
)

// Peer is the process at the other end, as the kernel knows it at the time of connecting.
type Peer struct {
	UID, GID, PID int
	// Groups are the supplementary groups (SO_PEERGROUPS, Linux 4.13); nil where the kernel does not tell.
	Groups []int
}

func (p Peer) String() string { return fmt.Sprintf("uid %d (pid %d)", p.UID, p.PID) }

// Request is one exchange as the handler sees it: verb, arguments and right have been checked.
type Request struct {
	Verb Verb
	Args map[string]string
	// Files are the received descriptors, closed by the server after the handler; Take keeps one. Those
	// to be read stand at their beginning; they share their offset with the client's.
	Files []*os.File
	Peer  Peer
}

// Take hands file i over to the handler, which closes it. Nil when there is no such file.
func (r Request) Take(i int) *os.File {
	if i < 0 || i >= len(r.Files) {
		return nil
	}
	f := r.Files[i]
	r.Files[i] = nil
	return f
}

// Handler answers one request. The context ends when the client has gone, the verb's time is over
// or the server stops; a handler that must finish (a durable commit) goes on without it. progress
// never blocks and may be called from any goroutine until the handler returns. An error that is or
// wraps *Error reaches the client as it is, any other as its text with ExitFailed.
type Handler func(ctx context.Context, r Request, progress func(any)) (result any, err error)

// Error is what a client shows when a request fails.
type Error struct {
	Reason  reason.Reason `json:"reason,omitempty"` // stable word, where one fits
	Message string        `json:"message"`          // what failed and why, one sentence
	Advice  string        `json:"advice,omitempty"` // what to do about it
	Exit    int           `json:"exit"`             // exit code for the command line, 1..7
}

func (e *Error) Error() string { return e.Message }

// PanicError is a handler's panic, as handed to Access.Report.
type PanicError struct {
	Verb  Verb
	Value any
	Stack []byte
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("internal error: %s: %v\n%s", e.Verb, e.Value, e.Stack)
}
