package mqtt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/ratchet-ota/ratchet/transport/wire"
)

const (
	writeWait = 30 * time.Second // for one packet to be taken by the network
	pingWait  = 20 * time.Second // for the answer to a ping, or the next bytes of a message before it
	longest   = 1 << 20          // bytes of a message that is passed over
)

// link is one connection to the broker as paho sees it. It checks what comes in (guard) and keeps
// the connection alive itself: paho's own keep-alive wakes up every 5 s whatever the interval, this
// one has a single timer that fires once per keep-alive. Paho's is switched off by announcing a
// keep-alive of 0, so link writes the real one into the CONNECT packet on its way out.
type link struct {
	net.Conn
	guard     *wire.Guard
	keepAlive time.Duration

	writing sync.Mutex // one packet at a time, deadline included
	started bool       // CONNECT has been written; guarded by writing

	mu    sync.Mutex
	wrote time.Time // last packet out
	asked time.Time // ping not yet answered; zero: none
	heard time.Time // last byte in
	timer *time.Timer
	cause error // why the link ended; nil while it is up
	done  chan struct{}
}

func newLink(conn net.Conn, limit int, keepAlive time.Duration) *link {
	l := &link{Conn: conn, keepAlive: keepAlive, done: make(chan struct{})}
	l.guard = wire.NewGuard(heard{l}, wire.Options{Limit: limit, Cut: true, Longest: longest, Arrived: l.arrived})
	l.wrote = time.Now()
	l.mu.Lock() // the timer may fire before it is assigned
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(keepAlive, l.tick)
	return l
}

// heard is what comes in, with the time noted: while a long message arrives, an answer to a ping waits behind it.
type heard struct{ l *link }

func (h heard) Read(p []byte) (int, error) {
	n, err := h.l.Conn.Read(p)
	if n > 0 {
		h.l.mu.Lock()
		h.l.heard = time.Now()
		h.l.mu.Unlock()
	}
	return n, err
}

// Read implements net.Conn.
func (l *link) Read(p []byte) (int, error) {
	n, err := l.guard.Read(p)
	if err != nil {
		l.fail(plain(err))
	}
	return n, err
}

// Write implements net.Conn. Each call carries one whole packet.
func (l *link) Write(p []byte) (int, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	if !l.started {
		q, err := announce(p, l.keepAlive)
		if err != nil {
			l.fail(err)
			return 0, err
		}
		p, l.started = q, true
	}
	n, err := l.send(p)
	if err != nil {
		l.fail(plain(err))
		return n, err
	}
	l.mu.Lock()
	l.wrote = time.Now()
	l.mu.Unlock()
	return n, nil
}

// send writes a packet within writeWait. A deadline that stays set would wake an idle process, and a TLS read may
// have to write.
func (l *link) send(p []byte) (n int, err error) {
	if err = l.SetWriteDeadline(time.Now().Add(writeWait)); err == nil {
		n, err = l.Conn.Write(p)
	}
	if err == nil {
		err = l.SetWriteDeadline(time.Time{})
	}
	return n, err
}

// Close implements net.Conn.
func (l *link) Close() error {
	l.fail(net.ErrClosed)
	return nil
}

// fail ends the link; the first cause stands.
func (l *link) fail(cause error) {
	l.mu.Lock()
	first := l.cause == nil
	if first {
		l.cause = cause
		l.timer.Stop()
		close(l.done)
	}
	l.mu.Unlock()
	if first {
		l.Conn.Close()
	}
}

// err is why the link ended, nil while it is up.
func (l *link) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// arrived notes the answer to a ping. Whatever else is sent is acknowledged, and missed elsewhere.
func (l *link) arrived(typ int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if typ == wire.TypePingresp && !l.asked.IsZero() && l.cause == nil {
		l.asked = time.Time{}
		l.timer.Reset(l.keepAlive)
	}
}

// busy reports whether an answer may wait behind a message that is arriving.
func (l *link) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.behind(time.Now())
}

func (l *link) behind(now time.Time) bool { return l.guard.Inside() && now.Sub(l.heard) < pingWait }

// tick runs when the timer fires: the silence may have lasted a keep-alive, or an answer is late.
func (l *link) tick() {
	l.mu.Lock()
	now := time.Now()
	due, late := l.wrote.Add(l.keepAlive), !l.asked.IsZero()
	switch {
	case l.cause != nil:
		l.mu.Unlock()
		return
	case late && l.behind(now):
		l.timer.Reset(pingWait)
		l.mu.Unlock()
		return
	case late:
		l.mu.Unlock()
		l.fail(fmt.Errorf("no answer to a ping within %v", pingWait))
		return
	case now.Before(due):
		l.timer.Reset(due.Sub(now))
		l.mu.Unlock()
		return
	}
	l.asked = now
	l.timer.Reset(pingWait)
	l.mu.Unlock()
	_, _ = l.Write([]byte{wire.TypePingreq << 4, 0}) // a failure ends the link by itself
}

// announce returns a CONNECT packet with the keep-alive set (MQTT 3.1.1, section 3.1.2.10).
func announce(p []byte, keepAlive time.Duration) ([]byte, error) {
	at := 1
	for at < len(p) && at < 5 && p[at]&0x80 != 0 {
		at++
	}
	at++ // past the fixed header: protocol name, level 4, flags, keep-alive
	const prefix = "\x00\x04MQTT\x04"
	if len(p) < at+len(prefix)+3 || p[0] != wire.TypeConnect<<4 || !bytes.HasPrefix(p[at:], []byte(prefix)) {
		return nil, errors.New("internal error: first packet is not an MQTT 3.1.1 CONNECT")
	}
	q := bytes.Clone(p)
	s := uint16(keepAlive / time.Second)
	q[at+len(prefix)+1], q[at+len(prefix)+2] = byte(s>>8), byte(s)
	return q, nil
}

// plain puts the usual ends of a connection into words.
func plain(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("broker closed the connection: %w", err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("broker does not answer: %w", err)
	}
	return err
}
