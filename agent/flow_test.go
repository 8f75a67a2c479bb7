package agent_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

var update = flag.Bool("update", false, "rewrite testdata/flows")

// flow compares the evidence of a device with the transcript of its story.
func (r *rig) flow(name string) {
	r.t.Helper()
	got := strings.Join(r.story(), "\n") + "\n"
	path := filepath.Join("testdata", "flows", name+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	if got != string(want) {
		r.t.Errorf("%s: the story is another one; -update rewrites it.\n--- got\n%s--- want\n%s", path, got, want)
	}
}

func TestUpdateConfirmed(t *testing.T) {
	bubble(t, 1, func(r *rig) {
		r.play(r.release(2, 2))
		if r.runs() != "B" || !r.holds("/dev/b", 2) || !r.state().Slots["B"].Confirmed {
			t.Errorf("runs %s, state %+v", r.runs(), r.state())
		}
		if n, _ := r.w.Counter().Read(context.Background()); n != 1 {
			t.Errorf("counter is %d, want 1: raised after confirm", n)
		}
		r.flow("confirmed")
		if n := r.play(r.release(2, 2)); n != 0 {
			t.Errorf("the same offer again made the device boot %d times", n)
		}
	})
}

func TestSickUpdateReverted(t *testing.T) {
	bubble(t, 2, func(r *rig) {
		r.sick[2] = true
		env := r.release(2, 2)
		r.play(env)
		if r.runs() != "A" || r.state().Slots["B"].Bootable {
			t.Errorf("runs %s, state %+v", r.runs(), r.state())
		}
		r.flow("sick")
		if n := r.play(env); n != 0 {
			t.Errorf("a quarantined image made the device boot %d times", n)
		}
		// The same image under another manifest is quarantined too.
		if n := r.play(r.release(3, 2)); n != 0 {
			t.Errorf("a quarantined image under a new manifest made the device boot %d times", n)
		}
		r.play(r.release(4, 3))
		if r.runs() != "B" || !r.holds("/dev/b", 3) {
			t.Errorf("a corrected image was not installed: runs %s", r.runs())
		}
	})
}

func TestPanickingKernel(t *testing.T) {
	bubble(t, 3, func(r *rig) {
		r.panics[2] = true
		r.play(r.release(2, 2))
		if r.runs() != "A" || r.crashes != 3 {
			t.Errorf("runs %s after %d panics, want A after 3", r.runs(), r.crashes)
		}
		r.flow("panic")
	})
}

func TestJournalLostInTrial(t *testing.T) {
	for _, sick := range []bool{false, true} {
		t.Run(fmt.Sprint("sick=", sick), func(t *testing.T) {
			bubble(t, 4, func(r *rig) {
				r.sick[2] = sick
				env := r.release(2, 2)
				envs := [][]byte{env}
				for i := 0; r.live(&envs, nil) && i < 10; i++ {
					r.loader()
					if r.runs() == "B" {
						r.mem = journal.NewMemory()
						break
					}
				}
				r.play(env)
				// Without its journal the device cannot know that it runs the offer already: it may install
				// it once more. It ends confirmed on a healthy system, and does not try a sick one again.
				want := map[bool]byte{false: 2, true: 1}[sick]
				if !r.holds(device(r.runs()), want) || !r.state().Slots[bootctl.Slot(r.runs())].Confirmed {
					t.Errorf("runs %s, want image %d; state %+v", r.runs(), want, r.state())
				}
			})
		})
	}
}

func TestRefused(t *testing.T) {
	bubble(t, 5, func(r *rig) {
		r.play(r.release(5, 2))
		other, err := author.Build(author.Release{Vendor: vendor, Classes: []manifest.UUID{class}, Sequence: 9,
			Components: []author.Component{{Name: "rootfs",
				Images: []author.Image{{Slot: author.AnySlot, Digest: manifest.Digest{Alg: slots.SHA256,
					Sum: strings.Repeat("x", 32)}, Size: 10, URI: "https://x/y"}}}}})
		if err != nil {
			t.Fatal(err)
		}
		tampered := bytes.Clone(r.release(6, 3))
		tampered[len(tampered)-1] ^= 1
		foreign := r.release(7, 3, func(m *author.Release) {
			m.Classes = []manifest.UUID{manifest.ClassUUID(vendor, "toaster")}
		})
		older := r.release(4, 3)
		large := r.release(8, 3, func(m *author.Release) {
			m.Components[0].Images[0].Size, m.Components[0].Images[0].PayloadSize = 1<<30, 1<<30
		})
		reused := r.release(5, 3)
		n := r.play([]byte("garbage"), other, tampered, foreign, older, large, reused)
		if n != 0 || r.runs() != "B" {
			t.Errorf("a refused offer made the device boot %d times; runs %s", n, r.runs())
		}
		r.flow("refused")
	})
}

func TestDeferredUntilApproved(t *testing.T) {
	bubble(t, 6, func(r *rig) {
		r.options = func(o *agent.Options) { o.Rules.Approval = policy.ApprovalInstall }
		envs := [][]byte{r.release(2, 2)}
		approved := false
		again := r.live(&envs, nil)
		if again {
			t.Fatal("rebooted without approval")
		}
		// A new start of the daemon is still waiting; then somebody agrees.
		r.live(nil, func(a *agent.Agent) {
			if !approved && a.Console().Status(context.Background()).Phase == "ready" {
				approved = true
				go func() { _, _ = a.Console().Approve(context.Background(), "", "uid 0", "go") }()
			}
		})
		r.loader()
		r.play()
		if r.runs() != "B" {
			t.Errorf("runs %s after approval", r.runs())
		}
	})
}

func TestPowerCutsWhileWriting(t *testing.T) {
	bubble(t, 7, func(r *rig) {
		env := r.release(2, 2)
		first := true
		r.source = func(uri string, off int64) (io.ReadCloser, error) {
			body := io.Reader(bytes.NewReader(r.images[uri][off:]))
			if first && off == 0 && len(r.opened) > 1 {
				first = false
				body = io.MultiReader(io.LimitReader(body, 150<<10), cutting{r})
			}
			return io.NopCloser(body), nil
		}
		r.play(env, env)
		if r.runs() != "B" || !r.holds("/dev/b", 2) {
			t.Fatalf("runs %s", r.runs())
		}
		resumed := false
		for _, off := range r.opened {
			resumed = resumed || off >= checkpoint
		}
		if !resumed {
			t.Errorf("writing never resumed: opened at %v", r.opened)
		}
	})
}

// cutting cuts the power when it is read.
type cutting struct{ r *rig }

func (c cutting) Read([]byte) (int, error) { c.r.w.Cut(); return 0, io.ErrUnexpectedEOF }

func TestWrongBytesServed(t *testing.T) {
	bubble(t, 8, func(r *rig) {
		r.source = func(uri string, off int64) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(image(9)[off:])), nil
		}
		if n := r.play(r.release(2, 2)); n != 0 || r.runs() != "A" {
			t.Errorf("wrong bytes made the device boot %d times; runs %s", n, r.runs())
		}
		if r.state().Slots["B"].Bootable {
			t.Error("a slot with wrong bytes is bootable")
		}
		r.flow("wrong-bytes")
	})
}

