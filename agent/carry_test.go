package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/console"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// TestAppReleaseCarriesTheRootfs: a release of the app alone makes a slot of the new app and the rootfs that runs,
// although the other slot holds an older rootfs that the root does not admit any more.
func TestAppReleaseCarriesTheRootfs(t *testing.T) {
	bubble(t, 930, func(r *rig) {
		f, admit, byAppTeam := teams(r)
		admit(r.full(2, 2, 12), 2)
		admit(r.full(3, 3, 13), 3)
		r.have("A", 3, 13)
		f.spec.Components = map[string]trust.SequenceRange{"rootfs": {Min: 3, Max: 1 << 40}}
		f.root()
		r.hear(doc(transport.Root, f.bundle()))
		admit(byAppTeam(func() []byte { return r.app(4, 14) }), 4)
		r.have("B", 3, 14)
		admit(byAppTeam(func() []byte { return r.app(5, 15) }), 5) // what was carried is carried on
		r.have("A", 3, 15)
		told := r.told()
		for _, w := range []string{"carries=rootfs", "carried-from=A", "carried-from=B"} {
			if !strings.Contains(told, w) {
				t.Errorf("the evidence does not say %s:\n%s", w, told)
			}
		}
		if got := r.seen.Running.Holds; got == nil || len(got.Parts) != 2 || got.Parts[1].Component != "rootfs" ||
			got.Parts[1].Sequence != 3 || got.Parts[0].Sequence != 5 {
			t.Errorf("status shows that it holds %+v", got)
		}
		if f := r.seen.Floor.Components; f["rootfs"] != 3 || f["app"] != 5 {
			t.Errorf("the floors are %v: what is carried keeps its own number", f)
		}
	})
}

// TestHalfWrittenPartIsNeverBooted: an update was given up in the middle of a part. A release that does not name
// that part makes a whole slot of it.
func TestHalfWrittenPartIsNeverBooted(t *testing.T) {
	bubble(t, 931, func(r *rig) {
		twoParts(r)
		r.play(r.full(2, 2, 12))
		r.have("B", 2, 12)
		r.source = func(uri string, off int64) (io.ReadCloser, error) {
			if strings.HasSuffix(uri, "/3.img") {
				return io.NopCloser(io.MultiReader(bytes.NewReader(image(3)[off:imageSize/2]), errReader{})), nil
			}
			return io.NopCloser(bytes.NewReader(r.images[uri][off:])), nil
		}
		r.hear(offered(r.full(3, 3, 13)))
		if !bytes.Equal(r.w.Disk("/dev/a", 0, 4096), image(3)[:4096]) || r.holds("/dev/a", 3) {
			t.Fatal("the rootfs is not half written")
		}
		r.hear(offered(r.app(4, 14)))
		r.have("A", 2, 14)
	})
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, transport.ErrGone }

// TestNothingToCarry: what the factory wrote is on nobody's record. A release of a part waits, and touches nothing;
// a release of all parts is taken meanwhile, also under a lower number, and then it goes on by itself.
func TestNothingToCarry(t *testing.T) {
	bubble(t, 933, func(r *rig) {
		twoParts(r)
		r.w.Poke("/dev/b", 0, image(9))
		r.w.Poke("/dev/a2", 0, image(8))
		r.play() // the environment is in order
		was := r.state()
		r.hear(offered(r.app(7, 14)))
		if r.runs() != "A" || !r.holds("/dev/b", 9) || !r.holds("/dev/a2", 8) ||
			fmt.Sprint(r.state()) != fmt.Sprint(was) {
			t.Errorf("something was touched: %+v\n%s", r.state(), r.told())
		}
		u := r.seen.Update
		if u == nil || u.Reason != reason.SlotIncomplete || !strings.Contains(u.WaitingFor, "rootfs: ") {
			t.Errorf("status shows %+v", u)
		}
		r.hear(offered(r.full(6, 2, 12)))
		r.have("B", 2, 12)
		r.hear(offered(r.app(7, 14)))
		r.have("A", 2, 14)
	})
}

