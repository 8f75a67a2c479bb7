package agent_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// drip is a server that gives the first bytes of an image at once, and then one a second for ever.
type drip struct {
	r     *rig
	uri   string
	first int // bytes that come at once, of each body
	slow  int // bytes that came one by one, of all bodies
}

func (d *drip) Open(ctx context.Context, off int64, _ string) (io.ReadCloser, string, error) {
	d.r.opened = append(d.r.opened, off)
	ctx, cancel := context.WithCancel(ctx)
	return &dripping{d, bytes.NewReader(d.r.images[d.uri][off:]), 0, ctx, cancel}, "v1", nil
}

type dripping struct {
	*drip
	left   *bytes.Reader
	n      int
	ctx    context.Context
	cancel func()
}

func (d *dripping) Close() error { d.cancel(); return nil }

func (d *dripping) Read(p []byte) (n int, err error) {
	if d.n < d.first {
		n, err = d.left.Read(p[:min(len(p), d.first-d.n)])
		d.n += n
		return n, err
	}
	select {
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	case <-d.r.w.Clock().After(time.Second):
		d.slow++
		return d.left.Read(p[:1])
	}
}

// deaf is a server that takes the connection and says nothing.
type deaf struct{}

func (deaf) Open(ctx context.Context, _ int64, _ string) (io.ReadCloser, string, error) {
	<-ctx.Done()
	return nil, "", ctx.Err()
}

// beginning is a rooted device that has heard of a release, and its plan.
type beginning struct {
	*fleet
	env    []byte
	digest manifest.Digest // of the plan
	msgs   []transport.Message
}

func (r *rig) beginning() beginning {
	b := beginning{fleet: rooted(r)}
	r.hear() // the state directory is not a new one
	b.env = r.release(5, 2)
	var plan []byte
	plan, b.digest = b.plan(b.env, 5)
	b.msgs = []transport.Message{doc(transport.Plan, plan), doc(transport.Pulse, b.pulse(b.digest, campaign.StateOpen)),
		offered(b.env)}
	return b
}

// from makes every image come from a source.
func (r *rig) from(source func(uri string) slots.Source) {
	r.wrap = func(o *agent.Options) {
		o.Fetch = func(urls []string, _ int64) (slots.Source, error) { return source(urls[0]), nil }
	}
}

// send hands messages in: each is taken before this returns, and the time stands still.
func (r *rig) send(msgs ...transport.Message) {
	r.t.Helper()
	for _, m := range msgs {
		select {
		case r.inbox <- m:
		case <-time.After(time.Second): // of the bubble: everybody waits
			r.t.Errorf("nobody takes a %s", m.Kind)
		}
		synctest.Wait()
	}
}

// forbids are what may be said of an update while it is carried out, and stops it.
var forbids = map[string]struct {
	say  func(*rig, beginning) []transport.Message
	want reason.Reason
	open func(*rig, beginning) []transport.Message // permits it again; nil: nothing does
}{
	"the pulse says halt": {
		say: func(_ *rig, b beginning) []transport.Message {
			return []transport.Message{doc(transport.Pulse, b.pulse(b.digest, campaign.StateHalted))}
		}, want: reason.Halted,
		open: func(_ *rig, b beginning) []transport.Message {
			return []transport.Message{doc(transport.Pulse, b.pulse(b.digest, campaign.StateOpen))}
		}},
	"the pulse says pause": {
		say: func(_ *rig, b beginning) []transport.Message {
			return []transport.Message{doc(transport.Pulse, b.pulse(b.digest, campaign.StatePaused))}
		}, want: reason.Paused,
		open: func(_ *rig, b beginning) []transport.Message {
			return []transport.Message{doc(transport.Pulse, b.pulse(b.digest, campaign.StateOpen))}
		}},
	"the plan is withdrawn": {
		say: func(_ *rig, b beginning) []transport.Message {
			return []transport.Message{doc(transport.Pulse, b.pulse(b.digest, campaign.StateWithdrawn))}
		}, want: reason.PlanWithdrawn,
		open: func(_ *rig, b beginning) []transport.Message {
			plan, digest := b.plan(b.env, 5)
			return []transport.Message{doc(transport.Plan, plan),
				doc(transport.Pulse, b.pulse(digest, campaign.StateOpen))}
		}},
	"another plan takes its place": {
		say: func(r *rig, b beginning) []transport.Message {
			plan, _ := b.plan(r.release(6, 3), 6)
			return []transport.Message{doc(transport.Plan, plan)}
		}, want: reason.PlanMissing,
		open: func(_ *rig, b beginning) []transport.Message {
			plan, digest := b.plan(b.env, 5)
			return []transport.Message{doc(transport.Plan, plan),
				doc(transport.Pulse, b.pulse(digest, campaign.StateOpen))}
		}},
	"the root revokes the manifest": {say: func(_ *rig, b beginning) []transport.Message {
		b.spec.Revoked = []string{b.fleet.digest(b.env).String()}
		b.root()
		return []transport.Message{doc(transport.Root, b.bundle())}
	}, want: reason.Revoked},
	"the root rotates the release key": {say: func(_ *rig, b beginning) []transport.Message {
		b.rekey(trust.RoleRelease)
		b.root()
		return []transport.Message{doc(transport.Root, b.roots[1])}
	}, want: reason.SignerUnknown},
	"the root raises the minimum": {say: func(_ *rig, b beginning) []transport.Message {
		both := trust.SequenceRange{Min: 6, Max: 100}
		b.spec.Components = map[string]trust.SequenceRange{"rootfs": both, "app": both}
		b.root()
		return []transport.Message{doc(transport.Root, b.bundle())}
	}, want: reason.SequenceOutOfRange},
}

