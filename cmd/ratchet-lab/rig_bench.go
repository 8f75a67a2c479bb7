package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/health"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// Bounds of a device on the bench: more is a defect.
const (
	benchBoots = 10
	benchRest  = 30 * time.Minute // a device that asks for no boot in this virtual time is at rest
)

// modelled is what a target needs for its disks to be booted without QEMU: the agent's own backend, and
// the model of the bootloader, which share no code, over files with the disk's boot metadata in dir.
type modelled struct {
	extract func(ctx context.Context, c *checker, dir string) error
	backend func(dir, state string) (bootctl.Backend, error)
	boot    func(dir string) (slot string, err error) // one power-on: the slot whose kernel is started
}

// bench boots a rebuilt disk without QEMU: the model of the bootloader chooses, and the real agent
// starts over the disk's own journal, metadata and slots. Time is virtual. What the device writes
// stays in files of its own and in memory; the disk is not changed.
type bench struct {
	rec     *recording
	model   *modelled
	disk    *cutDisk
	image   []byte // of slot rec.To
	from    string // directory with boot metadata (boot/) and the files of the state partition (state/)
	dir     string // where the device works on copies of them
	images  string // the image server's directory
	offer   []byte // envelope; nil: the device is offline
	keys    trust.Keys
	written map[int64][]byte // blocks of slot rec.To
	boots   int
	run     string
}

// bout is how a device on the bench came to rest.
type bout struct {
	Boots  []string // slots, in the order in which the model started them
	First  string   // what the start made of the durable phase: "trial -> reverting"
	Phases []string // durable ones, with the slot that ran
	Ended  string   // as rig.ends says it
	Wrong  string
}

// benchDevice is the identity of a slot's device: its partition's number.
func benchDevice(slot string) hal.DeviceID {
	return hal.DeviceID{Block: true, Major: uint64(slotPart(slot))}
}

// slotPart is the number of a slot's partition.
func slotPart(slot string) int64 {
	if slot == "A" {
		return 2
	}
	return 3
}

// slotBytes is where a slot begins on the disk.
func slotBytes(slot string) int64 { return slotAt*sector + (slotPart(slot)-2)*slotSize }

func slotPath(slot string) string { return fmt.Sprintf("/dev/vda%d", slotPart(slot)) }

// play boots the device until it is at rest.
func (b *bench) play(t *testing.T) (o bout) {
	b.written, b.boots = map[int64][]byte{}, 0
	defer func() {
		if r := recover(); r != nil {
			o.Wrong = fmt.Sprintf("the agent panics: %v", r)
		}
	}()
	if err := errors.Join(os.RemoveAll(b.dir), os.CopyFS(b.dir, os.DirFS(b.from))); err != nil {
		o.Wrong = err.Error()
		return o
	}
	for range benchBoots {
		slot, err := b.model.boot(filepath.Join(b.dir, "boot"))
		if err != nil || slot == "" {
			o.Wrong = fmt.Sprintf("the model of the bootloader starts nothing (%v)", err)
			return o
		}
		o.Boots = append(o.Boots, slot)
		if slot == b.rec.To && !b.whole() {
			o.Wrong = "the model of the bootloader starts slot " + slot + ", which does not hold the image"
			return o
		}
		b.run, b.boots = slot, b.boots+1
		again := false
		synctest.Test(t, func(*testing.T) { again = b.live(&o) })
		if o.Wrong != "" || !again {
			return o
		}
	}
	o.Wrong = fmt.Sprintf("the device booted %d times and goes on", benchBoots)
	return o
}

// whole tells whether the target slot holds the image.
func (b *bench) whole() bool {
	at := int64(0)
	for ; at+diskBlock <= int64(len(b.image)); at += diskBlock {
		if !bytes.Equal(b.block(at/diskBlock), b.image[at:at+diskBlock]) {
			return false
		}
	}
	return bytes.Equal(b.block(at / diskBlock)[:int64(len(b.image))-at], b.image[at:])
}

// block is one block of the target slot.
func (b *bench) block(n int64) []byte {
	if w := b.written[n]; w != nil {
		return w
	}
	at := slotBytes(b.rec.To) + n*diskBlock
	return b.disk.bytes[at : at+diskBlock]
}