func TestSourceGoneAndBack(t *testing.T) {
	bubble(t, 9, func(r *rig) {
		gone := true
		r.source = func(uri string, off int64) (io.ReadCloser, error) {
			if gone {
				gone = false
				return nil, transport.ErrGone
			}
			return io.NopCloser(bytes.NewReader(r.images[uri][off:])), nil
		}
		r.play(r.release(2, 2))
		if r.runs() != "B" {
			t.Errorf("runs %s: a source that came back was not used", r.runs())
		}
	})
}

func TestRevertByOperator(t *testing.T) {
	bubble(t, 10, func(r *rig) {
		r.play(r.release(2, 2)) // B
		r.play(r.release(3, 3)) // A again
		if r.runs() != "A" {
			t.Fatalf("runs %s", r.runs())
		}
		r.live(nil, func(a *agent.Agent) {
			if a.Console().Status(context.Background()).Phase == "idle" {
				go func() { _, _ = a.Console().Revert(context.Background(), "uid 0", "back") }()
			}
		})
		r.loader()
		n := r.play(r.release(3, 3))
		if r.runs() != "B" || !r.state().Slots["B"].Confirmed {
			t.Errorf("runs %s after revert (%d boots), state %+v", r.runs(), n, r.state())
		}
		r.flow("operator-revert")
	})
}

func TestClockAt1970(t *testing.T) {
	bubble(t, 11, func(r *rig) {
		r.w.SetWall(time.Unix(0, 0), hal.TimeUnknown)
		r.play(r.release(2, 2))
		if r.runs() != "B" {
			t.Errorf("runs %s: a device without a clock must still update", r.runs())
		}
	})
}

func TestRunningUnproven(t *testing.T) {
	bubble(t, 12, func(r *rig) {
		before := r.w.Ops()
		r.w.SetRunning("/dev/a", "B") // the loader says B, / is A
		if n := r.play(); n != 0 {
			t.Errorf("booted %d times", n)
		}
		for _, op := range r.w.Trace()[before:] {
			if strings.HasPrefix(op.What, "/dev/") || strings.HasPrefix(op.What, "/env/") {
				t.Errorf("wrote %v while what runs is not proven", op)
			}
		}
	})
}

func TestBootSafeMode(t *testing.T) {
	bubble(t, 13, func(r *rig) {
		r.options = func(o *agent.Options) { o.Safe = []string{"line 3: unknown key"}; o.Authority = nil }
		a := r.agent()
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		synctest.Wait()
		st := a.Console().Status(ctx)
		if st.Mode != "boot-safe" || !strings.Contains(st.ModeWhy, "line 3") || !st.Running.Confirmed {
			t.Errorf("status %+v", st)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestRevertToFactory: the factory's system was never written by the agent, and is still there.
func TestRevertToFactory(t *testing.T) {
	bubble(t, 14, func(r *rig) {
		r.play(r.release(2, 2))
		r.live(nil, func(a *agent.Agent) {
			if a.Console().Status(context.Background()).Phase == "idle" {
				go func() { _, _ = a.Console().Revert(context.Background(), "uid 0", "") }()
			}
		})
		r.loader()
		r.play(r.release(2, 2))
		if r.runs() != "A" || !r.state().Slots["A"].Confirmed {
			t.Errorf("runs %s, state %+v", r.runs(), r.state())
		}
	})
}

// TestSteppingStone: an offer that needs another version first does not block the step to it.
func TestSteppingStone(t *testing.T) {
	bubble(t, 15, func(r *rig) {
		r.options = func(o *agent.Options) { o.Facts.Version = []int64{1, 0, 0} }
		needs2 := func(m *author.Release) {
			m.Versions = []manifest.VersionCondition{{Compare: manifest.CompareGreaterOrEqual, Version: []int64{2}}}
		}
		r.play(r.release(10, 3, needs2), r.release(9, 2))
		if !r.holds(device(r.runs()), 2) {
			t.Errorf("the step was not taken: slot %s runs", r.runs())
		}
	})
}
