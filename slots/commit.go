package slots

import (
	"sync"
)

// committer makes checkpoints durable, one after the other, while later blocks are being written.
type committer struct {
	w      *writer
	serial bool
	stop   func() // ends the fetching; called with the first error
	marks  chan Checkpoint
	done   sync.WaitGroup

	mu  sync.Mutex
	err error // the first; nothing is committed after it
}

func (c *committer) start() {
	c.marks = make(chan Checkpoint)
	if c.serial {
		return
	}
	c.done.Go(func() {
		for m := range c.marks {
			c.save(m)
		}
	})
}

// commit takes a checkpoint all of whose bytes have been written. It waits until the one before it
// is durable.
func (c *committer) commit(m Checkpoint) {
	if c.serial {
		c.save(m)
	} else {
		c.marks <- m
	}
}

func (c *committer) save(m Checkpoint) {
	if c.failed() != nil {
		return
	}
	// Crash: before Sync has returned -> the checkpoint before this one, whose bytes a later write
	// never touches; between Sync and the end of Save -> that one, or this one, whose bytes are
	// durable; after -> this one. Save before Sync could name bytes that are not there.
	var err error
	if e := c.w.dev.Sync(); e != nil {
		err = &MediumError{Op: "sync", Off: m.Written, Err: e}
	} else if c.w.o.Save != nil {
		if e := c.w.o.Save(m); e != nil {
			err = errorf("cannot save checkpoint at byte %d: %w", m.Written, e)
		}
	}
	if err != nil {
		c.mu.Lock()
		c.err = err
		c.mu.Unlock()
		c.stop()
	} else {
		c.w.saved.Store(m.Written)
	}
	select {
	case c.w.moved <- struct{}{}:
	default:
	}
}

func (c *committer) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// wait ends the committer once all it was given is durable or has failed.
func (c *committer) wait() error {
	close(c.marks)
	c.done.Wait()
	return c.failed()
}