// live is one boot. It returns true when the machine boots again.
func (b *bench) live(o *bout) (again bool) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	m := &benchMachine{b: b, began: time.Now(), inbox: make(chan transport.Message)}
	options, view, err := m.options(ctx)
	if err != nil {
		o.Wrong = err.Error()
		return false
	}
	defer options.Journal.Close()
	step := agent.Reconcile(view)
	m.seen = []agent.Record{view.Record}
	a, err := agent.New(options)
	if err != nil {
		o.Wrong = err.Error()
		return false
	}
	ended := make(chan any, 1)
	go func() {
		defer func() { ended <- recover() }()
		if err := a.Run(ctx); err != nil {
			panic(err)
		}
	}()
	if b.offer != nil {
		go func() {
			select {
			case m.inbox <- transport.Message{Kind: transport.Offer, Origin: "broker", Body: b.offer}:
			case <-ctx.Done():
			}
		}()
	}
	for end := time.Now().Add(benchRest); time.Now().Before(end) && !m.rebooting.Load(); {
		time.Sleep(time.Second) // virtual: nobody had anything left to do in this second
		if len(ended) > 0 {
			break
		}
	}
	synctest.Wait()
	status := a.Status(ctx)
	cancel()
	if r := <-ended; r != nil {
		o.Wrong = fmt.Sprintf("the agent panics: %v", r)
		return false
	}
	for _, r := range m.seen[1:] {
		o.Phases = append(o.Phases, fmt.Sprintf("%s: %s", b.run, r.Phase))
	}
	if b.boots == 1 {
		o.First = took(view, m.seen)
	}
	if o.Wrong = wrongStart(view, step, m.seen); o.Wrong == "" && status.Mode != control.ModeNormal {
		o.Wrong = "the agent is in boot-safe mode: " + status.ModeWhy
	}
	if o.Wrong != "" || m.rebooting.Load() {
		return o.Wrong == ""
	}
	last := "-"
	if status.Last != nil {
		last = strings.Trim(fmt.Sprintf("%s/%d/%s", status.Last.Result, status.Last.Sequence, status.Last.Reason), "/")
	}
	o.Ended = endsAs(last, status.Running.Name, status.Running.Confirmed, string(status.Boot.Next))
	o.Wrong = b.wrongRest(status, m.seen[len(m.seen)-1].Phase)
	return false
}

// took says what a start made of the durable phase.
func took(v agent.View, seen []agent.Record) string {
	before := "no record"
	if v.HaveRecord {
		before = string(v.Record.Phase)
	}
	if len(seen) < 2 {
		return before
	}
	return before + " -> " + string(seen[1].Phase)
}

// wrongStart holds what the agent made durable first in a boot against what Reconcile says of the disk.
func wrongStart(v agent.View, s agent.Step, seen []agent.Record) string {
	if s.Hold {
		return "what runs cannot be proven"
	}
	if len(seen) < 2 {
		if s.To != v.Record.Phase {
			return fmt.Sprintf("Reconcile leads from %s to %s (%s), and the agent goes nowhere", v.Record.Phase, s.To, s.Cause)
		}
		return ""
	}
	first := seen[1]
	switch {
	case s.Same && s.To == v.Record.Phase:
		if first.Phase != s.To && !s.To.May(first.Phase) {
			return fmt.Sprintf("the agent goes from %s to %s", s.To, first.Phase)
		}
	case s.To == agent.Trial && s.Count && first.Phase == agent.Reverting && v.Record.Boots+1 > v.MaxBoots: // counted out
	case first.Phase != s.To && (s.To != agent.Idle || v.HaveRecord):
		return fmt.Sprintf("Reconcile leads from %s to %s (%s), the agent went to %s", v.Record.Phase, s.To, s.Cause, first.Phase)
	}
	return ""
}

// wrongRest is what must hold of a device that is left alone.
func (b *bench) wrongRest(s control.Status, phase agent.Phase) string {
	switch {
	case s.Running.Name != b.run:
		return fmt.Sprintf("slot %s runs, the agent says %q", b.run, s.Running.Name)
	case !s.Running.Confirmed || !s.Running.Bootable:
		return "the device rests on slot " + b.run + ", which is not confirmed"
	case s.Boot.Next != b.run:
		return fmt.Sprintf("slot %s runs, and %q is next", b.run, s.Boot.Next)
	case s.Other.Bootable && !s.Other.Confirmed:
		return "the device rests, and slot " + s.Other.Name + " is armed"
	case b.offer != nil && phase != agent.Idle:
		return "the device rests in phase " + string(phase)
	case phase != agent.Idle && phase != agent.Preparing && phase != agent.Writing:
		return "the device rests offline in phase " + string(phase)
	}
	return ""
}

// benchMachine is one boot.
type benchMachine struct {
	b         *bench
	began     time.Time
	inbox     chan transport.Message
	rebooting atomic.Bool
	seen      []agent.Record // durable, each when it changed
}

