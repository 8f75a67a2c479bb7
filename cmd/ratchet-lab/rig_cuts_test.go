package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/stage"
	"github.com/ratchet-ota/ratchet/slots"
)

// uboot is the board that most boots are on.
func uboot(t *testing.T) board.Kind {
	t.Helper()
	x, ok := board.Find("arm64-uboot")
	if !ok {
		t.Fatal("there is no arm64-uboot")
	}
	return x
}

// benchDesk makes a device of the factory and an offer for it: what a bench needs.
func benchDesk(t *testing.T, good bool) *bench {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	image := make([]byte, 300_000)
	for i := range image {
		image[i] = byte(i * 7)
	}
	sum := sha256.Sum256(image)
	name := hex.EncodeToString(sum[:]) + ".img"
	must(os.MkdirAll(filepath.Join(dir, "from", "boot"), 0o700))
	must(os.MkdirAll(filepath.Join(dir, "from", "state"), 0o700))
	must(os.WriteFile(filepath.Join(dir, name), image, 0o600))
	factory := filepath.Join(dir, "disk")
	must(os.WriteFile(factory, nil, 0o600))
	must(os.Truncate(factory, board.DiskSize))
	device, err := trust.Generate(trust.ESP256)
	must(err)
	pem, err := device.MarshalPEM()
	must(err)
	must(os.WriteFile(filepath.Join(dir, "from", "state", "device.key"), pem, 0o600))
	var env []byte
	for serial := 1; serial >= 0; serial-- {
		b, err := ubootenv.Encode([]string{"bootcmd=run ratchet_boot", "board_serial=rig-0001"}, board.EnvCopy, serial)
		must(err)
		env = append(env, b...)
	}
	must(os.WriteFile(filepath.Join(dir, "from", "boot", "env"), env, 0o600))
	release, err := trust.Generate(trust.ESP256)
	must(err)
	vendor := manifest.VendorUUID("demo.example")
	offer, err := author.Build(author.Release{Vendor: vendor, Classes: []manifest.UUID{manifest.ClassUUID(vendor, "gateway-v1")}, Sequence: 1,
		Components: []author.Component{{Name: "rootfs", Images: []author.Image{{Slot: author.AnySlot, Digest: manifest.Digest{Alg: slots.SHA256, Sum: string(sum[:])},
			Size: int64(len(image)), URI: "https://images.example/" + name, PayloadSize: int64(len(image))}}}}})
	must(err)
	offer, err = author.Sign(offer, release)
	must(err)
	rec, model := disk.Healthy(), *uboot(t).Model
	rec.Good = good
	b := &bench{rec: rec, model: &model, image: image, from: filepath.Join(dir, "from"), dir: filepath.Join(dir, "bench"), images: dir, offer: offer}
	b.keys, err = trust.NewKeys([]trust.Key{release.Key()}, false)
	must(err)
	b.disk, err = disk.Open(factory)
	must(err)
	t.Cleanup(func() { _ = b.disk.Close() })
	return b
}

// TestBench: the real agent on the bench carries an offer through, goes back from a sick image, rests
// where there is nothing to do, and leaves the disk as it was.
func TestBench(t *testing.T) {
	for _, c := range []struct {
		name         string
		good, online bool
		boots, ended string
	}{
		{"healthy", true, true, "A B", "updated/1; slot B runs, confirmed, B is next"},
		{"sick", false, true, "A B A", "reverted/1/health-failed; slot A runs, confirmed, A is next"},
		{"nothing", true, false, "A", "-; slot A runs, confirmed, A is next"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := benchDesk(t, c.good)
			if !c.online {
				b.offer = nil
			}
			for range 2 { // the second time from the same disk
				o := b.play(t)
				if o.Wrong != "" || o.Ended != c.ended || strings.Join(o.Boots, " ") != c.boots {
					t.Errorf("%+v, want %s by %s", o, c.ended, c.boots)
				}
			}
			if !b.disk.Unwritten(0, board.DiskSize) {
				t.Error("the disk was written")
			}
		})
	}
}

// TestBenchFinds: what a power cut must not leave is found.
func TestBenchFinds(t *testing.T) {
	armed := func(b *bench) error {
		boot, err := b.model.Backend(filepath.Join(b.from, "boot"), filepath.Join(b.from, "state"))
		if err != nil {
			return err
		}
		return boot.Confirm(t.Context(), "B")
	}
	for _, c := range []struct {
		name, want string
		breaks     func(b *bench) error
	}{
		{"slot B armed and empty", "does not hold the image", armed},
		{"no slot left", "starts nothing", func(b *bench) error {
			b.model.Boot = func(string) (string, error) { return "", nil }
			return nil
		}},
		{"journal of garbage", "corrupt", func(b *bench) error {
			return os.WriteFile(filepath.Join(b.from, "state", "journal.db"), bytes.Repeat([]byte("x"), 1<<20), 0o600)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := benchDesk(t, true)
			if err := c.breaks(b); err != nil {
				t.Fatal(err)
			}
			if o := b.play(t); !strings.Contains(o.Wrong, c.want) {
				t.Errorf("%+v, want %q", o, c.want)
			}
		})
	}
}

