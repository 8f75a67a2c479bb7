package agent_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal"
)

// TestMetadataUnreadable: the boot metadata cannot be read once, right after a decision: before the download or
// before arming. The update is put back with the reason, nothing is armed meanwhile, and it is taken later.
func TestMetadataUnreadable(t *testing.T) {
	for kind, err := range map[string]error{"boot-metadata-io-error": errors.New("input/output error"),
		"boot-metadata-invalid": fmt.Errorf("torn: %w", bootctl.ErrInvalid),
		"boot-metadata-changed": fmt.Errorf("another writer: %w", bootctl.ErrChanged)} {
		said := 0
		for k := 1; k <= 5; k++ { // the decision that it comes after
			bubble(t, 691, func(r *rig) {
				decisions, broken := 0, false
				r.options = func(o *agent.Options) {
					o.Metered = func() bool {
						decisions++
						broken = decisions == k
						return false
					}
					o.Boot = fakeBoot{Backend: o.Boot,
						state: func(st bootctl.State, real error) (bootctl.State, error) {
							if broken {
								broken = false
								return bootctl.State{}, err
							}
							return st, real
						}}
				}
				r.spend(3*time.Hour, r.release(2, 2))
				if strings.Contains(r.told(), kind) {
					said++
				}
				r.is("B", 2, "result=updated")
			})
		}
		if said < 2 {
			t.Errorf("%s: told after %d of 5 decisions, want before the download and before arming", kind, said)
		}
	}
}

// brokenMedium takes no byte.
type brokenMedium struct{ hal.Medium }

func (brokenMedium) WriteAt([]byte, int64) (int, error) { return 0, errors.New("input/output error") }

type brokenBlocks struct {
	hal.Blocks
	broken *bool
}

func (b brokenBlocks) OpenTarget(path string, running hal.DeviceID) (hal.Medium, error) {
	m, err := b.Blocks.OpenTarget(path, running)
	if err == nil && *b.broken {
		return brokenMedium{m}, nil
	}
	return m, err
}

// TestCuredSlot: the slot takes no byte. It is tried later and later and never armed, and the same release is taken
// when the slot works again, without anybody's help.
func TestCuredSlot(t *testing.T) {
	bubble(t, 692, func(r *rig) {
		broken := true
		r.options = func(o *agent.Options) { o.Blocks = brokenBlocks{o.Blocks, &broken} }
		if n := r.spend(10*24*time.Hour, r.release(2, 2)); n != 0 {
			t.Errorf("%d boots", n)
		}
		r.is("A", 1, "slot-io-error", "!armed")
		if n := strings.Count(r.told(), "result=failed"); n < 10 || n > 15 {
			t.Errorf("it was tried %d times in ten days, want five times on the first and once a day then", n)
		}
		broken = false
		r.spend(25 * time.Hour)
		r.is("B", 2)
	})
}

// TestEndedWhileWriting: a person ends an update in the middle of its download. It is ended for good, the
// person is named, and the running system was not touched.
func TestEndedWhileWriting(t *testing.T) {
	bubble(t, 693, func(r *rig) {
		slow := make(chan struct{})
		defer close(slow)
		r.source = func(string, int64) (body, error) { return &hanging{gone: slow}, nil }
		env := r.release(2, 2)
		envs, asked := [][]byte{env}, false
		var last *control.Outcome
		r.boot(&envs, func(a *agent.Agent) bool {
			s := a.Console().Status(context.Background())
			if s.Phase == "writing" && !asked {
				asked = true
				if _, err := a.Console().Revert(context.Background(), "uid 7", "not today"); err != nil {
					t.Error(err)
				}
			}
			last = s.Last
			return last != nil
		})
		if last == nil || last.Result != "failed" || last.Reason != reason.OperatorRevert {
			t.Errorf("the last update: %+v", last)
		}
		r.source = nil
		if n := r.play(env); n != 0 {
			t.Errorf("what a person ended made the device boot %d times", n)
		}
		r.is("A", 1, "operator-revert", "why=ended by uid 7: not today")
	})
}

// TestNoWayBack: a sick system cannot be left, because its slot is the last that boots or nobody can say. It
// goes on running, and is not disabled.
func TestNoWayBack(t *testing.T) {
	for name, set := range map[string]func(r *rig, f *fakeBoot){
		"the loader has no fallback": func(r *rig, f *fakeBoot) {
			f.disable = func(real func() error) error {
				if r.runs() == "B" {
					return fmt.Errorf("the last one: %w", bootctl.ErrNoFallback)
				}
				return real()
			}
		},
		"the metadata cannot be read": func(r *rig, f *fakeBoot) {
			sick := false
			f.state = func(st bootctl.State, err error) (bootctl.State, error) {
				if sick = sick || r.runs() == "B" && strings.Contains(r.told(), "reverting"); sick {
					return bootctl.State{}, errors.New("input/output error")
				}
				return st, err
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 694, func(r *rig) {
				r.sick[2] = true
				r.inPhase(life.Trial, r.release(2, 2))
				asked := len(r.w.Reboots())
				r.options = func(o *agent.Options) {
					f := fakeBoot{Backend: o.Boot}
					set(r, &f)
					o.Boot = f
				}
				var last *control.Outcome
				r.until(nil, func(s control.Status) bool { last = s.Last; return last != nil })
				if last.Result != "stuck" || last.Reason != reason.RevertImpossible || len(r.w.Reboots()) != asked ||
					r.runs() != "B" || !r.state().Slots["B"].Bootable {
					t.Errorf("last %+v, %d reboots, slot %s runs, %+v",
						*last, len(r.w.Reboots())-asked, r.runs(), r.state())
				}
			})
		})
	}
}