// TestRunningPartHasChanged: somebody has written into the running rootfs. What cannot be proven is not carried, and
// that is known before anything is written; it goes on once it is what was confirmed again.
func TestRunningPartHasChanged(t *testing.T) {
	for name, local := range map[string]bool{"from the network": false, "by a technician": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 934, func(r *rig) {
				twoParts(r)
				r.play(r.full(2, 2, 12))
				r.play(r.full(3, 3, 13))
				r.have("A", 3, 13)
				whole := image(3)
				r.w.Poke("/dev/a", imageSize-1, []byte{whole[imageSize-1] ^ 1})
				env, was := r.app(4, 14), r.state()
				var err error
				if local {
					r.awake(func(ctx context.Context, a *agent.Agent) {
						stick := map[string]slots.Source{"14.img": simSource{r, "https://images.example.com/14.img"}}
						l := console.LocalInstall{Envelope: env, Name: "stick", Actor: "uid 0", Payloads: stick}
						_, err = a.Console().Install(ctx, l, func(control.Progress) {})
					})
				} else {
					r.spend(3600e9, env)
				}
				if r.runs() != "A" || !r.holds("/dev/b", 2) || !r.holds("/dev/b2", 12) ||
					fmt.Sprint(r.state()) != fmt.Sprint(was) {
					t.Errorf("something was touched\n%s", r.told())
				}
				if !strings.Contains(r.told(), "slot-incomplete") {
					t.Errorf("it is not on record why:\n%s", r.told())
				}
				r.w.Poke("/dev/a", imageSize-1, whole[imageSize-1:])
				if local {
					var no *intake.Refused
					if !errors.As(err, &no) || no.Reason != reason.SlotIncomplete {
						t.Errorf("the technician is told %v", err)
					}
					return
				}
				r.spend(2 * 3600e9)
				r.have("B", 3, 14)
			})
		})
	}
}

// turning is a running slot that is not the same any more once it was compared.
type turning struct {
	hal.Blocks
	left *int // times that it can be opened before
}

func (b turning) OpenRunning(path string) (hal.Medium, error) {
	m, err := b.Blocks.OpenRunning(path)
	if *b.left--; *b.left < 0 && err == nil {
		return turned{m}, nil
	}
	return m, err
}

type turned struct{ hal.Medium }

func (m turned) ReadAt(p []byte, off int64) (int, error) {
	n, err := m.Medium.ReadAt(p, off)
	p[0] ^= 1
	return n, err
}

// TestRunningPartChangesMeanwhile: what the copy reads is compared too.
func TestRunningPartChangesMeanwhile(t *testing.T) {
	bubble(t, 935, func(r *rig) {
		twoParts(r)
		r.play(r.full(2, 2, 12))
		left := 1
		also(r, func(o *agent.Options) { o.Blocks = turning{o.Blocks, &left} })
		r.spend(10*60e9, r.app(3, 13))
		r.is("B", 2, "slot-incomplete", "!arming>rebooting slot=A", "!slot-io-error", "!image-corrupt")
		if r.state().Slots["A"].Bootable {
			t.Errorf("the target is bootable: %+v", r.state())
		}
	})
}

// counting counts what is written into a part.
type counting struct {
	hal.Blocks
	path   string
	writes *int
}

func (b counting) OpenTarget(path string, running hal.DeviceID) (hal.Medium, error) {
	m, err := b.Blocks.OpenTarget(path, running)
	if path == b.path && err == nil {
		return counted{m, b.writes}, nil
	}
	return m, err
}

type counted struct {
	hal.Medium
	writes *int
}

func (m counted) WriteAt(p []byte, off int64) (int, error) {
	*m.writes++
	return m.Medium.WriteAt(p, off)
}

