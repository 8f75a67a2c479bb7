package explorer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/health"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/sim"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// Limits of one case: more is a defect (a loop of reboots, a device that never rests).
const (
	maxBoots = 40
	maxSteps = 5000
	oldImage = 9                // what slot B holds in the beginning
	restful  = 10 * time.Minute // a device with nothing to do for so long is at rest
)

// Device is one device in the middle of its story.
type Device struct {
	W    *sim.World
	s    *Scenario
	l    *Loader
	p    *pki
	seed uint64
	base int64 // operations of provisioning

	mem      *journal.Memory
	lost     reason.Reason // why the journal is a new one
	inbox    chan transport.Message
	fired    map[string]int
	Online   bool
	cuts     []Cut
	done     int   // cuts that have happened or were passed over
	armed    int64 // operation of the next cut, 0 for none
	boots    int
	resets   int // kernels that came to nothing
	opened   []int64
	broken   int // times that the network broke
	rec      agent.Record
	seq      uint64 // of the newest evidence
	known    []byte // last checkpoint that was looked at
	proven   map[string]byte
	read     map[string]int64 // bytes of each disk read back in this boot, since it was last written
	patience int
	breaches []Breach
	notes    map[int64]string // by operation, for the story
	brick    string
	onPower  func(*Device) bool // false: stop here
	onReboot func(*Device)      // before the loader starts, where nothing was cut
	stopped  bool
	agent    *agent.Agent
	life     context.Context // of the present boot
}

// Breach is an invariant that does not hold.
type Breach struct {
	What string // "I1" ... "I10", "brick", "rest", "end", "lie", "panic"
	Says string
	Op   int64
}

func (b Breach) String() string { return fmt.Sprintf("%s: %s (operation %d)", b.What, b.Says, b.Op) }

func (d *Device) breach(what, format string, args ...any) {
	b := Breach{what, fmt.Sprintf(format, args...), d.Op()}
	if what == "brick" {
		d.brick = b.Says
	}
	if len(d.breaches) < 20 {
		d.breaches = append(d.breaches, b)
	}
}

// Op is the number of operations since the first power-on.
func (d *Device) Op() int64 { return d.W.Ops() - d.base }

func newDevice(s *Scenario, l *Loader, p *pki, seed uint64, cuts []Cut) (*Device, error) {
	w := sim.New(seed)
	if s.Ruined {
		own := *l
		own.builtIn, l = true, &own
	}
	d := &Device{W: w, s: s, l: l, p: p, seed: seed, mem: journal.NewMemory().(*journal.Memory), fired: map[string]int{}, Online: true,
		cuts: cuts, proven: map[string]byte{"A": 1}, read: map[string]int64{}, notes: map[int64]string{}, rec: agent.Record{Phase: agent.Idle}}
	if l.Sector > 0 {
		w.SetSector(l.Sector)
	}
	w.SetTears(l.Tears)
	for _, dev := range []string{"/dev/a", "/dev/b"} {
		w.AddDisk(dev, slotSize)
		if s.Both {
			w.AddDisk(dev+"-boot", 8<<10)
		}
	}
	w.Poke("/dev/a", 0, p.image("rootfs", 1))
	if s.Both {
		w.Poke("/dev/a-boot", 0, p.image("boot", 1))
		w.Poke("/dev/b-boot", 0, p.image("boot", oldImage))
	}
	if !s.Blank {
		w.Poke("/dev/b", 0, p.image("rootfs", oldImage))
		d.proven["B"] = oldImage
	}
	if err := l.provision(w, s.Blank); err != nil {
		return nil, err
	}
	w.Restart()
	w.SetRunning("/dev/a", "A")
	d.mislabel("A")
	if s.Setup != nil {
		s.Setup(d)
	}
	d.base = w.Ops()
	d.arm()
	return d, nil
}

// fork is the same device a second time.
func (d *Device) fork() *Device {
	c := *d
	c.W, c.mem = d.W.Fork(), d.mem.Clone()
	c.fired, c.proven, c.read, c.notes = maps.Clone(d.fired), maps.Clone(d.proven), maps.Clone(d.read), maps.Clone(d.notes)
	c.opened, c.breaches, c.cuts = slices.Clone(d.opened), slices.Clone(d.breaches), slices.Clone(d.cuts)
	c.inbox, c.agent, c.life, c.onPower, c.onReboot = nil, nil, nil, nil, nil
	return &c
}