// options wires the agent as its configuration in the guest does, and reads what its start will find.
func (m *benchMachine) options(ctx context.Context) (agent.Options, agent.View, error) {
	b, state := m.b, filepath.Join(m.b.dir, "state")
	boot, err := b.model.backend(filepath.Join(b.dir, "boot"), state)
	if err != nil {
		return agent.Options{}, agent.View{}, err
	}
	store, err := journal.OpenBolt(filepath.Join(state, "journal.db"), journal.Options{})
	if err != nil {
		return agent.Options{}, agent.View{}, err
	}
	device, err := os.ReadFile(filepath.Join(state, "device.key"))
	if err != nil {
		return agent.Options{}, agent.View{}, errors.Join(err, store.Close())
	}
	signer, err := trust.ParsePrivate(device)
	if err != nil {
		return agent.Options{}, agent.View{}, errors.Join(err, store.Close())
	}
	vendor := manifest.VendorUUID("demo.example")
	online := func() (bool, time.Time) { return true, time.Time{} }
	o := agent.Options{Device: deviceName, Version: agent.Version, NeedMarker: true,
		Facts: manifest.Device{Vendors: []manifest.UUID{vendor}, Classes: []manifest.UUID{manifest.ClassUUID(vendor, "gateway-v1")}, BatteryMWh: -1},
		Boot:  boot, Blocks: m, FS: linux.FS{}, Power: m, Clock: m, Identity: m, StateDir: state, Channel: "stable",
		Counter: linux.NewFileCounter(linux.FS{}, filepath.Join(state, "counter")), Authority: b.keys, Signer: signer, Inbox: m, Online: online,
		Fetch: m.fetch, Log: slog.New(slog.DiscardHandler),
		Health: health.Plan{Checks: []health.Check{m, &health.Broker{Online: online}}, Soak: 2 * time.Second, Deadline: 20 * time.Second, Interval: 500 * time.Millisecond}}
	for i, s := range []string{"A", "B"} {
		o.Slots[i] = agent.SlotDef{Name: bootctl.Slot(s), Index: i, Parts: map[string]string{"rootfs": slotPath(s)}}
	}
	o.Journal = &benchJournal{store, m}
	v, err := m.view(ctx, store, boot)
	if err != nil {
		return o, v, errors.Join(err, store.Close())
	}
	return o, v, nil
}

// view reads the disk as the agent's start does, by code of its own.
func (m *benchMachine) view(ctx context.Context, store journal.Store, boot bootctl.Backend) (agent.View, error) {
	v := agent.View{MaxBoots: 4, Running: bootctl.Slot(m.b.run), Runs: agent.RunsOther}
	var err error
	if v.Record, v.HaveRecord, err = durable(store); err != nil {
		return v, err
	}
	s, err := boot.State(ctx)
	if err != nil {
		return v, fmt.Errorf("the boot metadata cannot be read: %w", err)
	}
	v.BootValid, v.Self = true, s.Slots[v.Running]
	target := v.Record.Target
	if target == "" {
		target = v.Running
	}
	if v.Record.Target == v.Running {
		v.Runs = agent.RunsTarget
	}
	v.Target = s.Slots[target]
	for name, x := range s.Slots {
		if name != target {
			v.Fallback = x
		}
	}
	return v, nil
}

// durable is the record that a journal holds.
func durable(s journal.Store) (r agent.Record, have bool, err error) {
	r.Phase = agent.Idle
	verr := s.View(func(tx journal.Tx) error {
		if raw := tx.Get(journal.State, "record"); len(raw) > 0 {
			have, err = true, cbor.Unmarshal(raw, &r)
		}
		return nil
	})
	return r, have, errors.Join(verr, err)
}

// benchJournal is the journal, and tells of each durable phase.
type benchJournal struct {
	journal.Store
	m *benchMachine
}

func (j *benchJournal) Update(fn func(journal.Tx) error) error {
	if err := j.Store.Update(fn); err != nil {
		return err
	}
	r, have, err := durable(j.Store)
	last := j.m.seen[len(j.m.seen)-1]
	if have && err == nil && (r.Phase != last.Phase || r.Boots != last.Boots) {
		j.m.seen = append(j.m.seen, r)
	}
	return err
}

// Messages implements transport.Inbox.
func (m *benchMachine) Messages() <-chan transport.Message { return m.inbox }

// Name implements health.Check.
func (m *benchMachine) Name() string { return "service" }

