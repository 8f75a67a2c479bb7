// Package bench boots the disk that a power cut left without QEMU: the model of the bootloader chooses a slot, and the
// real agent starts over the disk's own journal, metadata and slots, in virtual time, until the device is at rest. How
// it came to rest is a Bout, which says what is wrong where a device that is not broken would have done otherwise.
package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/transport"
)

// Bounds of a device on the bench: more is a defect.
const (
	mostBoots = 10
	rest      = 30 * time.Minute // a device that asks for no boot in this virtual time is at rest
)

// Device is a device on the bench. It boots a rebuilt disk without QEMU: the model of the bootloader chooses, and the
// real agent starts over the disk's own journal, metadata and slots. Time is virtual. What the device writes stays in
// files of its own and in memory; the disk is not changed. It is not safe for concurrent use.
type Device struct {
	Name   string // of the device
	Rec    *disk.Recording
	Model  *board.Model
	Disk   *disk.Disk
	Image  []byte // of slot rec.To
	From   string // directory with boot metadata (boot/) and the files of the state partition (state/)
	Dir    string // where the device works on copies of them
	Images string // the image server's directory
	Offer  []byte // envelope; nil: the device is offline
	Keys   trust.Keys

	written map[int64][]byte // blocks of slot rec.To
	boots   int
	run     string
}

// Bout is how a device on the bench came to rest.
type Bout struct {
	Boots  []string // slots, in the order in which the model started them
	First  string   // what the start made of the durable phase: "trial -> reverting"
	Phases []string // durable ones, with the slot that ran
	Ended  string   // in the words of disk.EndsAs
	Wrong  string   // what a device that is not broken does not do; "" for nothing
}

// identity is the identity of a slot's device: its partition's number.
func identity(slot string) hal.DeviceID {
	return hal.DeviceID{Block: true, Major: uint64(board.SlotPart(slot))}
}