// arm makes the next cut wait for its operation.
func (d *Device) arm() {
	d.armed = 0
	d.W.SetCache(sim.LosePart)
	if d.done == len(d.cuts) {
		d.W.CutAt(0, sim.Before)
		return
	}
	c := d.cuts[d.done]
	d.W.Reseed(c.chance(d.seed))
	if c.Fail {
		d.done++
		d.W.FailAt(d.base+c.Op, errIO)
		d.arm()
		return
	}
	d.armed = d.base + c.Op
	d.W.SetCache(c.Cache)
	d.W.CutAt(d.armed, c.Mode)
}

var errIO = errors.New("input/output error")

// partsOf are the components of a slot and where they are.
func (d *Device) parts(slot string) map[string]string {
	dev := "/dev/" + map[string]string{"A": "a", "B": "b"}[slot]
	m := map[string]string{"rootfs": dev}
	if d.s.Both {
		m["boot"] = dev + "-boot"
	}
	return m
}

// content is the image that a slot of w holds, whole, 0 for none.
func (d *Device) content(w *sim.World, slot string) byte {
	n := w.Disk(d.parts(slot)["rootfs"], 0, 1)[0]
	for c, dev := range d.parts(slot) {
		if n == 0 || n > 9 || !bytes.Equal(w.Disk(dev, 0, int64(len(d.p.image(c, n)))), d.p.image(c, n)) {
			return 0
		}
	}
	return n
}

// Runs is the slot that runs.
func (d *Device) Runs() string {
	m, _ := d.W.Identity().Marker()
	return m
}

// Image is the image that runs.
func (d *Device) Image() byte { return d.content(d.W, d.runsReally()) }

func (d *Device) options() (agent.Options, error) {
	boot, err := d.l.backend(watchedFS{d.W.FS(), d}, watchedVariables{d.W.Variables(), d})
	if err != nil {
		return agent.Options{}, err
	}
	root := uint64(d.Image()) // each image embeds the root of its own version
	o := agent.Options{Device: "dev-1", Version: "lab", Running: fmt.Sprintf("%d.0.0", root),
		Facts: manifest.Device{Vendors: []manifest.UUID{vendor()}, Classes: []manifest.UUID{class()}, BatteryMWh: -1},
		Slots: [2]agent.SlotDef{{Name: "A", Index: 0, Parts: d.parts("A")}, {Name: "B", Index: 1, Parts: d.parts("B")}},
		Boot:  watchedBoot{boot, d}, Blocks: watchedBlocks{d.W.Blocks(), d}, FS: watchedFS{d.W.FS(), d}, Counter: watchedCounter{d.W.Counter(), d},
		Watchdog: d.W.Watchdog(), Power: watchedPower{d.W.Power(), d}, Clock: d.W.Clock(), Identity: d.W.Identity(), NeedMarker: true,
		Journal: &watchedJournal{d.mem, d}, JournalLost: d.lost, StateDir: "/state", Authority: d.p, RootVersion: root, Signer: d.p.device,
		Inbox: d, Online: func() (bool, time.Time) { return d.Online, time.Time{} },
		Tries: d.l.Tries, MaxBoots: 4, Checkpoint: checkpoint, Serial: true, ForceAfter: 30 * time.Second,
		Fetch:  func(urls []string, _ int64) (slots.Source, error) { return source{d, urls[0]}, nil },
		Health: health.Plan{Checks: []health.Check{service{d}}, Soak: 10 * time.Second, Deadline: time.Minute, Interval: 5 * time.Second},
		Log:    slog.New(slog.DiscardHandler)}
	if d.s.Broker {
		o.Health.Checks = append(o.Health.Checks, &health.Broker{Online: o.Online})
	}
	if d.s.Rooted {
		f, err := d.p.theFleet()
		if err != nil {
			return o, err
		}
		o.Authority, o.RootVersion, o.Root, o.Channel, o.Rules.UnknownTimeWaits = nil, 0, f.roots[0], channel, true
	}
	if d.s.Report {
		o.Outbox = deaf{}
	}
	if d.s.Options != nil {
		d.s.Options(d, &o)
	}
	return o, nil
}

// Messages implements transport.Inbox.
func (d *Device) Messages() <-chan transport.Message { return d.inbox }

// deaf is an outbox that takes nothing.
type deaf struct{}

func (deaf) Send(context.Context, transport.Message) error { return errBroken }

