package author_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/manifest/manifesttest"
)

// info is an encryption-info of testdata/suit.
func info(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(manifesttest.Data(t), "encrypted", name+".info"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func severed(t *testing.T, env []byte) []byte {
	t.Helper()
	short, err := author.Sever(env)
	if err != nil {
		t.Fatal(err)
	}
	return short
}

// A release with everything comes out of the device as it went in.
func TestReleaseReachesDevice(t *testing.T) {
	r := manifesttest.Full()
	env := manifesttest.Make(t, r, "release-p256", "release-ed25519")
	d := manifesttest.Device()
	d.Devices = []manifest.UUID{*r.DeviceID}
	d.Authorized = func(p int64) bool { return p == -1 }
	for _, slot := range []int{0, 1} {
		d.Components["rootfs"] = manifest.Target{Slot: slot}
		m, err := manifesttest.Accept(t, env)
		if err != nil {
			t.Fatal(err)
		}
		u, err := m.Resolve(d)
		if err != nil || len(u.Findings) > 0 {
			t.Fatal(err, u.Findings)
		}
		want := manifest.Update{Priority: -1, Installs: []manifest.Install{
			{Component: "rootfs",
				URI: "https://updates.ratchet.example/7/a.zst", Mirrors: []string{"https://mirror.example/a.zst"},
				Encoding: manifest.EncodingZstd, PayloadSize: 5, Image: manifesttest.ImageA(), Size: 7, ForSlot: true},
			{Component: "app/x",
				URI: "#app", Content: []byte("image A"), PayloadSize: 7, Image: manifesttest.ImageA(), Size: 7},
		}}
		if slot == 1 {
			want.Installs[0] = manifest.Install{Component: "rootfs", URI: "https://updates.ratchet.example/7/b.img",
				Image: manifesttest.ImageB(), Size: 7, ForSlot: true}
		}
		for i := range u.Installs {
			if u.Installs[i].Stored.Section != 20 || u.Installs[i].Matched.Section != 20 {
				t.Errorf("install without its place: %+v", u.Installs[i])
			}
			u.Installs[i].Stored, u.Installs[i].Matched = manifest.Place{}, manifest.Place{}
		}
		if fmt.Sprintf("%+v", u) != fmt.Sprintf("%+v", want) {
			t.Errorf("slot %d:\n got %+v\nwant %+v", slot, u, want)
		}
		if m.Sequence() != 7 || len(m.Signers()) != 2 || m.ReferenceURI() != r.ReferenceURI ||
			fmt.Sprint(m.SetVersion()) != fmt.Sprint(r.Version) || fmt.Sprint(m.Components()) != "[rootfs app/x]" {
			t.Errorf("manifest says %d %v %s %v %v",
				m.Sequence(), m.Signers(), m.ReferenceURI(), m.SetVersion(), m.Components())
		}
	}
	// The second class is served too, and the conditions hold for its devices.
	d.Classes = []manifest.UUID{r.Classes[1]}
	m, err := manifesttest.Accept(t, env)
	if err != nil {
		t.Fatal(err)
	}
	if u, err := m.Resolve(d); err != nil || len(u.Findings) > 0 {
		t.Error(err, u.Findings)
	}
	// All that fails is told, each once.
	bad := manifesttest.Device()
	bad.Vendors, bad.Classes, bad.Version, bad.Now, bad.BatteryMWh = nil, nil, []int64{2, 1},
		time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC), 10
	bad.Authorized = func(int64) bool { return false }
	bad.Components["rootfs"] = manifest.Target{Slot: 7}
	u, err := m.Resolve(bad)
	if err != nil {
		t.Fatal(err)
	}
	var conditions []int
	for _, f := range u.Findings {
		conditions = append(conditions, f.Condition)
	}
	if want := "[1 2 24 28 4 26 27 5]"; fmt.Sprint(conditions) != want {
		t.Errorf("findings %v, want %s", conditions, want)
	}
	if len(u.Installs) > 0 {
		t.Error("an update with findings has installs")
	}
}

// An encrypted release with an image per slot: payload and encryption of the slot that is the target.
func TestEncryptedReleaseReachesDevice(t *testing.T) {
	r := manifesttest.Release()
	r.Components[0].Images = []author.Image{
		{Slot: 0, Digest: manifesttest.ImageA(), Size: 7, URI: "https://x/a", Mirrors: []string{"https://y/a"},
			PayloadSize: 40, Encoding: manifest.EncodingZstd, Encryption: info(t, "a128kw-a128gcm")},
		{Slot: 1, Digest: manifesttest.ImageB(), Size: 7, URI: "https://x/b", PayloadSize: 7,
			Encryption: info(t, "ecdh-a128ctr")},
	}
	r.Components = append(r.Components, author.Component{Name: "app/x", Images: []author.Image{{
		Slot: author.AnySlot, Digest: manifesttest.ImageA(), Size: 7, URI: "#app", Content: make([]byte, 23),
		Encryption: info(t, "a128kw-a128gcm"),
	}}})
	m, err := manifesttest.Accept(t, manifesttest.Make(t, r, "release-p256"))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(m.Components()); got != "[rootfs rootfs/payload app/x app/x/payload]" {
		t.Errorf("components %s", got)
	}
	for slot, want := range []string{
		"rootfs https://x/a [https://y/a] 1 40 sha256:bd8 1 true; app/x #app [] 0 23 sha256:bd8 1 false; ",
		"rootfs https://x/b [] 0 7 sha256:77c -65534 true; app/x #app [] 0 23 sha256:bd8 1 false; ",
	} {
		d := manifesttest.Device()
		d.Components = map[string]manifest.Target{"rootfs": {Slot: slot}, "app/x": {Slot: slot}}
		u, err := m.Resolve(d)
		if err != nil || len(u.Findings) > 0 {
			t.Fatal(err, u.Findings)
		}
		got := ""
		for _, i := range u.Installs {
			got += fmt.Sprintf("%s %s %v %d %d %.10s %d %v; ",
				i.Component, i.URI, i.Mirrors, i.Encoding, i.PayloadSize, i.Image, i.Encryption.Algorithm(), i.ForSlot)
		}
		if got != want {
			t.Errorf("slot %d:\n got %s\nwant %s", slot, got, want)
		}
	}
	// The payload component is of no use by itself.
	for name, change := range map[string]func(r *author.Release){
		"either all images of a component are encrypted": func(r *author.Release) {
			r.Components[0].Images[1].Encryption = nil
		},
		"encryption-info is malformed": func(r *author.Release) {
			r.Components[0].Images[1].Encryption = []byte{1}
		},
		"payload size is 8, the image's 7": func(r *author.Release) { r.Components[0].Images[1].PayloadSize = 8 },
		"an encrypted one counts twice": func(r *author.Release) {
			for i := range 3 {
				c := r.Components[1]
				c.Name = fmt.Sprint("c", i)
				r.Components = append(r.Components, c)
			}
		},
	} {
		bad := r
		bad.Components = append([]author.Component{}, r.Components...)
		bad.Components[0].Images = append([]author.Image{}, r.Components[0].Images...)
		change(&bad)
		if _, err := author.Build(bad); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBuildIsStable(t *testing.T) {
	first := manifesttest.Make(t, manifesttest.Full(), "release-p256", "release-ed25519", "release-p384")
	for range 20 {
		if !bytes.Equal(manifesttest.Make(t, manifesttest.Full(), "release-p256",
			"release-ed25519", "release-p384"), first) {
			t.Fatal("the same release gave other bytes")
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	image := func(f func(i *author.Image)) func(*author.Release) {
		return func(r *author.Release) { f(&r.Components[0].Images[0]) }
	}
	for name, change := range map[string]func(r *author.Release){
		"the vendor is missing":    func(r *author.Release) { r.Vendor = manifest.UUID{} },
		"0 device classes":         func(r *author.Release) { r.Classes = nil },
		"0 components":             func(r *author.Release) { r.Components = nil },
		"9 components":             func(r *author.Release) { r.Components = make([]author.Component, 9) },
		"listed twice":             func(r *author.Release) { r.Components = append(r.Components, r.Components...) },
		"0 images":                 func(r *author.Release) { r.Components[0].Images = nil },
		"a part has 1 to 64 bytes": func(r *author.Release) { r.Components[0].Name = "a//b" },
		"it is written":            func(r *author.Release) { r.Components[0].Name = "root fs" },
		"digest is missing":        image(func(i *author.Image) { i.Digest = manifest.Digest{} }),
		"image size is 0":          image(func(i *author.Image) { i.Size = 0 }),
		"URI is missing":           image(func(i *author.Image) { i.URI = "" }),
		"not allowed in URIs":      image(func(i *author.Image) { i.URI = "https://x/ü" }),
		"payload encoding 2":       image(func(i *author.Image) { i.Encoding = 2 }),
		"payload size is 6":        image(func(i *author.Image) { i.PayloadSize = 6 }),
		"9 mirrors":                image(func(i *author.Image) { i.Mirrors = make([]string, 9) }),
		"carried in the envelope":  image(func(i *author.Image) { i.Content = []byte("x") }),
		"one image for any slot": func(r *author.Release) {
			r.Components[0].Images = append(r.Components[0].Images, r.Components[0].Images[0])
		},
		"three release numbers": func(r *author.Release) { r.Version = []int64{1, 2, 3, 4} },
		"version comparison 0":  func(r *author.Release) { r.Versions = make([]manifest.VersionCondition, 1) },
		"before 1970":           func(r *author.Release) { r.UseBefore = time.Unix(-5, 0) },
		"minimum battery":       func(r *author.Release) { r.MinBatteryMWh = -1 },
		"not a language tag": func(r *author.Release) {
			r.Text = map[string]author.Text{"english language": {Update: "x"}}
		},
		"text of": func(r *author.Release) {
			r.Text = map[string]author.Text{"en": {Update: strings.Repeat("x", manifest.MaxText)}}
		},
		"at most 65536": image(func(i *author.Image) { i.URI, i.Content = "#x", make([]byte, manifest.MaxEnvelope) }),
	} {
		t.Run(name, func(t *testing.T) {
			r := manifesttest.Release()
			change(&r)
			_, err := author.Build(r)
			if err == nil || !strings.HasPrefix(err.Error(), "cannot build release: ") ||
				!strings.Contains(err.Error(), name) {
				t.Errorf("error %v, want it to say %q", err, name)
			}
		})
	}
}

func TestSign(t *testing.T) {
	unsigned := manifesttest.Make(t, manifesttest.Release())
	once, err := author.Sign(unsigned, manifesttest.Signer(t, "release-p256"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := author.Sign(once, manifesttest.Signer(t, "release-p256")); err == nil {
		t.Error("one signer signed twice")
	}
	outside, err := os.ReadFile(filepath.Join(manifesttest.Data(t), "hostile-custom-command.suit"))
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(unsigned)
	changed[len(changed)-1] ^= 1
	for name, env := range map[string][]byte{
		"damaged": changed, "garbage": {0xff}, "outside the profile": outside,
	} {
		if _, err := author.Sign(env, manifesttest.Signer(t, "release-p256")); err == nil {
			t.Errorf("%s: signed what a device refuses", name)
		}
	}
	// A manifest digest is the same before and after, whoever signs.
	for _, env := range [][]byte{once,
		manifesttest.Make(t, manifesttest.Release(), "release-p256", "release-ed25519")} {
		e, err := manifest.Parse(env)
		if err != nil {
			t.Fatal(err)
		}
		u, err := manifest.Parse(unsigned)
		if err != nil || e.ClaimedDigest() != u.ClaimedDigest() {
			t.Errorf("signing changed the digest (%v)", err)
		}
	}
}

// Severing drops the text, keeps the signatures, and nothing else changes.
func TestSever(t *testing.T) {
	whole := manifesttest.Make(t, manifesttest.Full(), "release-p256")
	short := severed(t, manifesttest.Make(t, manifesttest.Full(), "release-p256"))
	if len(short) >= len(whole) {
		t.Errorf("severed %d bytes to %d", len(whole), len(short))
	}
	a, err := manifesttest.Accept(t, whole)
	if err != nil {
		t.Fatal(err)
	}
	b, err := manifesttest.Accept(t, short)
	if err != nil {
		t.Fatal(err)
	}
	if a.Digest() != b.Digest() || b.Description("en") != "" {
		t.Errorf("digest %s became %s, text %q", a.Digest(), b.Digest(), b.Description("en"))
	}
	if want := "Fixes the clock. Safer \ufffd[31mboot\ufffd."; a.Description("en-GB") != want {
		t.Errorf("description %q, want %q", a.Description("en-GB"), want)
	}
	again, err := author.Sever(short)
	if err != nil || !bytes.Equal(again, short) {
		t.Errorf("severing twice changes the envelope: %v", err)
	}
}