// TestForbiddenWhileWritten: a server drips, or says nothing at all, and a document comes that forbids the update. It
// is taken and the update ends at once, on record and in the status, while the time stands still: nothing waits for
// the network. The slot stays disabled, and where the update is permitted again it goes on from where it was.
func TestForbiddenWhileWritten(t *testing.T) {
	for name, tt := range forbids {
		for where, phase := range map[string]string{"drips": "writing", "says nothing": "preparing"} {
			t.Run(name+", the server "+where, func(t *testing.T) {
				bubble(t, 1310, func(r *rig) {
					b := r.beginning()
					r.from(func(uri string) slots.Source {
						if where == "drips" {
							return &drip{r: r, uri: uri, first: imageSize / 2}
						}
						return deaf{}
					})
					r.awake(func(ctx context.Context, a *agent.Agent) {
						r.send(b.msgs...)
						if s := a.Console().Status(ctx); s.Phase != phase {
							t.Errorf("the phase is %s", s.Phase)
						}
						r.w.Advance(10 * time.Minute)
						synctest.Wait()
						before := r.w.Clock().Uptime()
						r.send(tt.say(r, b)...)
						s := a.Console().Status(ctx)
						if now := r.w.Clock().Uptime(); s.Phase != "idle" || now != before {
							t.Errorf("after %v the phase is %s", now-before, s.Phase)
						}
						if st := r.state(); st.Slots["B"].Bootable || st.Next != "A" {
							t.Errorf("the target boots: %+v", st)
						}
						if got := says(s); got != tt.want {
							t.Errorf("status says %q, want %q", got, tt.want)
						}
					})
					r.is("A", 1, string(tt.want))
					r.wrap = nil
					if tt.open == nil {
						return
					}
					r.opened = nil
					r.hear(tt.open(r, b)...)
					r.is("B", 2)
					if got := r.opened[len(r.opened)-1]; where == "drips" && got < checkpoint {
						t.Errorf("it was loaded again from byte %d", got)
					}
				})
			})
		}
	}
}

// says is why an update does not go on, or did not.
func says(s control.Status) reason.Reason {
	if s.Update != nil {
		return s.Update.Reason
	}
	return s.Last.Reason
}

// gated are media of which a read waits, once, until the gate is opened.
type gated struct {
	hal.Blocks
	running bool // the running slot's are, else the target's
	gate    *gate
}

type gate struct {
	once   sync.Once
	opened chan struct{}
}

type slowMedium struct {
	hal.Medium
	*gate
}

func (m slowMedium) ReadAt(p []byte, off int64) (int, error) {
	m.once.Do(func() { <-m.opened })
	return m.Medium.ReadAt(p, off)
}

func (g gated) OpenMedium(path string) (hal.Medium, error) {
	m, err := g.Blocks.OpenMedium(path)
	if err == nil && !g.running {
		m = slowMedium{m, g.gate}
	}
	return m, err
}

