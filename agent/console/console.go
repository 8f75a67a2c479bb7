// Package console answers the people at a device, and their tools: what it is and does (status, slots, history,
// evidence), and what they may ask for (install, confirm, revert, approve, recover).
//
// What is only looked at is read from the executor's view and the journal, at any time. What is asked for goes
// through the executor: it takes a request up between two actions, and the machine answers it. Nothing is kept
// here; what a person's request changes is durable when it is answered.
package console

import (
	"context"
	"time"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/internal/view"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal"
)

// Options are what a Console works with.
type Options struct {
	Device  string // id
	Version string // of this program
	Slots   [2]Slot
	Network bool // messages can come
	Journal bool // there is one that outlives the process

	Boot    bootctl.Backend // only its State is asked
	Clock   hal.Clock
	Online  func() (bool, time.Time)
	Offline func() error  // why it is not
	Signer  *trust.Signer // nil: evidence cannot be exported signed
	Counter func(context.Context) control.CounterStatus
	Seen    func() (evidence.Head, error) // how far records may leave the device; it is durable when it returns
	Store   *store.Store
	View    *view.View
	Reset   hal.ResetCause // why this boot began
	// Problems are what is missing or cannot be used now; from any goroutine
	Problems func() []reason.Problem
	Intake   *intake.Intake // only within Ask

	// Ask has run called by the goroutine that owns the machine's state, with that state. The event that run
	// returns goes to the machine, whose answer Ask returns; where run returns none, its error is the answer.
	// It is refused (intake.Refused) while an action is in progress that hears nobody. An action that the answer
	// leaves no place for has ended when Ask returns.
	Ask func(ctx context.Context, run func(context.Context, life.State) (life.Event, error)) (life.Answer, error)
	// Adopt makes a change of the book durable, and then has it hold. Only within Ask.
	Adopt func(intake.Change) error
	// Quarantined is why a manifest or an image is quarantined. Only within Ask.
	Quarantined func(digest string) (cause reason.Reason, ok bool)
}

// Slot is one slot for people.
type Slot struct {
	Name  bootctl.Slot
	Parts map[string]string // component -> device or file
}

// Console may be used by several goroutines.
type Console struct{ o Options }

// New makes a console.
func New(o Options) *Console { return &Console{o} }

func (c *Console) moment() life.Moment {
	online, _ := c.o.Online()
	return life.Moment{Uptime: c.o.Clock.Uptime(), Online: online}
}

// do is Ask for what the machine has no part in.
func (c *Console) do(ctx context.Context, run func(life.State) error) error {
	_, err := c.o.Ask(ctx, func(_ context.Context, s life.State) (life.Event, error) { return nil, run(s) })
	return err
}
