package agent_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/evidence/export"
	"github.com/ratchet-ota/ratchet/agent/health"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal/sim"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

const (
	slotSize   = 256 << 10
	imageSize  = 200 << 10
	checkpoint = 64 << 10
)

// rig is one device: the real agent, boot control and slot writer on the simulated machine, with
// the model of its loader booting the same bytes.
type rig struct {
	seen    control.Status // at the last look of hear
	t       testing.TB
	w       *sim.World
	board   board
	mem     journal.Store // what is durable of the journal
	signer  *trust.Signer // release key
	device  *trust.Signer
	keys    trust.Keys
	inbox   chan transport.Message
	images  map[string][]byte // by URI
	options func(*agent.Options)
	wrap    func(*agent.Options) // after options

	sick    map[byte]bool // first byte of the image that runs -> its health check fails
	panics  map[byte]bool // its kernel panics
	online  bool
	source  func(uri string, off int64) (io.ReadCloser, error) // nil: images
	opened  []int64
	crashes int
	fault   func() error // of the journal; nil: none
	cuts    []cut        // that are still to come, each counted from the switching on before it
	outage  func()       // what else a power cut takes away
}

// bubble plays a story on a new rig in virtual time.
func bubble(t *testing.T, seed uint64, story func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { story(newRig(t, seed)) })
}

func newRig(t testing.TB, seed uint64) *rig { return newRigOn(t, seed, uboot{}) }

func newRigOn(t testing.TB, seed uint64, b board) *rig {
	t.Helper()
	w := sim.New(seed)
	r := &rig{t: t, w: w, board: b, mem: journal.NewMemory(), inbox: make(chan transport.Message),
		images: map[string][]byte{}, sick: map[byte]bool{}, panics: map[byte]bool{}, online: true}
	w.AddDisk("/dev/a", slotSize)
	w.AddDisk("/dev/b", slotSize)
	b.blank(w)
	w.Poke("/dev/a", 0, image(1))
	if err := r.backend().Refresh(context.Background(), "A"); err != nil {
		t.Fatalf("cannot provision the environment: %v", err)
	}
	w.Restart()
	var err error
	if r.signer, err = trust.Generate(trust.ESP256); err != nil {
		t.Fatal(err)
	}
	if r.device, err = trust.Generate(trust.Ed25519); err != nil {
		t.Fatal(err)
	}
	if r.keys, err = trust.NewKeys([]trust.Key{r.signer.Key()}, false); err != nil {
		t.Fatal(err)
	}
	w.SetRunning("/dev/a", "A")
	return r
}

// image n is imageSize bytes that begin with n.
func image(n byte) []byte {
	b := make([]byte, imageSize)
	_, _ = rand.NewChaCha8([32]byte{n, 7}).Read(b)
	b[0] = n
	return b
}