// TestWrongStart: where Reconcile leads, and where an agent went.
func TestWrongStart(t *testing.T) {
	at := func(phases ...life.Phase) (out []life.Record) {
		for _, p := range phases {
			out = append(out, life.Record{Phase: p})
		}
		return out
	}
	for i, c := range []struct {
		from life.Phase
		step life.Resume
		seen []life.Record
		bad  bool
	}{
		{life.Writing, life.Resume{To: life.Writing, Same: true}, at(life.Writing), false},
		{life.Writing, life.Resume{To: life.Writing, Same: true}, at(life.Writing, life.Checking), false},
		{life.Writing, life.Resume{To: life.Writing, Same: true}, at(life.Writing, life.Arming), true},
		{life.Ready, life.Resume{To: life.Checking}, at(life.Ready, life.Checking), false},
		{life.Ready, life.Resume{To: life.Checking}, at(life.Ready, life.Arming), true},
		{life.Ready, life.Resume{To: life.Checking}, at(life.Ready), true},
		{life.Rebooting, life.Resume{To: life.Trial, Count: true}, at(life.Rebooting, life.Trial), false},
		{life.Rebooting, life.Resume{To: life.Trial, Count: true}, at(life.Rebooting, life.Reverting), true},
		{life.Trial, life.Resume{To: life.Trial, Hold: true}, at(life.Trial), true},
	} {
		v := life.View{HaveRecord: true, Record: life.Record{Phase: c.from}, MaxBoots: 4}
		if got := wrongStart(v, c.step, c.seen); (got != "") != c.bad {
			t.Errorf("%d: %q", i, got)
		}
	}
}

// TestReportPage: what the console said is text in the page, failures are named and lead to their story,
// and the page needs no other file.
func TestReportPage(t *testing.T) {
	l := &disk.Log{Writes: []disk.Write{{At: board.StateAt, N: 2}, {Flags: disk.FlagFlush}, {At: board.SlotBytes("A") / image.Sector, N: 1}}}
	r := &rig{Stage: &stage.Stage{Dir: "run"}, target: uboot(t), o: &rigFlags{dir: "run", seed: 1}}
	r.Expect("a scene", "<b>this</b>", "that & more")
	v := &coverage{rec: disk.Healthy(), log: l}
	for _, x := range every(l, 1) {
		v.cuts = append(v.cuts, r.result(v, x, finding{Sum: fmt.Sprint(x), Phase: "writing"}))
	}
	v.cuts[1].Story = []string{"rig: <script>alert(1)</script>"}
	v.cuts[2].Booted, v.cuts[2].Loads, v.cuts[2].Loaded = true, "A", []string{"B"}
	v.cuts[2].Bad = "the bootloader started slot B, its model A"
	r.covered = append(r.covered, v)
	b, err := reportPage(r.o, []*rig{r}, time.Minute, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for _, s := range []string{"<script", "<b>this", "http://", "https://", " src=", "@import", "url("} {
		if strings.Contains(page, s) {
			t.Errorf("%q is in the page", s)
		}
	}
	for _, s := range []string{"&lt;script&gt;alert(1)", "that &amp; more", "0 of 1", `id="arm64-uboot-healthy-1-lost"`, `href="#arm64-uboot-healthy-1-lost"`,
		"started slot B, its model A", "--update healthy --point 1 --variant lost", "something differs"} {
		if !strings.Contains(page, s) {
			t.Errorf("%q is not in the page", s)
		}
	}
	if n := strings.Count(page, `class="story"`); n != len(v.cuts) {
		t.Errorf("%d stories of %d cuts", n, len(v.cuts))
	}
}

// TestPrefixed: lines of several writers are whole, each under its name.
func TestPrefixed(t *testing.T) {
	var out bytes.Buffer
	w := &prefixed{to: &out, mu: new(sync.Mutex), prefix: "a "}
	for _, s := range []string{"one", " line\ntwo\nthr", "ee\n"} {
		if _, err := w.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	if got := out.String(); got != "a one line\na two\na three\n" {
		t.Errorf("%q", got)
	}
}
