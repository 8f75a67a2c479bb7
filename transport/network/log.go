package network

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/ratchet-ota/ratchet/transport/wire/pair"
)

// Lines that the process may log: so many at once, and so many a second. The daemon allows more.
const (
	logBurst  = 64
	logPerSec = 4
)

// handler sends lines to the daemon.
type handler struct {
	text slog.Handler // into line
	all  *lines
}

// lines is what all handlers of one process share.
type lines struct {
	daemon *Daemon

	mu     sync.Mutex
	line   bytes.Buffer
	tokens float64
	filled time.Time
}

func newHandler(d *Daemon, least slog.Level) slog.Handler {
	l := &lines{daemon: d, tokens: logBurst, filled: time.Now()}
	o := &slog.HandlerOptions{Level: least, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
			return slog.Attr{} // the daemon has its own time and level, and the message stands before the rest
		}
		return a
	}}
	return handler{slog.NewTextHandler(&l.line, o), l}
}

func (h handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.text.Enabled(ctx, level)
}

func (h handler) WithAttrs(a []slog.Attr) slog.Handler { return handler{h.text.WithAttrs(a), h.all} }

func (h handler) WithGroup(name string) slog.Handler { return handler{h.text.WithGroup(name), h.all} }

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	l := h.all
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.tokens = min(logBurst, l.tokens+now.Sub(l.filled).Seconds()*logPerSec)
	l.filled = now
	if l.tokens < 1 {
		return nil
	}
	l.tokens--
	l.line.Reset()
	if err := h.text.Handle(ctx, r); err != nil {
		return err
	}
	text := strings.TrimSpace(r.Message + " " + l.line.String())
	return l.daemon.send(pair.Log{Level: int8(r.Level), Text: text})
}