// TestCarriedIsThereAlready: where the target holds what is carried, flash is spared.
func TestCarriedIsThereAlready(t *testing.T) {
	bubble(t, 936, func(r *rig) {
		twoParts(r)
		r.play(r.full(2, 2, 12))
		r.play(r.app(3, 13))
		r.have("A", 2, 13)
		writes := 0
		also(r, func(o *agent.Options) { o.Blocks = counting{o.Blocks, "/dev/b", &writes} })
		r.play(r.app(4, 14))
		r.have("B", 2, 14)
		if writes > 0 {
			t.Errorf("it was written %d times", writes)
		}
	})
}

// TestBackToACarriedSlot: an operator goes back to a slot a part of which was carried. All of it is read back, and
// no floor falls.
func TestBackToACarriedSlot(t *testing.T) {
	revert := func(r *rig) (err error) {
		r.ask(func(ctx context.Context, a *agent.Agent) { _, err = a.Console().Revert(ctx, "uid 0", "") })
		return err
	}
	bubble(t, 937, func(r *rig) {
		twoParts(r)
		r.play(r.full(2, 2, 12))
		r.play(r.app(3, 13))
		r.play(r.app(4, 14))
		r.have("B", 2, 14)
		if err := revert(r); err != nil {
			t.Fatal(err)
		}
		r.have("A", 2, 13)
		r.hear()
		if f := r.seen.Floor.Components; f["app"] != 4 || f["rootfs"] != 2 {
			t.Errorf("the floors are %v", f)
		}
		r.w.Poke("/dev/b", 5, []byte{image(2)[5] ^ 1}) // the carried part of the other slot
		if err := revert(r); err != nil {
			t.Fatal(err)
		}
		r.is("A", 2, "read-back-mismatch")
	})
}

// TestBackToAPartiallyKnownSlot: an agent of the version before wrote the app alone into a slot. What else is in it
// is on nobody's record, and it is not gone back to.
func TestBackToAPartiallyKnownSlot(t *testing.T) {
	bubble(t, 938, func(r *rig) {
		twoParts(r)
		r.play(r.full(2, 2, 12))
		r.play(r.full(3, 3, 13))
		r.edit("slot/B", func(m map[uint64]any) { m[4] = m[4].([]any)[:1] })
		var err error
		r.ask(func(ctx context.Context, a *agent.Agent) { _, err = a.Console().Revert(ctx, "uid 0", "") })
		var no *intake.Refused
		if !errors.As(err, &no) || no.Reason != reason.SlotIncomplete {
			t.Errorf("the answer is %v", err)
		}
		r.have("A", 3, 13)
	})
}

