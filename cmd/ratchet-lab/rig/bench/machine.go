package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/health"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// machine is one boot.
type machine struct {
	b         *Device
	began     time.Time
	inbox     chan transport.Message
	rebooting atomic.Bool
	seen      []life.Record // durable, each when it changed
}

// options wires the agent as its configuration in the guest does, and reads what its start will find.
func (m *machine) options(ctx context.Context) (agent.Options, life.View, error) {
	b, state := m.b, filepath.Join(m.b.Dir, "state")
	boot, err := b.Model.Backend(filepath.Join(b.Dir, "boot"), state)
	if err != nil {
		return agent.Options{}, life.View{}, err
	}
	store, err := journal.OpenBolt(filepath.Join(state, "journal.db"), journal.Options{})
	if err != nil {
		return agent.Options{}, life.View{}, err
	}
	device, err := os.ReadFile(filepath.Join(state, "device.key"))
	if err != nil {
		return agent.Options{}, life.View{}, errors.Join(err, store.Close())
	}
	signer, err := trust.ParsePrivate(device)
	if err != nil {
		return agent.Options{}, life.View{}, errors.Join(err, store.Close())
	}
	vendor := manifest.VendorUUID("demo.example")
	online := func() (bool, time.Time) { return true, time.Time{} }
	o := agent.Options{Device: m.b.Name, Version: agent.Version, NeedMarker: true,
		Facts: manifest.Device{Vendors: []manifest.UUID{vendor},
			Classes: []manifest.UUID{manifest.ClassUUID(vendor, "gateway-v1")}, BatteryMWh: -1},
		Boot: boot, Blocks: m, FS: linux.FS{}, Power: m, Clock: m, Identity: m, StateDir: state, Channel: "stable",
		Counter: linux.NewFileCounter(linux.FS{},
			filepath.Join(state, "counter")), Authority: b.Keys, Signer: signer, Inbox: m, Online: online,
		Fetch: m.fetch, Log: slog.New(slog.DiscardHandler),
		Health: health.Plan{Checks: []health.Check{m, &health.Broker{Online: online}}, Soak: 2 * time.Second,
			Deadline: 20 * time.Second, Interval: 500 * time.Millisecond}}
	for i, s := range []string{"A", "B"} {
		o.Slots[i] = agent.SlotDef{Name: bootctl.Slot(s), Index: i,
			Parts: map[string]string{"rootfs": board.SlotPath(s)}}
	}
	o.Journal = &watched{store, m}
	v, err := m.view(ctx, store, boot)
	if err != nil {
		return o, v, errors.Join(err, store.Close())
	}
	return o, v, nil
}

// view reads the disk as the agent's start does, by code of its own.
func (m *machine) view(ctx context.Context, store journal.Store, boot bootctl.Backend) (life.View, error) {
	v := life.View{MaxBoots: 4, Running: bootctl.Slot(m.b.run), Runs: life.RunsOther}
	var err error
	if v.Record, v.HaveRecord, err = Durable(store); err != nil {
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
		v.Runs = life.RunsTarget
	}
	v.Target = s.Slots[target]
	for name, x := range s.Slots {
		if name != target {
			v.Fallback = x
		}
	}
	return v, nil
}

// Durable is the record that a journal holds; have is false where there is none yet.
func Durable(s journal.Store) (r life.Record, have bool, err error) {
	r.Phase = life.Idle
	verr := s.View(func(tx journal.Tx) error {
		if raw := tx.Get(journal.State, "record"); len(raw) > 0 {
			have, err = true, cbor.Unmarshal(raw, &r)
		}
		return nil
	})
	return r, have, errors.Join(verr, err)
}

// watched is the journal, and tells of each durable phase.
type watched struct {
	journal.Store
	m *machine
}

// Update implements journal.Store.
func (j *watched) Update(fn func(journal.Tx) error) error {
	if err := j.Store.Update(fn); err != nil {
		return err
	}
	r, have, err := Durable(j.Store)
	last := j.m.seen[len(j.m.seen)-1]
	if have && err == nil && (r.Phase != last.Phase || r.Boots != last.Boots) {
		j.m.seen = append(j.m.seen, r)
	}
	return err
}

// Messages implements transport.Inbox.
func (m *machine) Messages() <-chan transport.Message { return m.inbox }

// Name implements health.Check.
func (m *machine) Name() string { return "service" }

