package agent_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/console"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// Attacks on a whole device, in the words of TUF and Uptane. SECURITY.md names these tests.

// signedBy is a release that somebody else has signed.
func (r *rig) signedBy(s *trust.Signer, seq uint64, n byte) []byte {
	r.t.Helper()
	env, err := author.Build(author.Release{Vendor: vendor, Classes: []manifest.UUID{class}, Sequence: seq,
		Components: []author.Component{{Name: "rootfs",
			Images: []author.Image{{Slot: author.AnySlot, Digest: manifest.Sum(image(n)), Size: imageSize,
				URI: fmt.Sprintf("https://images.example.com/%d.img", n), PayloadSize: imageSize}}}}})
	if err != nil {
		r.t.Fatal(err)
	}
	if env, err = author.Sign(env, s); err != nil {
		r.t.Fatal(err)
	}
	return env
}

// TestFastForward: a sequence number raises the floor only after its image was confirmed, so neither
// a stranger's nor a sick release with a huge one locks the device out of later ones.
func TestFastForward(t *testing.T) {
	bubble(t, 30, func(r *rig) {
		stranger, err := trust.Generate(trust.ESP256)
		if err != nil {
			t.Fatal(err)
		}
		r.sick[2] = true
		r.play(r.signedBy(stranger, 1<<63, 3), r.release(1<<62, 2))
		if r.runs() != "A" {
			t.Fatalf("runs %s", r.runs())
		}
		r.play(r.release(2, 3))
		if r.runs() != "B" || !r.holds("/dev/b", 3) {
			t.Errorf("the device does not take sequence 2 any more: runs %s\n%s",
				r.runs(), strings.Join(r.story(), "\n"))
		}
	})
}

// TestMixAndMatch: all components are those of one manifest. One of them served from another signed
// release makes the whole update fail; no part of it becomes bootable (I9).
func TestMixAndMatch(t *testing.T) {
	for _, mixed := range []bool{false, true} {
		t.Run(fmt.Sprint("mixed=", mixed), func(t *testing.T) {
			bubble(t, 31, func(r *rig) {
				r.w.AddDisk("/dev/a2", slotSize)
				r.w.AddDisk("/dev/b2", slotSize)
				r.options = func(o *agent.Options) {
					o.Slots[0].Parts = map[string]string{"rootfs": "/dev/a", "app": "/dev/a2"}
					o.Slots[1].Parts = map[string]string{"rootfs": "/dev/b", "app": "/dev/b2"}
				}
				const app = "https://images.example.com/app.img"
				r.images[app] = image(5)
				r.source = func(uri string, off int64) (io.ReadCloser, error) {
					b := r.images[uri]
					if mixed && uri == app {
						b = image(4) // the app of the release before, of the same size
					}
					return io.NopCloser(bytes.NewReader(b[off:])), nil
				}
				both := func(n byte) func(*author.Release) {
					return func(m *author.Release) {
						m.Components = append(
							m.Components, author.Component{Name: "app", Images: []author.Image{{Slot: author.AnySlot,
								Digest: manifest.Sum(image(n)), Size: imageSize, URI: app, PayloadSize: imageSize}}})
					}
				}
				n := r.play(r.release(3, 2, both(5)))
				if story := strings.Join(r.story(), "\n"); mixed && (n != 0 || r.state().Slots["B"].Bootable ||
					strings.Contains(story, "armed=yes") || !strings.Contains(story, "image-corrupt")) {
					t.Errorf("a mixed update: %d boots, %+v\n%s", n, r.state(), story)
				}
				if !mixed && (r.runs() != "B" || !bytes.Equal(r.w.Disk("/dev/b2", 0, imageSize), image(5))) {
					t.Errorf("both components of one release were not installed: runs %s", r.runs())
				}
			})
		})
	}
}

// TestGarbageFlood: whoever may publish to the device can say what he likes; he gets a bounded part
// of the evidence, and the next good offer is taken.
func TestGarbageFlood(t *testing.T) {
	bubble(t, 32, func(r *rig) {
		var flood [][]byte
		good := r.release(2, 2)
		for i := range 300 {
			b := bytes.Clone(good)
			if i%3 == 0 {
				b = []byte("garbage")
			}
			flood = append(flood, binary.BigEndian.AppendUint32(b, uint32(i)))
		}
		r.play(append(flood, good)...)
		refused := 0
		for _, l := range r.story() {
			if strings.HasPrefix(l, "decision") && strings.Contains(l, ">refuse") {
				refused++
			}
		}
		if refused == 0 || refused > 60 {
			t.Errorf("%d of 300 garbage offers are on record", refused)
		}
		if r.runs() != "B" {
			t.Errorf("runs %s after a flood and a good offer", r.runs())
		}
	})
}

// awake runs the daemon while fn talks to it.
func (r *rig) awake(fn func(context.Context, *agent.Agent)) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	a := r.agent()
	done := make(chan struct{})
	go func() { defer close(done); _ = a.Run(ctx) }()
	synctest.Wait()
	fn(ctx, a)
	cancel()
	<-done
}

