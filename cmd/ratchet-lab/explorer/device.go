package explorer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/health"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/medium"
	"github.com/ratchet-ota/ratchet/hal/sim"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/network"
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

	mem       *journal.Memory
	lost      reason.Reason // why the journal is a new one
	inbox     chan transport.Message
	renewed   bool // another offer was published in this boot
	fired     map[string]int
	Online    bool
	cuts      []Cut
	done      int   // cuts that have happened or were passed over
	armed     int64 // operation of the next cut, 0 for none
	boots     int
	resets    int // kernels that came to nothing
	opened    []int64
	broken    int // times that the network broke
	kills     int // network processes that died
	network   *network.Process
	room      room       // of what the agent writes to
	unusable  bool       // the journal, until the daemon is started again
	told      life.Phase // the last that such a journal said was durable: a later one may be
	rec       life.Record
	seq       uint64 // of the newest evidence
	stored    []byte // the record, as it is stored
	known     []byte // last checkpoint that was looked at
	proven    map[string]byte
	read      map[string]int64 // bytes of each disk read back in this boot, since it was last written
	patience  int
	breaches  []Breach
	notes     map[int64]string // by operation, for the story
	brick     string
	onReboot  func(*Device) // before the loader starts, where nothing was cut
	stopped   bool
	upSince   time.Duration // uptime at which the agent was started in this boot
	stepped   chan struct{} // the clock was set
	started   string        // slot that the loader started, "" while it is at work
	ghosts    ghosts
	amid      *amid             // what happens in the middle of a download that stands still
	amids     chan *amid        // what is to happen
	branch    func(*Device)     // before each operation, see Lab.Deep
	forking   func() *sim.World // while branch runs
	inJournal string            // journalKey, "" when it is not known
	agent     *agent.Agent
	life      context.Context // of the present boot
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
	d := &Device{W: w, s: s, l: l, p: p, seed: seed, mem: journal.NewMemory().(*journal.Memory),
		fired: map[string]int{}, Online: true, cuts: cuts, proven: map[string]byte{"A": 1}, read: map[string]int64{},
		notes: map[int64]string{}, rec: life.Record{Phase: life.Idle}}
	if l.Medium != (medium.Grain{}) {
		w.SetGrain(l.Medium)
	}
	w.SetNameless(s.Nameless)
	w.SetApart("/state")
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
	provision := func() error { return l.provision(w, s.Blank) }
	if s.Factory != "" {
		provision = func() error { return l.leave(w, s.Factory) }
	}
	if err := provision(); err != nil {
		return nil, err
	}
	w.Restart()
	l.lie(w)
	w.SetRunning("/dev/a", "A")
	d.started = "A"
	d.slow("A")
	d.mislabel("A")
	if s.Setup != nil {
		s.Setup(d)
	}
	d.base = w.Ops()
	d.arm()
	return d, nil
}

// putJournal gives the device another journal.
func (d *Device) putJournal(m *journal.Memory) { d.mem, d.inJournal = m, "" }

// fork is the same device a second time.
func (d *Device) fork() *Device { return d.twin(d.W.Fork()) }

// twin is the same device with another machine.
func (d *Device) twin(w *sim.World) *Device {
	c := *d
	c.W, c.mem = w, d.mem.Clone()
	c.branch, c.forking = nil, nil
	c.fired, c.proven, c.read, c.notes = maps.Clone(d.fired), maps.Clone(d.proven), maps.Clone(d.read),
		maps.Clone(d.notes)
	c.opened, c.breaches, c.cuts = slices.Clone(d.opened), slices.Clone(d.breaches), slices.Clone(d.cuts)
	c.inbox, c.network, c.agent, c.life, c.onReboot, c.stepped, c.amid, c.amids = nil, nil, nil, nil, nil, nil, nil, nil
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
	if c.Full {
		d.done++
		d.room = room{at: d.base + c.Op, stays: c.Stays}
		d.arm()
		return
	}
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

// powerCycle: a person takes the power away, as part of the scenario, for the n-th time. What of the cache is
// lost depends on nothing that a state leaves out.
func (d *Device) powerCycle(n int) {
	d.W.SetCache(sim.LosePart)
	d.W.Reseed(d.seed + uint64(n))
	d.W.Cut()
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
		if want := d.image(c, n); n == 0 || n > 9 || !bytes.Equal(w.Disk(dev, 0, int64(len(want))), want) {
			return 0
		}
	}
	return n
}

// image is what a slot with image n of rootfs holds of a component.
func (d *Device) image(component string, n byte) []byte {
	if component == "boot" && d.s.Carries && n != oldImage {
		n = 1
	}
	return d.p.image(component, n)
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
		Boot:  watchedBoot{boot, d}, Blocks: watchedBlocks{d.W.Blocks(), d}, FS: watchedFS{d.W.FS(), d},
		Counter: watchedCounter{d.W.Counter(), d}, Watchdog: d.W.Watchdog(), Power: watchedPower{d.W.Power(), d},
		Clock: d.W.Clock(), Identity: d.W.Identity(), NeedMarker: true, Journal: &watchedJournal{Memory: d.mem, d: d},
		JournalLost: d.lost, StateDir: "/state", Authority: d.p, RootVersion: root, Signer: d.p.device, Inbox: d,
		Online: func() (bool, time.Time) { return d.Online, time.Time{} }, Tries: d.l.Tries, MaxBoots: 4,
		Checkpoint: checkpoint, Serial: true, ForceAfter: 30 * time.Second,
		Fetch: func(urls []string, _ int64) (slots.Source, error) { return source{d, urls[0]}, nil },
		Health: health.Plan{Checks: []health.Check{service{d}}, Soak: 10 * time.Second, Deadline: time.Minute,
			Interval: 5 * time.Second},
		Log: slog.New(slog.DiscardHandler)}
	if d.s.Tells {
		o.Reset = d.W.Reset()
	}
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
		// Offline: how far evidence may leave would be noted at a moment that no state fixes.
		o.Outbox, o.Online = deaf{}, func() (bool, time.Time) { return false, time.Time{} }
	}
	d.stepped = make(chan struct{}, 1)
	o.Stepped = d.stepped
	if d.s.Options != nil {
		d.s.Options(d, &o)
	}
	return o, nil
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
