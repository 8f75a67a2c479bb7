package health

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ratchet-ota/ratchet/hal"
)

// BrokerName is the name of the Broker check: a trial that fails of it alone may have failed of the
// network, and says nothing about the image.
const BrokerName = "broker"

// Broker holds while the connection to the broker stands, the same one from round to round: a
// connection that was lost and made again between two rounds breaks the soak.
type Broker struct {
	// Online tells whether the connection stands and since when. Only whether since changes counts,
	// so that a clock that is wrong does no harm.
	Online func() (online bool, since time.Time)

	seen time.Time
}

// Name is BrokerName.
func (b *Broker) Name() string { return BrokerName }

// Run looks once.
func (b *Broker) Run(context.Context) error {
	online, since := b.Online()
	before := b.seen
	b.seen = since
	switch {
	case !online:
		b.seen = time.Time{}
		return errors.New("the broker is not reachable")
	case !before.IsZero() && !before.Equal(since):
		return errors.New("the connection to the broker was lost and made again")
	}
	return nil
}

// Uptime holds when the machine is up for Min. Plan.MinUptime delays only the verdict; this check
// delays the begin of the soak.
type Uptime struct {
	Clock hal.Clock
	Min   time.Duration
}

// Name is "minimum uptime".
func (u Uptime) Name() string { return "minimum uptime" }

// Run looks once.
func (u Uptime) Run(context.Context) error {
	if up := u.Clock.Uptime(); up < u.Min {
		return fmt.Errorf("the machine is up for %v, less than %v", up.Round(time.Second), u.Min)
	}
	return nil
}
