package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
)

// part is an image of a part of the box's slots, as long as the part or shorter.
func part(text string) []byte { return bytes.Repeat([]byte(text), (1<<20-100)/len(text)) }

// releaseOf puts a release of some parts on a stick: the envelope, and the payloads beside it.
func (b *box) releaseOf(sequence uint64, parts map[string][]byte) (envelope string) {
	b.t.Helper()
	vendor := manifest.VendorUUID("example.com")
	r := author.Release{Vendor: vendor, Classes: []manifest.UUID{manifest.ClassUUID(vendor, "gateway")},
		Sequence: sequence}
	for _, name := range []string{"rootfs", "app"} {
		if img := parts[name]; img != nil {
			b.Write(name+".img", img)
			image := author.Image{Slot: author.AnySlot, Digest: manifest.Sum(img), Size: int64(len(img)),
				URI: "https://img.example.com/" + name + ".img"}
			r.Components = append(r.Components, author.Component{Name: name, Images: []author.Image{image}})
		}
	}
	env, err := author.Build(r)
	if err == nil {
		env, err = author.Sign(env, b.Release)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.Write("r.suit", env)
	return b.Path("r.suit")
}

// boots is the machine's next boot, in a slot.
func (b *box) boots(slot, image, id string) {
	b.kill()
	b.Write("cmdline", []byte("ro ratchet.slot="+slot+"\n"))
	b.Write("root", []byte(b.Path(image)+"\n"))
	b.Write("boot_id", []byte(id+"1111111-2222-3333-4444-555555555555\n"))
	b.start()
}

// TestInstallOfOnePart: a device with two parts, made of files and a daemon. A technician's release of the app alone
// waits as long as nothing is on record of the rootfs; behind a release of both it makes a whole slot.
func TestInstallOfOnePart(t *testing.T) {
	b := newBox(t)
	for _, name := range []string{"a2.img", "b2.img"} {
		b.Write(name, make([]byte, 1<<20))
	}
	text := b.Config()
	for slot, image := range map[string]string{"A": "a", "B": "b"} {
		at := "[slots." + slot + ".parts]\n"
		text = strings.Replace(text, at, at+"app = \""+b.Path(image+"2.img")+"\"\n", 1)
	}
	b.Write("ratchet.toml", []byte(text))
	b.start()
	b.status()
	install := func(sequence uint64, parts map[string][]byte) (string, int) {
		_, errs, code := verb(t, b.Path("s"), "install", "--yes", b.releaseOf(sequence, parts))
		return errs, code
	}
	app := map[string][]byte{"app": part("app 1 ")}
	if errs, code := install(1, app); code != control.ExitDeferred || !strings.Contains(errs, "slot-incomplete") ||
		!strings.Contains(errs, "rootfs: it is not on record") {
		t.Fatalf("exit %d\n%s", code, errs)
	}
	if errs, code := install(2, map[string][]byte{"rootfs": part("rootfs 2 "), "app": part("app 2 ")}); code != 0 {
		t.Fatalf("exit %d\n%s\n%s", code, errs, b.log.String())
	}
	confirm := func() {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			_, errs, code := verb(t, b.Path("s"), "confirm")
			if code == 0 {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("exit %d\n%s\n%s", code, errs, b.log.String())
			}
		}
		b.status()
	}
	b.boots("B", "b.img", "2")
	confirm()
	errs, code := install(3, map[string][]byte{"app": part("app 3 ")})
	if code != 0 || !strings.Contains(errs, "keeps rootfs of sequence 2") {
		t.Fatalf("exit %d\n%s\n%s", code, errs, b.log.String())
	}
	b.boots("A", "a.img", "3")
	confirm()
	for name, want := range map[string][]byte{"a.img": part("rootfs 2 "), "a2.img": part("app 3 ")} {
		if got, err := os.ReadFile(b.Path(name)); err != nil || !bytes.HasPrefix(got, want) {
			t.Errorf("%s holds something else (%v): %.40q", name, err, got)
		}
	}
	out, _, _ := verb(t, b.Path("s"), "slots")
	for _, want := range []string{"app of sequence 3", "rootfs of sequence 2", "carried over"} {
		if !strings.Contains(out, want) {
			t.Errorf("ratchet slots does not say %q:\n%s", want, out)
		}
	}
	out, _, _ = verb(t, b.Path("s"), "status")
	if want := "below 3 for app, below 2 for rootfs"; !strings.Contains(out, want) {
		t.Errorf("ratchet status does not say %q:\n%s", want, out)
	}
}
