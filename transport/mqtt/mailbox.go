package mqtt

import (
	"context"
	"sync"

	"github.com/ratchet-ota/ratchet/transport"
)

// mailbox holds at most one message per topic, the newest, until the receiver takes it. Putting
// never waits, so paho's reader is never held up; memory is bounded by topics * transport.MaxMessage.
type mailbox struct {
	out  chan transport.Message // unbuffered: what is not taken can still be replaced
	wake chan struct{}

	mu    sync.Mutex
	slots []waiting // one per topic
	puts  uint64
}

type waiting struct {
	m   transport.Message
	put uint64 // order of arrival; 0: empty
}

func newMailbox(topics int) *mailbox {
	return &mailbox{
		out:   make(chan transport.Message),
		wake:  make(chan struct{}, 1),
		slots: make([]waiting, topics),
	}
}

// put replaces what waits for topic i.
func (b *mailbox) put(i int, m transport.Message) {
	b.mu.Lock()
	b.puts++
	b.slots[i] = waiting{m, b.puts}
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// oldest returns what has waited longest.
func (b *mailbox) oldest() (w waiting, i int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for j, s := range b.slots {
		if s.put != 0 && (w.put == 0 || s.put < w.put) {
			w, i = s, j
		}
	}
	return w, i
}

// taken empties slot i unless something newer stands there already.
func (b *mailbox) taken(i int, w waiting) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.slots[i].put == w.put {
		b.slots[i] = waiting{}
	}
}

// run hands messages over until ctx ends.
func (b *mailbox) run(ctx context.Context) {
	for {
		w, i := b.oldest()
		out := b.out
		if w.put == 0 {
			out = nil
		}
		select {
		case out <- w.m:
			b.taken(i, w)
		case <-b.wake: // something came: it may replace w
		case <-ctx.Done():
			return
		}
	}
}
