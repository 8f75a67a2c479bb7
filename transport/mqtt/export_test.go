package mqtt

import (
	"io"
	"time"
)

// NewGuard and Announce open the packet checks to tests.
func NewGuard(r io.Reader, limit, codes int) io.Reader {
	g := newGuard(r, limit)
	g.suback.Store(int32(codes))
	return g
}

func Announce(p []byte, keepAlive time.Duration) ([]byte, error) { return announce(p, keepAlive) }

// Times of the protocol, for tests that run on a fake clock.
const (
	PingWait = pingWait
	AckWait  = ackWait
	AskAgain = askAgain
	InFlight = inFlight
)
