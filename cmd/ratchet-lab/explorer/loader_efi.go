package explorer

import (
	"bytes"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/bootctl/sdboot"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/medium"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// firmware is a loader of the UEFI kind: how it is provisioned, read, booted, and meddled with by
// somebody behind the agent's back (durable at once, and no operation of the machine).
type firmware interface {
	factory(w *sim.World)
	backend(fsys hal.Tree, vars hal.Variables) (bootctl.Backend, error)
	boot(w *sim.World, loads func(slot string) bool) (slot string, err error)
	metadata(path string) bool
	foreign(w *sim.World) // another program changes something of its own
	ruins(w *sim.World)
	arms(w *sim.World, slot string)
	confirms(w *sim.World, slot string)
	disables(w *sim.World, slot string)
}

func efiLoaders() []Loader {
	return []Loader{
		{Name: "sdboot", Main: true, Layout: "systemd-boot counting boots, loader/entries in one sector",
			PowerSafe: true, Tries: 3, efi: entries{}},
		{Name: "uefi",
			Main: true, Few: true, Layout: "UEFI's BootOrder and BootNext", PowerSafe: true, Tries: 1,
			efi: variables{}},
		{Name: "sdboot-apart", Layout: "systemd-boot counting boots, loader/entries over several sectors",
			Breaks: "panic", Tries: 3, efi: entries{apart: true}},
		{Name: "sdboot-torn", Layout: "systemd-boot on a medium that tears sectors", Breaks: "update",
			Medium: medium.Torn, Tries: 3, efi: entries{}},
		{Name: "sdboot-spoilt", Layout: "systemd-boot on flash that a cut leaves garbage on", Breaks: "update",
			Medium: medium.Spoiling, Tries: 3, efi: entries{}},
	}
}

// watchedVariables lets a scenario act between two operations on variables.
type watchedVariables struct {
	hal.Variables
	d *Device
}

func (v watchedVariables) Get(name string) (uint32, []byte, error) {
	if v.d.s.OnOpen != nil {
		if err := v.d.s.OnOpen(v.d, name, hal.ReadOnly); err != nil {
			return 0, nil, err
		}
	}
	return v.Variables.Get(name)
}

func (v watchedVariables) Set(name string, attributes uint32, data []byte) error {
	if v.d.s.OnOpen != nil {
		if err := v.d.s.OnOpen(v.d, name, hal.InPlace); err != nil {
			return err
		}
	}
	if data != nil {
		if err := v.d.noRoom(name); err != nil {
			return err
		}
	}
	return v.Variables.Set(name, attributes, data)
}

// entries is systemd-boot with its entries on FAT.
type entries struct{ apart bool }

const (
	entriesDir = "/efi/loader/entries"
	loaderConf = "/efi/loader/loader.conf"
)

func entryOf(slot string) string { return entriesDir + "/ratchet-" + slot + ".conf" }

func (e entries) factory(w *sim.World) {
	w.SetFAT(entriesDir, e.apart)
	w.PutFile(loaderConf, []byte(sdboot.LoaderConf()))
	e.put(w, entryOf("A"), "A", 2, true)
	e.put(w, entryOf("B"), "B", 1, true)
}

func (e entries) put(w *sim.World, file, slot string, version int64, on bool) {
	raw, err := sdboot.Encode([]string{"title " + slot, "linux /" + slot, "options ratchet.slot=" + slot}, version, on)
	if err != nil {
		panic("internal error: " + err.Error())
	}
	w.PutFile(file, raw)
}

func (e entries) backend(fsys hal.Tree, _ hal.Variables) (bootctl.Backend, error) {
	return sdboot.New(fsys, sdboot.Options{Folder: entriesDir, Slots: []bootctl.Slot{"A", "B"},
		Locks: []string{"/run/ratchet/lock/entries.lock"}, Shadow: shadowFile, Watchdog: true})
}

func (e entries) boot(w *sim.World, loads func(string) bool) (string, error) {
	slot, _, err := bootmodel.SystemdBoot{FS: w.FS(), Folder: entriesDir, Config: loaderConf, Loads: loads}.Boot()
	return slot, err
}

func (e entries) metadata(name string) bool { return path.Dir(name) == entriesDir }

func (e entries) foreign(w *sim.World) {
	if raw, ok := w.File(entryOf("B")); ok {
		w.PutFile(entryOf("B"), append([]byte("# changed\n"), raw[:len(raw)-10]...))
	}
}

// ours are the files of a slot, of all for "".
func (e entries) ours(w *sim.World, slot string) (files []string) {
	for _, name := range w.Files() {
		if e.metadata(name) && strings.HasPrefix(path.Base(name), "ratchet-"+slot) {
			files = append(files, name)
		}
	}
	return files
}

// ruins leaves A an entry that the loader boots and nobody can order, as an editor would, and B
// nothing: systemd-boot has no default built in, so that without any entry no agent would help.
func (e entries) ruins(w *sim.World) {
	for _, name := range e.ours(w, "") {
		w.PutFile(name, bytes.Repeat([]byte{0xe5}, sdboot.Size))
	}
	w.PutFile(entryOf("A"), []byte("title A\nlinux /A\noptions ratchet.slot=A\n"))
}

// above is a version above all.
func (e entries) above(w *sim.World) (top int64) {
	for _, name := range e.ours(w, "") {
		raw, _ := w.File(name)
		_, rest, _ := strings.Cut(string(raw), "version ")
		line, _, _ := strings.Cut(rest, "\n")
		if n, err := strconv.ParseInt(line, 10, 64); err == nil {
			top = max(top, n)
		}
	}
	return top + 1
}

func (e entries) arms(w *sim.World, slot string) {
	n := e.above(w)
	e.disables(w, slot)
	e.put(w, fmt.Sprintf("%s/ratchet-%s-%d+3-0.conf", entriesDir, slot, n), slot, n, true)
}

func (e entries) confirms(w *sim.World, slot string) { e.put(w, entryOf(slot), slot, e.above(w), true) }

func (e entries) disables(w *sim.World, slot string) {
	n := e.above(w)
	for _, name := range e.ours(w, slot) {
		e.put(w, name, slot, n, false)
	}
}