// Run implements health.Check: the service of a sick image does not answer.
func (m *benchMachine) Run(context.Context) error {
	if m.b.run == m.b.rec.To && !m.b.rec.Good {
		return errors.New("the rig's service does not answer")
	}
	return nil
}

// Reboot implements hal.Power.
func (m *benchMachine) Reboot(context.Context, string) error { m.rebooting.Store(true); return nil }

// Force implements hal.Power.
func (m *benchMachine) Force() error { m.rebooting.Store(true); return nil }

// Supply implements hal.Power.
func (m *benchMachine) Supply() hal.Supply {
	return hal.Supply{Battery: -1, BatteryMWh: -1, Mains: true, Known: true}
}

// Wall implements hal.Clock: virtual time began in 2000, the device lives after its agent was built.
func (m *benchMachine) Wall() (time.Time, hal.TimeQuality) {
	return time.Now().AddDate(30, 0, 0), hal.TimeSynced
}

// Uptime implements hal.Clock.
func (m *benchMachine) Uptime() time.Duration { return time.Since(m.began) + time.Second }

// After implements hal.Clock.
func (m *benchMachine) After(d time.Duration) <-chan time.Time { return time.After(d) }

// Root implements hal.Identity.
func (m *benchMachine) Root() (hal.DeviceID, error) { return benchDevice(m.b.run), nil }

// Marker implements hal.Identity.
func (m *benchMachine) Marker() (string, error) { return m.b.run, nil }

// BootID implements hal.Identity.
func (m *benchMachine) BootID() (string, error) { return fmt.Sprintf("bench-%d", m.b.boots), nil }

// Identify implements hal.Blocks.
func (m *benchMachine) Identify(path string) (hal.DeviceID, error) {
	for _, s := range []string{"A", "B"} {
		if slotPath(s) == path {
			return benchDevice(s), nil
		}
	}
	return hal.DeviceID{}, fmt.Errorf("there is no device %s", path)
}

// OpenTarget implements hal.Blocks: the running slot, and the one that the recording never writes, are
// never opened.
func (m *benchMachine) OpenTarget(path string, running hal.DeviceID) (hal.Medium, error) {
	if id, err := m.Identify(path); err != nil || id == running || path != slotPath(m.b.rec.To) || m.b.run == m.b.rec.To {
		return nil, errors.Join(err, hal.ErrRunning)
	}
	return benchMedium{m.b}, nil
}

// OpenMedium implements hal.Blocks.
func (m *benchMachine) OpenMedium(path string) (hal.Medium, error) {
	if path != slotPath(m.b.rec.To) {
		return nil, hal.ErrBusy
	}
	return benchMedium{m.b}, nil
}

// fetch is the image server, or without an offer no network.
func (m *benchMachine) fetch(urls []string, _ int64) (slots.Source, error) {
	if m.b.offer == nil {
		return nil, errors.New("the network is unreachable")
	}
	return benchSource(filepath.Join(m.b.images, filepath.Base(urls[0]))), nil
}

// benchSource is a payload file.
type benchSource string

// Open implements slots.Source.
func (s benchSource) Open(_ context.Context, off int64, validator string) (io.ReadCloser, string, error) {
	f, err := os.Open(string(s))
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", transport.ErrGone, err)
	}
	if _, err := f.Seek(off, io.SeekStart); err != nil {
		return nil, "", errors.Join(err, f.Close())
	}
	if validator == "" {
		validator = "bench"
	}
	return f, validator, nil
}

// benchMedium is the target slot. Blocks are copied when they are written.
type benchMedium struct{ b *bench }

func (m benchMedium) ReadAt(p []byte, off int64) (int, error) {
	if err := hal.CheckAccess(slotSize, off, p); err != nil {
		return 0, err
	}
	for n := 0; n < len(p); {
		at := off + int64(n)
		n += copy(p[n:], m.b.block(at / diskBlock)[at%diskBlock:])
	}
	return len(p), nil
}

func (m benchMedium) WriteAt(p []byte, off int64) (int, error) {
	if err := hal.CheckAccess(slotSize, off, p); err != nil {
		return 0, err
	}
	for n := 0; n < len(p); {
		at := off + int64(n)
		k := at / diskBlock
		if m.b.written[k] == nil {
			m.b.written[k] = bytes.Clone(m.b.block(k))
		}
		n += copy(m.b.written[k][at%diskBlock:], p[n:])
	}
	return len(p), nil
}

func (benchMedium) Sync() error  { return nil }
func (benchMedium) Size() int64  { return slotSize }
func (benchMedium) Close() error { return nil }