// service is the health check of the system that runs.
type service struct{ d *Device }

func (service) Name() string { return "service" }

func (s service) Run(context.Context) error {
	if s.d.s.sick(s.d.Image()) {
		return errors.New("the service does not answer")
	}
	return nil
}

// source is the image server.
type source struct {
	d   *Device
	uri string
}

func (s source) Open(_ context.Context, off int64, _ string) (io.ReadCloser, string, error) {
	s.d.opened = append(s.d.opened, off)
	body, err := s.d.s.serve(s.d, s.uri, off)
	return body, "v1", err
}

// payload is what the release desk put on the server.
func (p *pki) payload(u string) []byte {
	for _, c := range []string{"rootfs", "boot"} {
		for n := byte(1); n <= 9; n++ {
			if u == uri(c, n) {
				return p.image(c, n)
			}
		}
	}
	return nil
}

// boot lets the loader start a system, through cuts and kernels that come to nothing. It returns
// false when the device is a brick, or the case ends here.
func (d *Device) boot() bool {
	for range 30 {
		slot, err := "", error(nil)
		if d.s.Bypass != nil {
			slot = d.s.Bypass(d)
		}
		if slot == "" {
			slot, err = d.l.boot(d.W)
		}
		if errors.Is(err, sim.ErrPowerCut) {
			if !d.powerOn() {
				return false
			}
			continue
		}
		if errors.Is(err, errIO) {
			d.W.Restart() // the loader gives up and resets
			continue
		}
		if d.doomed() && slot == "" {
			d.note("nothing is left to start")
			d.stopped = true
			return false
		}
		if err != nil || slot == "" {
			d.breach("brick", "the bootloader starts nothing (%v)", err)
			return false
		}
		d.note("%s starts slot %s, image %d", d.l.Name, slot, d.content(d.W, slot))
		n := d.content(d.W, slot)
		if n == 0 {
			d.breach("I9", "the bootloader starts slot %s, which holds no whole image", slot)
		}
		d.boots++
		if n == 0 || d.s.dies(n) {
			d.resets++
			d.W.Restart() // a panic, or the loader's watchdog: a reset keeps what the medium's cache holds
			continue
		}
		d.read = map[string]int64{}
		d.W.SetRunning(d.parts(slot)["rootfs"], slot)
		d.mislabel(slot)
		if d.s.OnBoot != nil {
			d.s.OnBoot(d)
		}
		return true
	}
	d.breach("brick", "the machine resets for ever")
	return false
}

// mislabel makes the loader's marker disagree with what runs.
func (d *Device) mislabel(slot string) {
	if d.s.Wrong {
		d.W.SetRunning(d.parts(slot)["rootfs"], map[string]string{"A": "B", "B": "A"}[slot])
	}
}

// powerOn switches the machine on after a cut.
func (d *Device) powerOn() bool {
	_, why := d.W.Down()
	if d.armed > 0 && d.W.Ops() >= d.armed {
		d.note("power cut (%v)", d.cuts[d.done])
		d.done++
	} else {
		d.note("the machine was reset: %s", why)
	}
	d.W.PowerOn()
	d.arm()
	d.checkFallback()
	if d.onPower != nil && !d.onPower(d) {
		d.stopped = true
	}
	return !d.stopped
}

// play carries the device through its boots until it is at rest.
func (d *Device) play(running bool) {
	for range maxBoots {
		if !running && d.onReboot != nil {
			d.onReboot(d)
		}
		if !running && !d.boot() {
			return
		}
		running = false
		again, err := d.live()
		if err != nil {
			d.breach("rest", "%v", err)
			return
		}
		if d.stopped || !again {
			return
		}
	}
	d.breach("I8", "the device booted %d times and goes on", maxBoots)
}

