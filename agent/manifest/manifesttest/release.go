// Package manifesttest makes releases, keys and a device for the tests of manifest, author and dump.
package manifesttest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// Vendor and Class are those of Device; ImageA and ImageB the digests of the images in the releases.
func Vendor() manifest.UUID   { return manifest.VendorUUID("ratchet.example") }
func Class() manifest.UUID    { return manifest.ClassUUID(Vendor(), "gateway-1") }
func ImageA() manifest.Digest { return manifest.Sum([]byte("image A")) }
func ImageB() manifest.Digest { return manifest.Sum([]byte("image B")) }

// Data is the path of testdata/suit, from the folder that the test runs in.
func Data(t testing.TB) string {
	t.Helper()
	for dir, up := ".", 0; up < 6; dir, up = filepath.Join(dir, ".."), up+1 {
		path := filepath.Join(dir, "testdata", "suit")
		if _, err := os.Stat(filepath.Join(path, "INDEX.tsv")); err == nil {
			return path
		}
	}
	t.Fatal("testdata/suit is not found")
	return ""
}

// Release is the release that the golden envelopes vary.
func Release() author.Release {
	return author.Release{
		Vendor: Vendor(), Classes: []manifest.UUID{Class()}, Sequence: 7,
		Components: []author.Component{{Name: "rootfs", Images: []author.Image{{
			Slot: author.AnySlot, Digest: ImageA(), Size: 7, URI: "https://updates.ratchet.example/7/rootfs.img",
		}}}},
	}
}

// Full is a release that says all there is to say.
func Full() author.Release {
	r := Release()
	priority := int64(-1)
	other := manifest.ClassUUID(Vendor(), "gateway-2")
	id := manifest.UUIDv5(Vendor(), "serial 42")
	r.Classes = append(r.Classes, other)
	r.DeviceID = &id
	r.Version = []int64{2, 0, 0, -1, 1}
	r.Versions = []manifest.VersionCondition{
		{Compare: manifest.CompareGreaterOrEqual, Version: []int64{1, 2}},
		{Compare: manifest.CompareLesser, Version: []int64{2}},
	}
	r.UseBefore = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	r.MinBatteryMWh = 2000
	r.Priority = &priority
	r.ReferenceURI = "https://updates.ratchet.example/7/release.suit"
	r.Components[0].Images = []author.Image{
		{Slot: 0, Digest: ImageA(), Size: 7, URI: "https://updates.ratchet.example/7/a.zst",
			Mirrors: []string{"https://mirror.example/a.zst"}, Encoding: manifest.EncodingZstd, PayloadSize: 5},
		{Slot: 1, Digest: ImageB(), Size: 7, URI: "https://updates.ratchet.example/7/b.img"},
	}
	r.Components = append(r.Components, author.Component{Name: "app/x", Images: []author.Image{{
		Slot: author.AnySlot, Digest: ImageA(), Size: 7, URI: "#app", Content: []byte("image A"),
	}}})
	r.Text = map[string]author.Text{
		"en": {Description: "Gateway 2.0.0-rc.1", Update: "Fixes the clock.\nSafer \x1b[31mboot\u202e.",
			Components: map[string]author.ComponentText{"app/x": {VendorName: "Ratchet", Version: "3"}}},
		"de-CH": {Update: "Die Uhr geht richtig."},
	}
	return r
}

// Encrypted is a release that has a component whose payload is encrypted, and one whose payload is not.
func Encrypted(info []byte) author.Release {
	r := Release()
	i := &r.Components[0].Images[0]
	i.URI, i.Encryption, i.PayloadSize = "https://updates.ratchet.example/7/rootfs.enc", info, i.Size+16
	r.Components = append(r.Components, author.Component{Name: "boot", Images: []author.Image{{
		Slot: author.AnySlot, Digest: ImageB(), Size: 7, URI: "https://updates.ratchet.example/7/boot.img",
	}}})
	return r
}

// Make builds and signs a release, by the keys of that name in testdata/suit/keys.
func Make(t testing.TB, r author.Release, signers ...string) []byte {
	t.Helper()
	env, err := author.Build(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range signers {
		if env, err = author.Sign(env, Signer(t, n)); err != nil {
			t.Fatal(err)
		}
	}
	return env
}

// Device is a gateway-1 whose slot 1 is the target.
func Device() manifest.Device {
	return manifest.Device{
		Vendors: []manifest.UUID{Vendor()}, Classes: []manifest.UUID{Class()},
		Version: []int64{1, 4, 2}, Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), TimeKnown: true, BatteryMWh: 5000,
		Components: map[string]manifest.Target{"rootfs": {Slot: 1}, "boot": {Slot: 1}, "app/x": {Slot: 1}},
	}
}

// Signer is a key of testdata/suit/keys.
func Signer(t testing.TB, name string) *trust.Signer {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(Data(t), "keys", name+".pem"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := trust.ParsePrivate(b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Anchors are the release keys of the tests.
func Anchors(t testing.TB) trust.Keys {
	t.Helper()
	var keys []trust.Key
	for _, name := range []string{"release-p256", "release-ed25519", "release-p384"} {
		keys = append(keys, Signer(t, name).Key())
	}
	k, err := trust.NewKeys(keys, false)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Accept parses and verifies with the release keys.
func Accept(t testing.TB, env []byte) (manifest.Manifest, error) {
	t.Helper()
	e, err := manifest.Parse(env)
	if err != nil {
		return manifest.Manifest{}, err
	}
	return manifest.Verify(e, Anchors(t))
}
