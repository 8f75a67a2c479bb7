package transport_test

import (
	"math"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
)

func TestBackoff(t *testing.T) {
	b := transport.Backoff{Min: time.Second, Max: time.Minute}
	for n, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
		want *= time.Second
		if low, high := b.Delay(n, 0), b.Delay(n, 1); low != want/2 || high != want {
			t.Errorf("retry %d: %v to %v, want %v to %v", n, low, high, want/2, want)
		}
		if d := b.Delay(n, 0.5); d != want*3/4 {
			t.Errorf("retry %d: %v in the middle, want %v", n, d, want*3/4)
		}
	}
	long := transport.Backoff{Min: math.MaxInt64 / 3, Max: math.MaxInt64}
	for n := range 100 {
		if d := long.Delay(n, 0.999); d <= 0 {
			t.Fatalf("retry %d: %v", n, d)
		}
		if d := b.Delay(1<<30, 0.3); d < 30*time.Second || d > time.Minute {
			t.Fatalf("a far retry: %v", d)
		}
	}
	for _, bad := range []transport.Backoff{{}, {Min: 1}, {Max: 1}, {Min: 2, Max: 1}, {Min: -1, Max: 1}} {
		if bad.Validate() == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
	if err := (transport.Backoff{Min: 1, Max: 1}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestKind(t *testing.T) {
	seen := map[string]bool{}
	for k := transport.Offer; k <= transport.Evidence; k++ {
		if s := k.String(); s == "unknown" || seen[s] {
			t.Errorf("kind %d is called %q", k, s)
		} else {
			seen[s] = true
		}
	}
	if s := transport.Kind(0).String(); s != "unknown" {
		t.Errorf("kind 0 is called %q", s)
	}
}
