package agent_test

import (
	"testing"
	"testing/synctest"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/bootctl/grubenv"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// board is the loader of a rig: the backend that writes its metadata, and the model that boots by it.
type board interface {
	String() string
	blank(*sim.World) // metadata as the factory leaves it, before the running slot is named
	backend(hal.FS) (bootctl.Backend, error)
	boot(hal.FS) (slot string, err error)
}

// boards are all loaders that the stories are played on.
func boards() []board { return []board{uboot{}, uboot{bootmodel.RAUC}, grub{}} }

const envSize = 4096

// uboot has a redundant environment; with RAUC's script every boot is counted, confirmed or not.
type uboot struct{ script bootmodel.Script }

func (u uboot) String() string {
	if u.script == bootmodel.RAUC {
		return "u-boot with RAUC's script"
	}
	return "u-boot"
}

func (uboot) blank(w *sim.World) {
	w.PutFile("/env/0", make([]byte, envSize))
	w.PutFile("/env/1", make([]byte, envSize))
}

func (u uboot) backend(fsys hal.FS) (bootctl.Backend, error) {
	return ubootenv.New(fsys, ubootenv.Options{
		Copies:          []ubootenv.Location{{Path: "/env/0", Size: envSize}, {Path: "/env/1", Size: envSize}},
		Locks:           []string{},
		Defaults:        []string{"bootcmd=run ratchet"},
		Slots:           []bootctl.Slot{"A", "B"},
		CountsConfirmed: u.script == bootmodel.RAUC,
	})
}

func (u uboot) boot(fsys hal.FS) (string, error) {
	slot, _, err := bootmodel.UBoot{FS: fsys, Copies: []bootmodel.Copy{{Path: "/env/0", Size: envSize},
		{Path: "/env/1", Size: envSize}}, Script: u.script}.Boot()
	return slot, err
}

// grub counts one try, in one block without a checksum.
type grub struct{}

func (grub) String() string { return "grub" }

func (grub) blank(w *sim.World) {
	b := []byte("# GRUB Environment Block\n")
	for len(b) < grubenv.Size {
		b = append(b, '#')
	}
	w.PutFile("/env/grubenv", b)
}

func (grub) backend(fsys hal.FS) (bootctl.Backend, error) {
	return grubenv.New(fsys, grubenv.Options{Path: "/env/grubenv", Slots: []bootctl.Slot{"A", "B"}, Locks: []string{}})
}

func (grub) boot(fsys hal.FS) (string, error) {
	slot, _, err := bootmodel.GRUB{FS: fsys, Path: "/env/grubenv"}.Boot()
	return slot, err
}

// onBoards plays a story on a new rig of each loader.
func onBoards(t *testing.T, seed uint64, story func(*rig)) {
	t.Helper()
	for _, b := range boards() {
		t.Run(b.String(), func(t *testing.T) { bubbleOn(t, seed, b, story) })
	}
}

func bubbleOn(t *testing.T, seed uint64, b board, story func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { story(newRigOn(t, seed, b)) })
}

// cut is one power cut: the operation, counted from the last time the power came.
type cut struct {
	op   int64
	mode sim.Mode
}

// powerOn switches the machine on again; it may be cut again.
func (r *rig) powerOn() {
	r.w.PowerOn()
	if r.outage != nil {
		r.outage()
	}
	if len(r.cuts) > 0 {
		r.w.CutAt(r.w.Ops()+r.cuts[0].op, r.cuts[0].mode)
		r.cuts = r.cuts[1:]
	}
}