// live is one boot. Virtual time moves on only when nobody has anything left to do. It returns true
// when the machine boots again, false when it is at rest.
func (d *Device) live() (again bool, err error) {
	asked := len(d.W.Reboots())
	d.inbox = make(chan transport.Message)
	if d.s.Rooted {
		d.inbox = make(chan transport.Message, 8) // what comes while the agent writes is there at its next stop point
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	retained, err := d.messages()
	if err != nil {
		return false, err
	}
	for len(d.inbox) < cap(d.inbox) && len(retained) > 0 {
		d.inbox <- retained[0]
		retained = retained[1:]
	}
	o, err := d.options()
	if err != nil {
		return false, err
	}
	a, err := agent.New(o)
	if err != nil {
		return false, err
	}
	d.agent, d.life = a, ctx
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() {
			if r := recover(); r != nil {
				d.breach("panic", "the agent panics: %v", r)
			}
		}()
		_ = a.Run(ctx)
	}()
	if d.s.Report {
		go a.Report(ctx, nil)
	}
	stop := func() error {
		cancel()
		select {
		case <-ended:
			return nil
		case <-time.After(24 * time.Hour):
			return errors.New("the agent does not stop")
		}
	}
	for range maxSteps {
		synctest.Wait()
		if down, _ := d.W.Down(); down {
			if err := stop(); err != nil {
				return false, err
			}
			return d.powerOn(), nil
		}
		if len(d.W.Reboots()) > asked {
			if err := stop(); err != nil {
				return false, err
			}
			d.note("the machine reboots")
			d.W.Restart()
			return true, nil
		}
		select {
		case <-ended:
			return false, errors.New("the agent ended by itself")
		default:
		}
		if d.happen() {
			d.patience = 40
			continue
		}
		if len(retained) > 0 {
			select {
			case d.inbox <- retained[0]:
				retained = retained[1:]
				continue
			default:
			}
		}
		wait, ok := d.W.NextTimer()
		switch {
		case ok && (wait <= restful || d.patience > 0 && wait <= 3*time.Hour):
			if wait > restful {
				d.patience--
			}
			d.W.Advance(wait)
		case !ok && d.rec.Phase != agent.Idle && d.patience > 0:
			d.patience--
			time.Sleep(time.Second) // the bubble's own time: somebody waits for a request to be taken
		default:
			d.W.Advance(5 * time.Minute) // nothing is due: a watchdog that was left armed is
			if down, why := d.W.Down(); down {
				d.breach("rest", "the idle machine was reset: %s", why)
			}
			return false, stop()
		}
	}
	return false, errors.Join(fmt.Errorf("the device does not come to rest in phase %s", d.rec.Phase), stop())
}

// happen lets one event of the scenario happen that is due.
func (d *Device) happen() bool {
	for _, e := range d.s.Events {
		if d.fired[e.Name] < max(e.Times, 1) && e.When(d) {
			d.fired[e.Name]++
			d.note("event: %s", e.Name)
			e.Do(d)
			return true
		}
	}
	return false
}

// messages are what the broker hands over at each start.
func (d *Device) messages() ([]transport.Message, error) {
	if d.s.Rooted {
		return d.retained(), nil
	}
	list := d.s.Offers
	if d.s.OffersNow != nil {
		list = d.s.OffersNow(d)
	}
	if d.s.Broker && !d.Online || d.s.Once && (d.outcome().Result != "" || deferred(d)) {
		list = nil
	}
	var out []transport.Message
	for _, r := range list {
		b, err := d.p.envelope(r)
		if err != nil {
			return nil, err
		}
		out = append(out, transport.Message{Kind: transport.Offer, Origin: "broker", Body: b})
	}
	return out, nil
}

// do runs a request of a person at the console, and forgets its answer.
func (d *Device) do(f func(ctx context.Context, a *agent.Agent)) {
	go f(d.life, d.agent)
}

// offerNow is an offer that comes while the device runs.
func (d *Device) offerNow(r Release) {
	b, err := d.p.envelope(r)
	if err != nil {
		panic("internal error: " + err.Error())
	}
	d.sendNow(transport.Message{Kind: transport.Offer, Origin: "broker", Body: b})
}

// sendNow is a message that comes while the device runs.
func (d *Device) sendNow(m transport.Message) {
	inbox, life := d.inbox, d.life
	if cap(inbox) > len(inbox) {
		inbox <- m
		return
	}
	go func() {
		select {
		case inbox <- m:
		case <-life.Done():
		}
	}()
}

func (d *Device) note(format string, args ...any) {
	op := d.W.Ops()
	line := fmt.Sprintf(format, args...)
	if d.notes[op] != "" {
		line = d.notes[op] + "\n" + line
	}
	d.notes[op] = line
}

// state is what the metadata says, read by a backend of its own.
func (d *Device) state(w *sim.World) (bootctl.State, error) {
	b, err := d.l.backend(w.FS(), w.Variables())
	if err != nil {
		return bootctl.State{}, err
	}
	return b.State(context.Background())
}

var _ hal.Power = watchedPower{}
var _ slots.Source = source{}
