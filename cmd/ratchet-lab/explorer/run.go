package explorer

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ratchet-ota/ratchet/hal/sim"
)

// Host runs f where bubbles of testing/synctest can be made, and ends the process with its result.
// The package testing is told to run one test, which is f. One goroutine runs at once, so that two
// runs of one case are the same.
func Host(f func(t *testing.T) int) {
	os.Args = os.Args[:1]
	body := func(t *testing.T) {
		runtime.GOMAXPROCS(1)
		debug.SetGCPercent(400)
		os.Exit(f(t))
	}
	testing.Main(func(string, string) (bool, error) { return true, nil },
		[]testing.InternalTest{{Name: "explorer", F: body}}, nil, nil)
}

// Lab plays cases. It is not safe for concurrent use.
type Lab struct {
	t *testing.T
	p *pki
	// Watch, where set, is told each case before it is played, so that a crash of the process can be
	// told whose it was.
	Watch func(Case)
}

// NewLab makes a lab within Host.
func NewLab(t *testing.T) (*Lab, error) {
	p, err := newPKI()
	if err != nil {
		return nil, fmt.Errorf("cannot make the keys of the lab: %w", err)
	}
	return &Lab{t: t, p: p}, nil
}

// fixChance makes what the program draws from crypto/rand (the names of evidence chains) the same in
// two runs of a case. Package testing/cryptotest does this for go test only.
func fixChance(seed uint64) {
	var s [32]byte
	binary.LittleEndian.PutUint64(s[:], seed)
	rand.Reader = mathrand.NewChaCha8(s)
}

// Case names one story: what replay takes.
type Case struct {
	Scenario, Loader string
	Seed             uint64
	Cuts             []Cut
}

// String is the command that replays the case.
func (c Case) String() string {
	s := fmt.Sprintf("ratchet-lab replay --scenario %s --loader %s --seed %d", c.Scenario, c.Loader, c.Seed)
	for _, cut := range c.Cuts {
		s += " --cut " + cut.String()
	}
	return s
}

// Play plays a case from its beginning to its rest, and checks it.
func (x *Lab) Play(c Case) (*Device, error) {
	s, ok := FindScenario(c.Scenario)
	if !ok {
		return nil, fmt.Errorf("no scenario %q", c.Scenario)
	}
	if s.Needs != "" {
		return nil, fmt.Errorf("scenario %s cannot be played yet: it needs %s", s.Name, s.Needs)
	}
	l, ok := FindLoader(c.Loader)
	if !ok {
		return nil, fmt.Errorf("no loader %q", c.Loader)
	}
	return x.play(&s, &l, c.Seed, c.Cuts, nil, nil)
}

func (x *Lab) play(s *Scenario, l *Loader, seed uint64, cuts []Cut,
	onReboot, branch func(*Device)) (d *Device, err error) {
	if x.Watch != nil {
		x.Watch(Case{s.Name, l.Name, seed, cuts})
	}
	synctest.Test(x.t, func(t *testing.T) {
		fixChance(seed)
		if d, err = newDevice(s, l, x.p, seed, cuts); err != nil {
			return
		}
		d.onReboot = onReboot
		d.watch(branch)
		d.play(true)
		d.check()
	})
	return d, err
}

// resume plays a device that was forked at a power-on or a reboot, with cuts to come; branch is called
// before each operation.
func (x *Lab) resume(d *Device, cuts []Cut, branch func(*Device)) *Device {
	d = d.fork()
	d.cuts = append(d.cuts, cuts...)
	if x.Watch != nil {
		x.Watch(Case{d.s.Name, d.l.Name, d.seed, d.cuts})
	}
	synctest.Test(x.t, func(t *testing.T) {
		fixChance(d.seed + 1)
		d.arm()
		d.watch(branch)
		d.play(false)
		d.check()
	})
	return d
}

// watch lets branch look at the device before each operation.
func (d *Device) watch(branch func(*Device)) {
	d.branch = branch
	if branch == nil {
		return
	}
	d.W.Watch(func(fork func() *sim.World) {
		d.forking = fork
		branch(d)
		d.forking = nil
	})
}

// look is watch between two operations, where the machine is about to lose or keep something by itself.
func (d *Device) look() {
	if d.branch != nil {
		d.branch(d)
	}
}

// Failed tells whether the case shows a defect, as opposed to the known weakness of a layout.
func (d *Device) Failed() bool { return len(d.breaches) > 0 && d.l.PowerSafe }

// Breaches are the invariants that did not hold.
func (d *Device) Breaches() []Breach { return d.breaches }

// Case is what was played.
func (d *Device) Case() Case { return Case{d.s.Name, d.l.Name, d.seed, d.cuts} }

// Story is the case, operation by operation, with the evidence.
func (d *Device) Story() string {
	var b strings.Builder
	fmt.Fprintf(&b, "scenario %s: %s\nloader %s: %s\n", d.s.Name, d.s.Says, d.l.Name, d.l.Layout)
	for _, op := range d.W.Trace() {
		if op.N <= d.base {
			continue
		}
		mark := ""
		for _, c := range d.cuts {
			if c.Op == op.N-d.base {
				mark = "   <-- " + c.String()
			}
		}
		fmt.Fprintf(&b, "%5d  %-8s %s%s\n", op.N-d.base, op.Kind, op.What, mark)
		if n := d.notes[op.N]; n != "" {
			fmt.Fprintf(&b, "       %s\n", strings.ReplaceAll(n, "\n", "\n       "))
		}
	}
	b.WriteString("evidence:\n")
	for _, l := range d.Evidence() {
		fmt.Fprintf(&b, "       %s\n", l)
	}
	o := d.outcome()
	fmt.Fprintf(&b, "end: slot %s runs with image %d, phase %s, last update %q %s, counter %d, %d boots\n",
		d.Runs(), d.Image(), d.rec.Phase, o.Result, o.Reason, d.W.CounterValue(), d.boots)
	for _, x := range d.breaches {
		fmt.Fprintf(&b, "BROKEN %v\n", x)
	}
	return b.String()
}