// TestDowngradeAtConsole: somebody at the console is asked no approval, and gets past no rule that
// protects the device.
func TestDowngradeAtConsole(t *testing.T) {
	bubble(t, 33, func(r *rig) {
		r.sick[4] = true
		r.play(r.release(5, 2))
		r.play(r.release(6, 4))
		if r.runs() != "B" {
			t.Fatalf("runs %s", r.runs())
		}
		stranger, err := trust.Generate(trust.ESP256)
		if err != nil {
			t.Fatal(err)
		}
		tampered := bytes.Clone(r.release(9, 3))
		tampered[len(tampered)/2] ^= 1
		toaster := func(m *author.Release) { m.Classes = []manifest.UUID{manifest.ClassUUID(vendor, "toaster")} }
		boots := len(r.w.Reboots())
		r.awake(func(ctx context.Context, a *agent.Agent) {
			for _, tt := range []struct {
				name string
				env  []byte
				want reason.Reason
			}{
				{"older", r.release(4, 3), reason.SequenceBelowFloor},
				{"another one of the same number", r.release(5, 3), reason.SequenceReused},
				{"quarantined image under a new number", r.release(9, 4), reason.Quarantined},
				{"another class", r.release(9, 3, toaster), reason.WrongClass},
				{"a stranger's", r.signedBy(stranger, 9, 3), reason.SignerUnknown},
				{"tampered", tampered, ""},
			} {
				local := console.LocalInstall{Envelope: tt.env, Name: "x.suit", Actor: "uid 0 (pid 1)",
					Payloads: map[string]slots.Source{
						"3.img": simSource{r, "https://images.example.com/3.img"},
						"4.img": simSource{r, "https://images.example.com/4.img"}}}
				check, err := a.Console().Check(ctx, local)
				if err == nil && check.Outcome != control.OutcomeRefuse {
					t.Errorf("%s: the check says %+v", tt.name, check)
				}
				_, err = a.Console().Install(ctx, local, func(control.Progress) {})
				var refused *intake.Refused
				if !errors.As(err, &refused) || refused.Deferred || tt.want != "" && refused.Reason != tt.want {
					t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
				}
			}
		})
		if r.runs() != "B" || !r.holds("/dev/b", 2) ||
			r.state().Slots["A"].Bootable != (r.state().Slots["A"].Confirmed) || len(r.w.Reboots()) != boots {
			t.Errorf("runs %s, %+v, %d reboots", r.runs(), r.state(), len(r.w.Reboots())-boots)
		}
	})
}

// outbox keeps what the device sends.
type outbox struct {
	mu  sync.Mutex
	seq []uint64
}

func (o *outbox) Send(_ context.Context, m transport.Message) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if m.Kind == transport.Evidence {
		o.seq = append(o.seq, m.Seq)
	}
	return nil
}

func (o *outbox) sent() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return fmt.Sprint(o.seq)
}

// TestResend: the desk may ask for evidence again, and a hostile broker for anything: no request
// makes the device skip, invent or lose a record.
func TestResend(t *testing.T) {
	bubble(t, 34, func(r *rig) {
		box := &outbox{}
		r.options = func(o *agent.Options) { o.Outbox = box }
		r.awake(func(ctx context.Context, a *agent.Agent) {
			ctx, cancel := context.WithCancel(ctx)
			done := make(chan struct{})
			go func() { defer close(done); a.Reporter().Run(ctx, nil) }()
			hand := func(kind transport.Kind, body ...byte) {
				r.inbox <- transport.Message{Kind: kind, Origin: "test", Body: body}
				synctest.Wait()
				for range 8 { // the reporter's pauses
					if d, ok := r.w.NextTimer(); ok {
						r.w.Advance(min(d, 5*time.Second))
						synctest.Wait()
					}
				}
			}
			synctest.Wait()
			if got := box.sent(); got != "[1 2]" {
				t.Errorf("sent %s, want the first two records", got)
			}
			for _, hostile := range [][]byte{{}, {0x00}, {0x20}, {0xff}, []byte("1"),
				{0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x03},
				{0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}} {
				hand(transport.Resend, hostile...)
			}
			if got := box.sent(); got != "[1 2]" {
				t.Errorf("a hostile request made the device send %s", got)
			}
			hand(transport.Offer, []byte("garbage")...) // its refusal is the third record
			if got := box.sent(); got != "[1 2 3]" {
				t.Errorf("after hostile requests and a new record: sent %s", got)
			}
			hand(transport.Resend, 0x02)
			if got := box.sent(); got != "[1 2 3 2 3]" {
				t.Errorf("asked for 2 and later: sent %s", got)
			}
			hand(transport.Resend, 0x01)
			if got := box.sent(); got != "[1 2 3 2 3 1 2 3]" {
				t.Errorf("asked for all: sent %s", got)
			}
			cancel()
			<-done
		})
	})
}