func (g gated) OpenRunning(path string) (hal.Medium, error) {
	m, err := g.Blocks.OpenRunning(path)
	if err == nil && g.running {
		m = slowMedium{m, g.gate}
	}
	return m, err
}

// TestForbiddenWhileReadBack: the same while the target is read back, and while what is carried is compared.
func TestForbiddenWhileReadBack(t *testing.T) {
	for _, running := range []bool{false, true} {
		for name, tt := range forbids {
			t.Run(fmt.Sprintf("%s, the running slot: %v", name, running), func(t *testing.T) {
				bubble(t, 1311, func(r *rig) {
					g := gated{running: running, gate: &gate{opened: make(chan struct{})}}
					b := r.beginning()
					phase := "checking"
					twoParts(r)
					if running { // a release of the app, after one of both parts
						phase = "preparing"
						full := r.full(4, 7, 8)
						plan, digest := b.plan(full, 4)
						r.hear(doc(transport.Plan, plan), doc(transport.Pulse, b.pulse(digest, campaign.StateOpen)),
							offered(full))
						b.env = r.app(5, 2)
						plan, b.digest = b.plan(b.env, 5)
						b.msgs = []transport.Message{doc(transport.Plan, plan),
							doc(transport.Pulse, b.pulse(b.digest, campaign.StateOpen)), offered(b.env)}
					}
					if !running {
						b.env = r.full(5, 2, 3)
						plan, digest := b.plan(b.env, 5)
						b.digest, b.msgs = digest, []transport.Message{doc(transport.Plan, plan),
							doc(transport.Pulse, b.pulse(digest, campaign.StateOpen)), offered(b.env)}
					}
					was := r.runs()
					r.wrap = func(o *agent.Options) {
						g.Blocks = o.Blocks
						o.Blocks = g
					}
					r.awake(func(ctx context.Context, a *agent.Agent) {
						r.send(b.msgs...)
						if s := a.Console().Status(ctx); s.Phase != phase {
							t.Errorf("the phase is %s", s.Phase)
						}
						r.send(tt.say(r, b)...)
						close(g.gate.opened)
						synctest.Wait()
						s := a.Console().Status(ctx)
						if got := says(s); s.Phase != "idle" || got != tt.want {
							t.Errorf("phase %s, status says %q, want %q", s.Phase, got, tt.want)
						}
					})
					if st := r.state(); r.runs() != was || string(st.Next) != was {
						t.Errorf("slot %s runs, and boots next: %+v", r.runs(), st)
					}
					if tt.open != nil {
						r.wrap = nil
						r.hear(tt.open(r, b)...)
						if r.runs() == was {
							t.Errorf("it was permitted again, and slot %s runs\n%s", was, r.told())
						}
					}
				})
			})
		}
	}
}

// TestUntouchedWhileWritten: documents that say nothing against the update are taken while it is written, and it goes
// on without a pause: a root with another key for pulses, a plan of a higher number that admits the same, before its
// pulse has come, another channel's plan, forged ones, a request for evidence, other offers.
func TestUntouchedWhileWritten(t *testing.T) {
	bubble(t, 1312, func(r *rig) {
		b := r.beginning()
		r.from(func(uri string) slots.Source { return &drip{r: r, uri: uri, first: imageSize / 2} })
		r.awake(func(ctx context.Context, a *agent.Agent) {
			r.send(b.msgs...)
			opened := len(r.opened)
			b.spec.Components = map[string]trust.SequenceRange{"app": {Min: 9, Max: 100}, "rootfs": {Min: 5, Max: 5}}
			b.root()
			plan, digest := b.plan(b.env, 5)
			r.send(doc(transport.Root, b.bundle()), doc(transport.Plan, plan))
			if u := a.Console().Status(ctx).Trust; u.Version != 2 || u.Plan == nil || u.Plan.Sequence != 2 {
				t.Errorf("the documents are not in force: %+v", u)
			}
			b.rekey(trust.RolePulse)
			b.root()
			other := rooted(newRig(t, 1399))
			r.send(doc(transport.Root, b.bundle()), doc(transport.Pulse, b.pulse(digest, campaign.StateOpen)),
				doc(transport.Root, other.bundle()), doc(transport.Plan, []byte("garbage")),
				doc(transport.Resend, []byte{1}), offered(r.release(6, 3)), offered([]byte("garbage")))
			if s := a.Console().Status(ctx); s.Phase != "writing" || len(r.opened) != opened {
				t.Errorf("phase %s, opened %d times more", s.Phase, len(r.opened)-opened)
			}
		})
		r.wrap = nil
		r.hear()
		r.is("B", 2, "!failed")
	})
}

