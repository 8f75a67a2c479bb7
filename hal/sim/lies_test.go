package sim_test

import (
	"bytes"
	"testing"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// TestLies: a medium that lies about its last two flushes loses these at a cut, and no earlier one; an orderly end
// loses none, and neither does a fork that has not lost its power.
func TestLies(t *testing.T) {
	for _, file := range []bool{false, true} {
		for n := 1; n <= 5; n++ {
			w := sim.New(1)
			w.AddDisk("/dev/x", 4096)
			w.PutFile("/x", make([]byte, 4096))
			path := map[bool]string{false: "/dev/x", true: "/x"}[file]
			w.SetLies(path, 2)
			m, err := w.FS().Open(path, hal.InPlace)
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				if _, err := m.WriteAt(bytes.Repeat([]byte{byte(i + 1)}, 512), int64(i)*512); err != nil {
					t.Fatal(err)
				}
				if err := m.Sync(); err != nil {
					t.Fatal(err)
				}
			}
			there := func(w *sim.World) (k int) {
				b := w.Disk("/dev/x", 0, 4096)
				if file {
					b, _ = w.File("/x")
				}
				for k < n && b[k*512] == byte(k+1) {
					k++
				}
				return k
			}
			cut, orderly := w.Fork(), w.Fork()
			cut.SetCache(sim.LoseAll)
			cut.PowerOn()
			orderly.Restart()
			orderly.SetCache(sim.LoseAll)
			orderly.PowerOn()
			if got := there(cut); got != max(n-2, 0) || there(w) != n || there(orderly) != n {
				t.Errorf("file %v: of %d flushes %d are there after a cut, %d before, %d after an orderly end", file, n,
					got, there(w), there(orderly))
			}
		}
	}
}
