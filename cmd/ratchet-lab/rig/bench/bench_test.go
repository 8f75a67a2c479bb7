package bench_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/bench"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
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
func benchDesk(t *testing.T, good bool) *bench.Device {
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
	offer, err := author.Build(author.Release{Vendor: vendor,
		Classes: []manifest.UUID{manifest.ClassUUID(vendor, "gateway-v1")}, Sequence: 1,
		Components: []author.Component{{Name: "rootfs",
			Images: []author.Image{{Slot: author.AnySlot,
				Digest: manifest.Digest{Alg: slots.SHA256, Sum: string(sum[:])},
				Size:   int64(len(image)), URI: "https://images.example/" + name, PayloadSize: int64(len(image))}}}}})
	must(err)
	offer, err = author.Sign(offer, release)
	must(err)
	rec, model := disk.Healthy(), *uboot(t).Model
	rec.Good = good
	b := &bench.Device{Name: "bench-1", Rec: rec, Model: &model, Image: image, From: filepath.Join(dir, "from"),
		Dir: filepath.Join(dir, "bench"), Images: dir, Offer: offer}
	b.Keys, err = trust.NewKeys([]trust.Key{release.Key()}, false)
	must(err)
	b.Disk, err = disk.Open(factory)
	must(err)
	t.Cleanup(func() { _ = b.Disk.Close() })
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
				b.Offer = nil
			}
			for range 2 { // the second time from the same disk
				o := b.Play(t)
				if o.Wrong != "" || o.Ended != c.ended || strings.Join(o.Boots, " ") != c.boots {
					t.Errorf("%+v, want %s by %s", o, c.ended, c.boots)
				}
			}
			if !b.Disk.Unwritten(0, board.DiskSize) {
				t.Error("the disk was written")
			}
		})
	}
}

// TestBenchFinds: what a power cut must not leave is found.
func TestBenchFinds(t *testing.T) {
	armed := func(b *bench.Device) error {
		boot, err := b.Model.Backend(filepath.Join(b.From, "boot"), filepath.Join(b.From, "state"))
		if err != nil {
			return err
		}
		return boot.Confirm(t.Context(), "B")
	}
	for _, c := range []struct {
		name, want string
		breaks     func(b *bench.Device) error
	}{
		{"slot B armed and empty", "does not hold the image", armed},
		{"no slot left", "starts nothing", func(b *bench.Device) error {
			b.Model.Boot = func(string) (string, error) { return "", nil }
			return nil
		}},
		{"journal of garbage", "corrupt", func(b *bench.Device) error {
			return os.WriteFile(filepath.Join(b.From, "state", "journal.db"), bytes.Repeat([]byte("x"), 1<<20), 0o600)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := benchDesk(t, true)
			if err := c.breaks(b); err != nil {
				t.Fatal(err)
			}
			if o := b.Play(t); !strings.Contains(o.Wrong, c.want) {
				t.Errorf("%+v, want %q", o, c.want)
			}
		})
	}
}