// edit changes a value in the journal.
func (r *rig) edit(key string, change func(map[uint64]any)) {
	r.t.Helper()
	var m map[uint64]any
	err := cbor.Unmarshal(r.stored(key), &m)
	if err != nil {
		r.t.Fatal(err)
	}
	change(m)
	b, err := cbor.Marshal(m)
	if err == nil {
		err = r.mem.Update(func(tx journal.Tx) error { return tx.Put(journal.State, key, b) })
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// TestPartialRecordIsMadeWhole: an agent of the version before began a release of the app, wrote it, and knows of no
// other part. The next agent makes the slot whole before it arms it.
func TestPartialRecordIsMadeWhole(t *testing.T) {
	bubble(t, 939, func(r *rig) {
		twoParts(r)
		r.play(r.full(2, 2, 12))
		was := r.options
		also(r, needsApproval)
		env := r.app(3, 13)
		if r.hear(offered(env)); r.seen.Phase != "ready" {
			t.Fatalf("phase %s", r.seen.Phase)
		}
		r.edit("record", func(m map[uint64]any) {
			ext := m[5].(map[any]any)
			ext[uint64(7)] = ext[uint64(7)].([]any)[:1]
		})
		_ = r.mem.Update(func(tx journal.Tx) error { return tx.Delete(journal.State, "check/rootfs") })
		r.w.Poke("/dev/a", 0, image(1)) // what happens to be there
		r.options = was
		r.play(env)
		r.have("A", 2, 13)
	})
}

// TestPowerCutsWhileCarrying cuts the power at every operation of a release of the app alone. The device ends
// with the new app and the rootfs that ran, whole.
func TestPowerCutsWhileCarrying(t *testing.T) {
	play := func(r *rig) int64 {
		twoParts(r)
		r.play(r.full(2, 2, 12))
		return r.w.Ops()
	}
	var ops int64
	bubble(t, 940, func(r *rig) {
		start := play(r)
		r.play(r.app(3, 13))
		ops = r.w.Ops() - start
	})
	for op := int64(1); op <= ops && !t.Failed(); op += stride() {
		for _, mode := range modes() {
			bubble(t, 940+uint64(op), func(r *rig) {
				r.w.CutAt(play(r)+op, mode)
				r.survive(r.app(3, 13))
				r.have("A", 2, 13)
				if t.Failed() {
					t.Fatalf("cut %v operation %d of %d", mode, op, ops)
				}
			})
		}
	}
	t.Logf("%d operations", ops)
}

// TestMadeForOneSlot: what was made for one slot alone is not carried into the other, where it could not start.
func TestMadeForOneSlot(t *testing.T) {
	bubble(t, 941, func(r *rig) {
		twoParts(r)
		perSlot := func(m *author.Release) {
			c := r.component("app", 12)
			other := r.component("app", 13).Images[0]
			c.Images[0].Slot, other.Slot = 0, 1
			c.Images = append(c.Images, other)
			m.Components = append(m.Components, c)
		}
		r.play(r.release(2, 2, perSlot))
		r.have("B", 2, 13)
		r.hear(offered(r.release(3, 3)))
		if u := r.seen.Update; r.runs() != "B" || u == nil || u.Reason != reason.SlotIncomplete {
			t.Errorf("slot %s runs, the update is %+v\n%s", r.runs(), u, r.told())
		}
		r.play(r.release(4, 3, perSlot))
		r.have("A", 3, 12)
		r.play(r.app(5, 14)) // the rootfs is for either slot
		r.have("B", 3, 14)
	})
}

// TestPermittedDowngradeOfOnePart: a permit lets an older rootfs in, with the app carried. No floor falls; what was let
// in once is not carried on into a new slot, and the next release of the rootfs is.
func TestPermittedDowngradeOfOnePart(t *testing.T) {
	bubble(t, 942, func(r *rig) {
		f, admit, byAppTeam := teams(r)
		admit(r.full(5, 2, 12), 5)
		r.have("B", 2, 12)
		old := r.release(3, 3)
		r.ask(func(ctx context.Context, a *agent.Agent) {
			c, err := a.Console().Challenge(ctx, "uid 0")
			if err == nil {
				permit := f.permit(c.Challenge, f.digest(old), reason.SequenceBelowFloor)
				_, err = a.Console().Permit(ctx, permit, "uid 0")
			}
			if err != nil {
				t.Error(err)
			}
			r.install(old)(ctx, a)
		})
		r.have("A", 3, 12)
		r.hear()
		if r.seen.Floor.Sequence != 5 || r.seen.Floor.Components != nil {
			t.Errorf("the floors are %+v", r.seen.Floor)
		}
		admit(byAppTeam(func() []byte { return r.app(6, 14) }), 6)
		if u := r.seen.Update; r.runs() != "A" || u == nil || u.Reason != reason.SlotIncomplete {
			t.Errorf("slot %s runs, the update is %+v", r.runs(), u)
		}
		admit(r.release(7, 4), 7)
		r.have("B", 4, 12)
		admit(byAppTeam(func() []byte { return r.app(6, 14) }), 6)
		r.have("A", 4, 14)
	})
}
