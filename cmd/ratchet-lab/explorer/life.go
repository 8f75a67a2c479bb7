package explorer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/console"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/hal/sim"
	"github.com/ratchet-ota/ratchet/transport"
)

// why is what a model of the bootloader says of itself, if it says anything.
func why(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// boot lets the loader start a system, through cuts and kernels that come to nothing. It returns
// false when the device is a brick, or the case ends here.
func (d *Device) boot() bool {
	d.started = ""
	for range 30 {
		slot, err := "", error(nil)
		if d.s.Bypass != nil {
			slot = d.s.Bypass(d)
		}
		if slot == "" {
			slot, err = d.l.boot(d.W, d.tries)
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
			d.breach("brick", "the bootloader starts nothing%s", why(err))
			return false
		}
		d.note("%s starts slot %s, image %d", d.l.Name, slot, d.content(d.W, slot))
		n := d.content(d.W, slot)
		d.boots++
		if n == 0 || d.s.dies(n) {
			d.resets++
			d.look()
			d.W.Restart() // a panic, or the loader's watchdog: a reset keeps what the medium's cache holds
			continue
		}
		d.read, d.started = map[string]int64{}, slot
		d.W.SetRunning(d.parts(slot)["rootfs"], slot)
		d.slow(slot)
		d.mislabel(slot)
		if d.s.OnBoot != nil {
			d.s.OnBoot(d)
		}
		return true
	}
	d.breach("brick", "the machine resets for ever")
	return false
}

// slow lets the time pass that loader, kernel and init take before the agent is started: nothing, half a minute, or
// longer than a trial may last. Which of them depends on what a state keeps: the image, and the boot of its trial.
func (d *Device) slow(slot string) {
	if !d.s.Slow {
		return
	}
	took := []time.Duration{0, 30 * time.Second, 200 * time.Second}
	d.W.Advance(took[(int(d.holds(d.W, slot))+2*d.rec.Boots+1)%len(took)])
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
		if len(d.cuts) > 1 { // one cut excuses nothing
			d.ghosts = d.afterCut()
		}
		d.done++
	} else {
		d.note("the machine was reset: %s", why)
	}
	d.W.PowerOn()
	d.arm()
	d.checkFallback()
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
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	retained, err := d.connect()
	if err != nil {
		return false, err
	}
	ended, err := d.run(ctx)
	if err != nil {
		return false, err
	}
	stop := func() error {
		cancel()
		return stopped(ended)
	}
	for range maxSteps {
		d.quiet()
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
			d.look()
			d.note("the machine reboots")
			d.W.Restart()
			return true, nil
		}
		select {
		case <-ended:
			return false, errors.New("the agent ended by itself")
		default:
		}
		if d.unusable {
			return d.liveOn(stop())
		}
		if d.happen() {
			d.patience = 40
			continue
		}
		if retained = d.retains(retained); len(retained) > 0 {
			select {
			case d.inbox <- retained[0]:
				retained = retained[1:]
				continue
			default:
			}
		}
		if !d.wait() {
			return false, stop()
		}
	}
	return false, errors.Join(fmt.Errorf("the device does not come to rest in phase %s", d.rec.Phase), stop())
}

// liveOn is the same boot with the daemon started again, which opens its journal.
func (d *Device) liveOn(stopped error) (again bool, err error) {
	if stopped != nil {
		return false, stopped
	}
	d.note("the journal is of no use; the daemon is started again")
	d.unusable = false
	return d.live()
}

// retains is what the broker still has of what it retained at the beginning of the boot: a newer offer replaces it.
func (d *Device) retains(messages []transport.Message) []transport.Message {
	if !d.renewed {
		return messages
	}
	return slices.DeleteFunc(messages, func(m transport.Message) bool { return m.Kind == transport.Offer })
}

// connect makes the inbox, and returns the retained messages that are not in it yet.
func (d *Device) connect() (retained []transport.Message, err error) {
	d.renewed = false
	d.inbox, d.amids = make(chan transport.Message), make(chan *amid, 1)
	if d.s.Rooted {
		d.inbox = make(chan transport.Message, 8) // what comes while the agent writes is there at its next stop point
	}
	if retained, err = d.messages(); err != nil {
		return nil, err
	}
	for len(d.inbox) < cap(d.inbox) && len(retained) > 0 {
		d.inbox <- retained[0]
		retained = retained[1:]
	}
	return retained, nil
}

// run starts the agent; ended is closed when it ends.
func (d *Device) run(ctx context.Context) (ended chan struct{}, err error) {
	o, err := d.options()
	if err != nil {
		return nil, err
	}
	if d.s.Divided {
		if err := d.divide(ctx, &o); err != nil {
			return nil, err
		}
	}
	d.upSince = d.W.Clock().Uptime()
	a, err := agent.New(o)
	if err != nil {
		return nil, err
	}
	d.agent, d.life = a, ctx
	ended = make(chan struct{})
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
		go a.Reporter().Run(ctx, nil)
	}
	return ended, nil
}

func stopped(ended chan struct{}) error {
	select {
	case <-ended:
		return nil
	case <-time.After(24 * time.Hour):
		return errors.New("the agent does not stop")
	}
}

// wait lets the time pass until something is due, and tells false where the device has come to rest.
func (d *Device) wait() bool {
	wait, ok := d.W.NextTimer()
	switch {
	case d.network != nil && !d.network.Info().Running:
		time.Sleep(time.Second) // the bubble's own time, after which another one is started
	case d.makeRoom(ok && wait <= restful):
		d.patience = afterRoom
	case ok && (wait <= restful || d.patience > 0 && wait <= cmp.Or(d.s.Waits, 3*time.Hour)):
		if wait > restful {
			d.patience--
		}
		d.W.Advance(wait)
	case !ok && d.rec.Phase != life.Idle && d.patience > 0:
		d.patience--
		time.Sleep(time.Second) // the bubble's own time: somebody waits for a request to be taken
	default:
		d.look()
		d.W.Advance(5 * time.Minute) // nothing is due: a watchdog that was left armed is
		if down, why := d.W.Down(); down {
			d.breach("rest", "the idle machine was reset: %s", why)
		}
		return false
	}
	return true
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
		out = append(out, transport.Message{Kind: transport.Offer, Origin: "mqtt:broker", Body: b})
	}
	return out, nil
}

// do runs a request of a person at the console, and forgets its answer.
func (d *Device) do(f func(ctx context.Context, c *console.Console)) {
	go f(d.life, d.agent.Console())
}

// offerNow is an offer that comes while the device runs.
func (d *Device) offerNow(r Release) {
	b, err := d.p.envelope(r)
	if err != nil {
		panic("internal error: " + err.Error())
	}
	d.renewed = true
	d.sendNow(transport.Message{Kind: transport.Offer, Origin: "mqtt:broker", Body: b})
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