// Run implements health.Check: the service of a sick image does not answer.
func (m *machine) Run(context.Context) error {
	if m.b.run == m.b.Rec.To && !m.b.Rec.Good {
		return errors.New("the rig's service does not answer")
	}
	return nil
}

// Reboot implements hal.Power.
func (m *machine) Reboot(context.Context, string) error { m.rebooting.Store(true); return nil }

// Force implements hal.Power.
func (m *machine) Force(context.Context) error { m.rebooting.Store(true); return nil }

// Supply implements hal.Power.
func (m *machine) Supply() hal.Supply {
	return hal.Supply{Battery: -1, BatteryMWh: -1, Mains: true, Known: true}
}

// Wall implements hal.Clock: virtual time began in 2000, the device lives after its agent was built.
func (m *machine) Wall() (time.Time, hal.TimeQuality) {
	return time.Now().AddDate(30, 0, 0), hal.TimeSynced
}

// Uptime implements hal.Clock.
func (m *machine) Uptime() time.Duration { return time.Since(m.began) + time.Second }

// After implements hal.Clock.
func (m *machine) After(d time.Duration) <-chan time.Time { return time.After(d) }

// Root implements hal.Identity.
func (m *machine) Root() (hal.DeviceID, error) { return identity(m.b.run), nil }

// Marker implements hal.Identity.
func (m *machine) Marker() (string, error) { return m.b.run, nil }

// BootID implements hal.Identity.
func (m *machine) BootID() (string, error) { return fmt.Sprintf("bench-%d", m.b.boots), nil }

// Identify implements hal.Blocks.
func (m *machine) Identify(path string) (hal.DeviceID, error) {
	for _, s := range []string{"A", "B"} {
		if board.SlotPath(s) == path {
			return identity(s), nil
		}
	}
	return hal.DeviceID{}, fmt.Errorf("there is no device %s", path)
}

// OpenTarget implements hal.Blocks: the running slot, and the one that the recording never writes, are
// never opened.
func (m *machine) OpenTarget(path string, running hal.DeviceID) (hal.Medium, error) {
	if id, err := m.Identify(path); err != nil || id == running || path != board.SlotPath(m.b.Rec.To) ||
		m.b.run == m.b.Rec.To {
		return nil, errors.Join(err, hal.ErrRunning)
	}
	return medium{m.b}, nil
}

// OpenRunning implements hal.Blocks.
func (m *machine) OpenRunning(path string) (hal.Medium, error) { return m.OpenMedium(path) }

// OpenMedium implements hal.Blocks.
func (m *machine) OpenMedium(path string) (hal.Medium, error) {
	if path != board.SlotPath(m.b.Rec.To) {
		return nil, hal.ErrBusy
	}
	return medium{m.b}, nil
}

// fetch is the image server, or without an offer no network.
func (m *machine) fetch(urls []string, _ int64) (slots.Source, error) {
	if m.b.Offer == nil {
		return nil, errors.New("the network is unreachable")
	}
	return source(filepath.Join(m.b.Images, filepath.Base(urls[0]))), nil
}

// source is a payload file.
type source string

// Open implements slots.Source.
func (s source) Open(_ context.Context, off int64, validator string) (io.ReadCloser, string, error) {
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

// medium is the target slot. Blocks are copied when they are written.
type medium struct{ b *Device }

// ReadAt implements hal.Medium.
func (m medium) ReadAt(p []byte, off int64) (int, error) {
	if err := hal.CheckAccess(board.SlotSize, off, p); err != nil {
		return 0, err
	}
	for n := 0; n < len(p); {
		at := off + int64(n)
		n += copy(p[n:], m.b.block(at / disk.Block)[at%disk.Block:])
	}
	return len(p), nil
}

// WriteAt implements hal.Medium.
func (m medium) WriteAt(p []byte, off int64) (int, error) {
	if err := hal.CheckAccess(board.SlotSize, off, p); err != nil {
		return 0, err
	}
	for n := 0; n < len(p); {
		at := off + int64(n)
		k := at / disk.Block
		if m.b.written[k] == nil {
			m.b.written[k] = bytes.Clone(m.b.block(k))
		}
		n += copy(m.b.written[k][at%disk.Block:], p[n:])
	}
	return len(p), nil
}

// Sync implements hal.Medium.
func (medium) Sync() error { return nil }

// Size implements hal.Medium.
func (medium) Size() int64 { return board.SlotSize }

// Close implements hal.Medium.
func (medium) Close() error { return nil }
