package transport

import (
	"errors"
	"time"
)

// Backoff spaces attempts that failed: exponential between Min and Max, with jitter, so that a
// fleet which lost its server at one instant does not come back at one instant.
type Backoff struct {
	Min time.Duration // the first pause, at most
	Max time.Duration // no pause is longer
}

// Validate reports a back-off that would spin or never grow: 0 < Min <= Max must hold.
func (b Backoff) Validate() error {
	if b.Min <= 0 || b.Max < b.Min {
		return errors.New("cannot use back-off: need 0 < min <= max")
	}
	return nil
}

// Delay returns the pause before retry n (0 is the first): with d = min(Max, Min * 2^n), a duration
// in [d/2, d]. r in [0, 1) chooses it; the caller draws r, so that tests are exact.
func (b Backoff) Delay(n int, r float64) time.Duration {
	d := b.Min
	for ; n > 0 && d < b.Max; n-- {
		if d > b.Max/2 {
			d = b.Max
			break
		}
		d *= 2
	}
	d = min(d, b.Max)
	return d/2 + time.Duration(r*float64(d-d/2))
}
