package agent

import (
	"context"
	"fmt"

	"github.com/ratchet-ota/ratchet/agent/control"
)

// readCounter reads the counter, and keeps what it said for status, which must not wait for a TPM.
// Kind is "" when there is no counter. One in a file is weak: whoever could damage it could as well
// turn it back, so that nothing waits for it.
func (a *Agent) readCounter(ctx context.Context) control.CounterStatus {
	if a.o.Counter == nil {
		return control.CounterStatus{}
	}
	s := control.CounterStatus{Kind: a.o.Counter.Kind(), Weak: a.o.Counter.Kind() == "file"}
	v, err := a.o.Counter.Read(ctx)
	if err == nil {
		s.Value = v
	} else {
		s.Error = err.Error()
	}
	a.counter.Store(&s)
	return s
}

// counterNow is the counter as it was read last.
func (a *Agent) counterNow(ctx context.Context) control.CounterStatus {
	if s := a.counter.Load(); s != nil && !s.Weak {
		return *s
	}
	return a.readCounter(ctx)
}

// counterName is the counter and where it stands, for the record.
func (a *Agent) counterName(ctx context.Context) string {
	switch c := a.readCounter(ctx); {
	case c.Kind == "":
		return ""
	case c.Error != "":
		return c.Kind + ", not readable"
	default:
		return fmt.Sprintf("%s at %d", c.Kind, c.Value)
	}
}

// counterValue is the counter for a decision; unread says why it could not be read. One that is weak counts
// as it stands: nothing waits for it.
func (a *Agent) counterValue() (value uint64, unread string) {
	switch c := a.readCounter(context.Background()); {
	case c.Error == "":
		return c.Value, ""
	case !c.Weak:
		return 0, c.Error
	}
	return 0, ""
}
