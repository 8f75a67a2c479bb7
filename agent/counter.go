package agent

import (
	"context"
	"fmt"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/reason"
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

// knowCounter records, once for each, which hardware counter guards the device. Another origin than
// the one before means that somebody deleted the counter and made it again, or exchanged the TPM. The
// last known one may be gone with the journal; it is in the evidence that was sent.
func (a *Agent) knowCounter(ctx context.Context) error {
	if a.o.Counter == nil || a.counterKnown {
		return nil
	}
	origin, err := a.o.Counter.Origin(ctx)
	if err != nil || origin == "" {
		return nil // what needs the counter waits, and status says why
	}
	var before string
	if a.st.load(keyCounter, &before) && before == origin {
		a.counterKnown = true
		return nil
	}
	e := evidence.Event{Kind: evidence.KindCounter, Detail: map[string]string{"counter": a.counterName(ctx), "origin": origin}}
	if before != "" {
		e.Reason, e.Detail["was"] = reason.CounterReplaced, before
	}
	if err := a.note(e, func(tx journal.Tx) error { return put(tx, keyCounter, origin) }); err != nil {
		return err
	}
	a.counterKnown = true
	return nil
}