func (r *rig) backend() bootctl.Backend {
	b, err := r.board.backend(r.w.FS())
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

var (
	vendor = manifest.VendorUUID("example.com")
	class  = manifest.ClassUUID(vendor, "gateway")
)

// release builds and signs an envelope for image n under sequence seq.
func (r *rig) release(seq uint64, n byte, edit ...func(*author.Release)) []byte {
	r.t.Helper()
	img := image(n)
	sum := sha256.Sum256(img)
	uri := fmt.Sprintf("https://images.example.com/%d.img", n)
	r.images[uri] = img
	rel := author.Release{Vendor: vendor, Classes: []manifest.UUID{class}, Sequence: seq,
		ReferenceURI: "https://images.example.com/manifest",
		Components: []author.Component{{Name: "rootfs", Images: []author.Image{{Slot: author.AnySlot,
			Digest: manifest.Digest{Alg: slots.SHA256, Sum: string(sum[:])}, Size: imageSize, URI: uri,
			PayloadSize: imageSize}}}}}
	for _, f := range edit {
		f(&rel)
	}
	env, err := author.Build(rel)
	if err != nil {
		r.t.Fatal(err)
	}
	if env, err = author.Sign(env, r.signer); err != nil {
		r.t.Fatal(err)
	}
	return env
}

// simJournal makes each transaction one operation of the machine: old or new, never half.
type simJournal struct {
	w     *sim.World
	fault func() error
	journal.Store
}

func (j simJournal) Update(fn func(journal.Tx) error) (err error) {
	if j.fault != nil {
		if err := j.fault(); err != nil {
			return err
		}
	}
	if cut := j.w.Atomic("journal", func() { err = j.Store.Update(fn) }); cut != nil {
		return cut
	}
	return err
}

func (j simJournal) Close() error { return nil }

type simSource struct {
	r   *rig
	uri string
}

func (s simSource) Open(_ context.Context, off int64, _ string) (io.ReadCloser, string, error) {
	s.r.opened = append(s.r.opened, off)
	if s.r.source != nil {
		body, err := s.r.source(s.uri, off)
		return body, "v1", err
	}
	img, ok := s.r.images[s.uri]
	if !ok {
		return nil, "", transport.ErrGone
	}
	return io.NopCloser(bytes.NewReader(img[off:])), "v1", nil
}

type healthCheck struct{ r *rig }

func (healthCheck) Name() string { return "service" }
func (h healthCheck) Run(context.Context) error {
	if h.r.isSick() {
		return errors.New("the service does not answer")
	}
	return nil
}

func (r *rig) isSick() bool {
	marker, _ := r.w.Identity().Marker()
	dev := device(marker)
	if dev == "" {
		return true
	}
	first := r.w.Disk(dev, 0, 1)[0]
	return r.sick[first]
}

func (r *rig) isOnline() (bool, time.Time) {
	return r.online, time.Time{}
}

func (r *rig) agent() *agent.Agent {
	r.t.Helper()
	o := agent.Options{Device: "dev-1", Version: "test", Running: "1.0.0",
		Facts: manifest.Device{Vendors: []manifest.UUID{vendor}, Classes: []manifest.UUID{class}, BatteryMWh: -1},
		Slots: [2]agent.SlotDef{{Name: "A", Index: 0, Parts: map[string]string{"rootfs": "/dev/a"}},
			{Name: "B", Index: 1, Parts: map[string]string{"rootfs": "/dev/b"}}},
		Boot: r.backend(), Blocks: r.w.Blocks(), FS: r.w.FS(), Counter: r.w.Counter(), Power: r.w.Power(),
		Clock: r.w.Clock(), Identity: r.w.Identity(), NeedMarker: true, Journal: simJournal{r.w, r.fault, r.mem},
		StateDir: "/state", Authority: r.keys, RootVersion: 1, Signer: r.device, Inbox: r, Online: r.isOnline,
		Checkpoint: checkpoint, ForceAfter: 30 * time.Second,
		Fetch: func(urls []string, _ int64) (slots.Source, error) { return simSource{r, urls[0]}, nil },
		Rules: policy.Rules{},
		Health: health.Plan{Checks: []health.Check{healthCheck{r}}, Soak: 20 * time.Second, Deadline: 2 * time.Minute,
			Interval: 5 * time.Second},
		Log: slog.New(slog.DiscardHandler)}
	if r.options != nil {
		r.options(&o)
	}
	if r.wrap != nil {
		r.wrap(&o)
	}
	a, err := agent.New(o)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

// Messages implements transport.Inbox.
func (r *rig) Messages() <-chan transport.Message { return r.inbox }

// loader boots the machine with the model of U-Boot; a kernel that panics resets the machine.
func (r *rig) loader() {
	r.t.Helper()
	for i := 0; i < 20; i++ {
		slot, err := r.board.boot(r.w.FS())
		if errors.Is(err, sim.ErrPowerCut) {
			r.powerOn()
			continue
		}
		if err != nil || slot == "" {
			r.t.Fatalf("brick: the loader boots nothing: %v (seed %d)", err, r.w.Seed())
		}
		dev := device(slot)
		if r.panics[r.w.Disk(dev, 0, 1)[0]] {
			r.crashes++
			r.w.Restart() // a reset keeps what the medium's cache holds
			continue
		}
		r.w.SetRunning(dev, slot)
		return
	}
	r.t.Fatalf("brick: the machine boots for ever (seed %d)", r.w.Seed())
}

func device(slot string) string { return map[string]string{"A": "/dev/a", "B": "/dev/b"}[slot] }

// play runs the device through boots until it is idle and stays so, handing the envelopes in one
// after the other whenever it takes them. It returns the number of reboots.
func (r *rig) play(envelopes ...[]byte) int {
	r.t.Helper()
	for boots := 0; boots < 30; boots++ {
		if !r.live(&envelopes, nil) {
			return boots
		}
		r.loader()
	}
	r.t.Fatalf("the device never comes to rest (seed %d)", r.w.Seed())
	return 0
}

// live is one boot, inside a bubble of synctest: virtual time moves on only when nobody has anything
// left to do. poke, where there is one, is called each time. It returns true when the machine must
// boot again, false when the device is at rest.
func (r *rig) live(envelopes *[][]byte, poke func(*agent.Agent)) bool {
	r.t.Helper()
	return r.boot(envelopes, func(a *agent.Agent) bool {
		if poke != nil {
			poke(a)
			synctest.Wait()
			return false
		}
		d, ok := r.w.NextTimer()
		phase := a.Console().Status(context.Background()).Phase
		return (phase == "idle" || phase == "ready") && (!ok || d > 10*time.Minute) &&
			(envelopes == nil || len(*envelopes) == 0)
	})
}

// boot is one boot until the machine must boot again, or rests says that the device is at rest.
func (r *rig) boot(envelopes *[][]byte, rests func(*agent.Agent) bool) bool {
	r.t.Helper()
	asked := len(r.w.Reboots())
	ctx, cancel := context.WithCancel(context.Background())
	a := r.agent()
	done := make(chan struct{})
	go func() { defer close(done); _ = a.Run(ctx) }()
	stop := func() {
		cancel()
		<-done
	}
	for step := 0; step < 20000; step++ {
		synctest.Wait()
		if down, _ := r.w.Down(); down {
			stop()
			r.powerOn()
			return true
		}
		if len(r.w.Reboots()) > asked {
			stop()
			r.w.Restart()
			return true
		}
		if st, err := r.backend().State(ctx); err == nil && !good(st) {
			r.t.Errorf("I1: no confirmed slot is bootable: %+v (seed %d)", st, r.w.Seed())
		}
		if envelopes != nil && len(*envelopes) > 0 {
			select {
			case r.inbox <- transport.Message{Kind: transport.Offer, Origin: "test", Body: (*envelopes)[0]}:
				*envelopes = (*envelopes)[1:]
				continue
			default:
			}
		}
		if rests(a) {
			stop()
			return false
		}
		if len(r.w.Reboots()) > asked {
			continue // rests has let somebody go on
		}
		if d, ok := r.w.NextTimer(); ok {
			r.w.Advance(d)
		} else {
			time.Sleep(time.Second) // the bubble's own time: somebody waits for a request to be taken
		}
	}
	stop()
	r.t.Fatalf("the device does not come to rest in this boot: %+v (seed %d)",
		a.Console().Status(context.Background()), r.w.Seed())
	return false
}

// good tells whether a confirmed slot is bootable (I1).
func good(st bootctl.State) bool {
	for _, s := range st.Slots {
		if s.Confirmed && s.Bootable {
			return true
		}
	}
	return false
}

// story is the evidence as lines, and its check: whole, in order, by the device's key.
func (r *rig) story() []string {
	r.t.Helper()
	keys, err := trust.NewKeys([]trust.Key{r.device.Key()}, false)
	if err != nil {
		r.t.Fatal(err)
	}
	var lines []string
	var b bytes.Buffer
	a := r.agent()
	if _, err := a.Console().Export(context.Background(), &b, 1); err != nil {
		r.t.Fatal(err)
	}
	_, err = export.Verify(&b, keys, func(rec evidence.Record) error {
		var d []string
		for _, k := range []string{"result", "why", "trial-boot", "armed", "resumed-from", "read-back", "confirmed",
			"origin", "lifted-sequence-below-floor", "sequence-below-floor", "slot-incomplete", "carries",
			"carried-from", "not-recorded-before", "reset", "not-counted", "panic"} {
			if v := rec.Detail[k]; v != "" {
				d = append(d, k+"="+v)
			}
		}
		line := fmt.Sprintf("%-9s %s", rec.Kind, strings.TrimSpace(fmt.Sprintf("%s>%s slot=%s seq=%d %s %s", rec.From,
			rec.To, rec.Slot, rec.Sequence, rec.Reason, strings.Join(d, " "))))
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		r.t.Errorf("evidence does not verify: %v", err)
	}
	return lines
}

// state is what the loader's metadata says.
func (r *rig) state() bootctl.State {
	r.t.Helper()
	st, err := r.backend().State(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	return st
}

func (r *rig) runs() string {
	m, _ := r.w.Identity().Marker()
	return m
}

func (r *rig) holds(dev string, n byte) bool {
	return bytes.Equal(r.w.Disk(dev, 0, imageSize), image(n))
}
