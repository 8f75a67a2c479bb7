package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/hal/linux/sandbox/sandboxtest"
	"github.com/ratchet-ota/ratchet/slots"
)

// zstdRelease puts a release on a stick whose image is packed.
func (b *box) zstdRelease(img []byte) (envelope string) {
	b.t.Helper()
	var packed bytes.Buffer
	if err := slots.Compress(&packed, bytes.NewReader(img), 0, 3); err != nil {
		b.t.Fatal(err)
	}
	b.Write("rootfs.img", packed.Bytes())
	vendor := manifest.VendorUUID("example.com")
	env, err := author.Build(author.Release{Vendor: vendor, Sequence: 2,
		Classes: []manifest.UUID{manifest.ClassUUID(vendor, "gateway")},
		Components: []author.Component{{Name: "rootfs", Images: []author.Image{{Slot: author.AnySlot,
			Digest: manifest.Sum(img), Size: int64(len(img)), Encoding: manifest.EncodingZstd,
			PayloadSize: int64(packed.Len()), URI: "https://img.example.com/rootfs.img"}}}}})
	if err == nil {
		env, err = author.Sign(env, b.Release)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.Write("r.suit", env)
	return b.Path("r.suit")
}

// TestZstdIsDecodedElsewhere: on a kernel that has nothing to confine a process by, a zstd image is installed all the
// same. Where no process can be started the daemon does not decode in its place, and goes on.
func TestZstdIsDecodedElsewhere(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a kernel is played by a filter, which needs root")
	}
	for name, lacks := range map[string][]sandboxtest.Lack{"one that has all": nil,
		"one that has nothing": sandboxtest.Lacks(), "no processes": {sandboxtest.NoProcesses()}} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.startOn(lacks...)
			b.status()
			img := part("rootfs 2 ")
			_, errs, code := verb(t, b.Path("s"), "install", "--yes", b.zstdRelease(img))
			got, err := os.ReadFile(b.Path("b.img"))
			if err != nil {
				t.Fatal(err)
			}
			written := bytes.HasPrefix(got, img)
			if name != "no processes" {
				if code != 0 || !written {
					b.kill()
					t.Fatalf("exit %d, written %v\n%s\n%s", code, written, errs, b.log.String())
				}
				return
			}
			b.status()
			b.kill() // the log is whole
			if said := errs + b.log.String(); code == 0 || written ||
				!strings.Contains(said, "cannot start the process that decodes zstd") {
				t.Errorf("exit %d, written %v\n%s", code, written, said)
			}
		})
	}
}