// Play boots the device until it is at rest, each time from the disk as it is. It waits in virtual time: t must be of a
// process in which nothing else runs (explorer.Host).
func (b *Device) Play(t *testing.T) (o Bout) {
	b.written, b.boots = map[int64][]byte{}, 0
	defer func() {
		if r := recover(); r != nil {
			o.Wrong = fmt.Sprintf("the agent panics: %v", r)
		}
	}()
	if err := errors.Join(os.RemoveAll(b.Dir), os.CopyFS(b.Dir, os.DirFS(b.From))); err != nil {
		o.Wrong = err.Error()
		return o
	}
	for range mostBoots {
		slot, err := b.Model.Boot(filepath.Join(b.Dir, "boot"))
		if err != nil {
			o.Wrong = fmt.Sprintf("the model of the bootloader starts nothing: %v", err)
			return o
		}
		if slot == "" {
			o.Wrong = "the model of the bootloader starts nothing"
			return o
		}
		o.Boots = append(o.Boots, slot)
		if slot == b.Rec.To && !b.whole() {
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
	o.Wrong = fmt.Sprintf("the device booted %d times and goes on", mostBoots)
	return o
}

// whole tells whether the target slot holds the image.
func (b *Device) whole() bool {
	at := int64(0)
	for ; at+disk.Block <= int64(len(b.Image)); at += disk.Block {
		if !bytes.Equal(b.block(at/disk.Block), b.Image[at:at+disk.Block]) {
			return false
		}
	}
	return bytes.Equal(b.block(at / disk.Block)[:int64(len(b.Image))-at], b.Image[at:])
}

// block is one block of the target slot.
func (b *Device) block(n int64) []byte {
	if w := b.written[n]; w != nil {
		return w
	}
	at := board.SlotBytes(b.Rec.To) + n*disk.Block
	return b.Disk.At(at, disk.Block)
}

// live is one boot. It returns true when the machine boots again.
func (b *Device) live(o *Bout) (again bool) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	m := &machine{b: b, began: time.Now(), inbox: make(chan transport.Message)}
	options, view, err := m.options(ctx)
	if err != nil {
		o.Wrong = err.Error()
		return false
	}
	defer options.Journal.Close()
	m.seen = []life.Record{view.Record}
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
	if b.Offer != nil {
		go func() {
			select {
			case m.inbox <- transport.Message{Kind: transport.Offer, Origin: "broker", Body: b.Offer}:
			case <-ctx.Done():
			}
		}()
	}
	for end := time.Now().Add(rest); time.Now().Before(end) && !m.rebooting.Load(); {
		time.Sleep(time.Second) // virtual: nobody had anything left to do in this second
		if len(ended) > 0 {
			break
		}
	}
	synctest.Wait()
	status := a.Console().Status(ctx)
	cancel()
	if r := <-ended; r != nil {
		o.Wrong = fmt.Sprintf("the agent panics: %v", r)
		return false
	}
	return b.judge(o, m, view, status)
}

// judge says what the boot was like, after the agent has ended with that status. It returns true when the machine boots
// again.
func (b *Device) judge(o *Bout, m *machine, view life.View, status control.Status) (again bool) {
	for _, r := range m.seen[1:] {
		o.Phases = append(o.Phases, fmt.Sprintf("%s: %s", b.run, r.Phase))
	}
	if b.boots == 1 {
		o.First = took(view, m.seen)
	}
	if o.Wrong = wrongStart(view, life.Reconcile(view), m.seen); o.Wrong == "" && status.Mode != control.ModeNormal {
		o.Wrong = "the agent is in boot-safe mode: " + status.ModeWhy
	}
	if o.Wrong != "" || m.rebooting.Load() {
		return o.Wrong == ""
	}
	last := "-"
	if status.Last != nil {
		last = strings.Trim(fmt.Sprintf("%s/%d/%s", status.Last.Result, status.Last.Sequence, status.Last.Reason), "/")
	}
	o.Ended = disk.EndsAs(last, status.Running.Name, status.Running.Confirmed, string(status.Boot.Next))
	o.Wrong = b.wrongRest(status, m.seen[len(m.seen)-1].Phase)
	return false
}

// took says what a start made of the durable phase.
func took(v life.View, seen []life.Record) string {
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
func wrongStart(v life.View, s life.Resume, seen []life.Record) string {
	if s.Hold {
		return "what runs cannot be proven"
	}
	if len(seen) < 2 {
		if s.To != v.Record.Phase {
			return fmt.Sprintf("Reconcile leads from %s to %s (%s), and the agent goes nowhere",
				v.Record.Phase, s.To, s.Cause)
		}
		return ""
	}
	first := seen[1]
	switch {
	case s.Same && s.To == v.Record.Phase:
		if first.Phase != s.To && !s.To.May(first.Phase) {
			return fmt.Sprintf("the agent goes from %s to %s", s.To, first.Phase)
		}
	case s.To == life.Trial && s.Count && first.Phase == life.Reverting && v.Budget.Boots+1 > v.MaxBoots: // counted out
	case first.Phase != s.To && (s.To != life.Idle || v.HaveRecord):
		return fmt.Sprintf("Reconcile leads from %s to %s (%s), the agent went to %s", v.Record.Phase, s.To, s.Cause,
			first.Phase)
	}
	return ""
}

// wrongRest is what must hold of a device that is left alone.
func (b *Device) wrongRest(s control.Status, phase life.Phase) string {
	switch {
	case s.Running.Name != b.run:
		return fmt.Sprintf("slot %s runs, the agent says %q", b.run, s.Running.Name)
	case !s.Running.Confirmed || !s.Running.Bootable:
		return "the device rests on slot " + b.run + ", which is not confirmed"
	case s.Boot.Next != b.run:
		return fmt.Sprintf("slot %s runs, and %q is next", b.run, s.Boot.Next)
	case s.Other.Bootable && !s.Other.Confirmed:
		return "the device rests, and slot " + s.Other.Name + " is armed"
	case b.Offer != nil && phase != life.Idle:
		return "the device rests in phase " + string(phase)
	case phase != life.Idle && phase != life.Preparing && phase != life.Writing:
		return "the device rests offline in phase " + string(phase)
	}
	return ""
}
