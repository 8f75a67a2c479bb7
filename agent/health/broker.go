package health

import (
	"context"
	"errors"
	"time"
)

// BrokerName is the name of the Broker check.
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