// TestNoDocumentInBootSafeMode: who may say what is not known there, and so nobody is heard.
func TestNoDocumentInBootSafeMode(t *testing.T) {
	bubble(t, 1390, func(r *rig) {
		b := r.beginning()
		also(r, func(o *agent.Options) { o.Safe = []string{"line 3: unknown key"} })
		r.awake(func(ctx context.Context, a *agent.Agent) {
			select {
			case r.inbox <- b.msgs[0]:
				t.Error("a plan is taken")
			case <-time.After(24 * time.Hour): // of the bubble
			}
		})
	})
}

// TestFloodWhileWritten: somebody sends without end while an image is written: forged documents, genuine offers, old
// documents again, requests for evidence. It costs a bounded number of commits, and the write goes on.
func TestFloodWhileWritten(t *testing.T) {
	bubble(t, 1313, func(r *rig) {
		b := r.beginning()
		commits := 0
		also(r, func(o *agent.Options) { o.Journal = tallied{o.Journal, &commits} })
		server := &drip{r: r, first: imageSize / 2}
		r.from(func(uri string) slots.Source { server.uri = uri; return server })
		var offers []transport.Message
		for n := range 30 {
			offers = append(offers, offered(r.release(uint64(6+n), byte(10+n))))
			offers[n].Origin = fmt.Sprint("topic ", n)
		}
		r.awake(func(ctx context.Context, a *agent.Agent) {
			r.send(b.msgs...)
			commits = 0
			for n := range 300 {
				forged := bytes.Repeat([]byte{byte(n), byte(n >> 8)}, 100)
				r.send(doc(transport.Root, forged), doc(transport.Plan, forged), doc(transport.Pulse, forged),
					b.msgs[0], b.msgs[1], doc(transport.Resend, []byte{1}), offers[n%len(offers)])
			}
			if commits > 25 {
				t.Errorf("2100 messages cost %d commits", commits)
			}
			for range 600 {
				r.w.Advance(time.Second)
				r.send(doc(transport.Plan, []byte("garbage")))
			}
			if s := a.Console().Status(ctx); s.Phase != "writing" || server.slow != 600 {
				t.Errorf("phase %s, %d bytes came in 600 s", s.Phase, server.slow)
			}
		})
		r.wrap = nil
		r.hear()
		r.is("B", 2, "!failed")
	})
}

// slowClock is one that goes on by a hundredth of a second whenever somebody looks at it.
type slowClock struct {
	hal.Clock
	r *rig
}

func (c slowClock) Uptime() time.Duration {
	c.r.w.Advance(10 * time.Millisecond)
	return c.Clock.Uptime()
}

// TestFloodHasAFifth: after a message whose reading took a while the next is not taken before four times as long has
// passed; then it is.
func TestFloodHasAFifth(t *testing.T) {
	bubble(t, 1314, func(r *rig) {
		b := r.beginning()
		r.from(func(uri string) slots.Source { return deaf{} })
		also(r, func(o *agent.Options) { o.Clock = slowClock{o.Clock, r} })
		r.awake(func(ctx context.Context, a *agent.Agent) {
			r.send(b.msgs...)
			taken := func() bool {
				synctest.Wait()
				select {
				case r.inbox <- doc(transport.Plan, []byte("garbage")):
					return true
				default:
					return false
				}
			}
			if !taken() {
				t.Fatal("the first is not taken")
			}
			now := r.w.Clock().Uptime()
			if taken() {
				t.Error("the second is taken at once")
			}
			next, ok := r.w.NextTimer()
			if !ok || next < 40*time.Millisecond || next > time.Second {
				t.Errorf("after %v the next is taken in %v", now, next)
			}
			r.w.Advance(next)
			if !taken() {
				t.Error("the second is never taken")
			}
		})
	})
}
