package explorer

import (
	"context"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// Caps is what the agent finds on a device of the loader as it leaves the factory.
func (l Loader) Caps(ctx context.Context) (bootctl.Caps, error) {
	w := sim.New(1)
	if err := l.provision(w, false); err != nil {
		return bootctl.Caps{}, err
	}
	b, err := l.backend(w.FS(), w.Variables())
	if err != nil {
		return bootctl.Caps{}, err
	}
	st, err := b.State(ctx)
	return st.Caps, err
}
