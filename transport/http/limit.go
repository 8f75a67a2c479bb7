package http

import (
	"context"
	"sync"
	"time"
)

// limiter is a token bucket without a goroutine: it keeps the moment up to which the allowed bytes
// have been spent. An idle bucket holds a quarter of a second.
type limiter struct {
	rate int64 // bytes/s; 0 is no limit

	mu    sync.Mutex
	spent time.Time
}

const burst = 250 * time.Millisecond

// chunk is the most that may be read at once, so that no wait is long.
func (l *limiter) chunk(n int) int {
	if l.rate == 0 {
		return n
	}
	return min(n, int(max(l.rate/8, 16)))
}

// wait spends n bytes and waits until they are allowed.
func (l *limiter) wait(ctx context.Context, n int) error {
	if l.rate == 0 || n == 0 {
		return nil
	}
	l.mu.Lock()
	now := time.Now()
	if full := now.Add(-burst); l.spent.Before(full) {
		l.spent = full
	}
	l.spent = l.spent.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
	d := l.spent.Sub(now)
	l.mu.Unlock()
	return sleep(ctx, d)
}

// sleep waits for d or the end of ctx, whose cause it returns.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
