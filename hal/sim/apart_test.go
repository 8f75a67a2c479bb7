package sim_test

import (
	"testing"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// Two media lose their caches each on its own: contents and names.
func TestSetApart(t *testing.T) {
	for _, c := range []sim.Cache{sim.LoseApart, sim.KeepApart, sim.Keep, sim.LoseAll} {
		w := sim.New(1)
		w.SetApart("/state")
		w.AddDisk("/dev/b", 4096)
		for _, name := range []string{"/state/old", "/boot/old"} {
			w.PutFile(name, []byte("old"))
		}
		for _, name := range []string{"/state/old", "/boot/old", "/state/new", "/boot/new", "/dev/b"} {
			access := hal.InPlace
			if name == "/state/new" || name == "/boot/new" {
				access = hal.Create
			}
			m, err := w.FS().Open(name, access)
			if err == nil {
				_, err = m.WriteAt([]byte("new"), 0)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		w.SetCache(c)
		w.Cut()
		w.PowerOn()
		apart, here := c == sim.KeepApart || c == sim.Keep, c == sim.LoseApart || c == sim.Keep
		for folder, kept := range map[string]bool{"/state": apart, "/boot": here} {
			old, _ := w.File(folder + "/old")
			_, there := w.File(folder + "/new")
			if (string(old) == "new") != kept || there != kept {
				t.Errorf("cache %v: %s holds %q, a new file is there: %v", c, folder, old, there)
			}
		}
		if got := w.Disk("/dev/b", 0, 3); (string(got) == "new") != here {
			t.Errorf("cache %v: the disk holds %q", c, got)
		}
	}
}
