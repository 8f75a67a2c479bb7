package check_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/check"
)

// gateway is what a device that takes the release is, just so.
const gateway = `vendor = "acme.example"
class = "gateway-v1"
device = ["6ba7b810-9dad-11d1-80b4-00c04fd430c8"]
version = "1.3"
floor = 13
time = 2026-03-01T12:00:00Z
slot = 0
slot_size = 1024
battery_mwh = 500
components = ["rootfs", "boot", ["app", "config"]]
`

// bench is a folder with a release, its payloads and the facts of a device.
type bench struct {
	t    *testing.T
	dir  string
	said bytes.Buffer
}

// The images: system fills a slot of 1024 bytes, loader is another one in each slot.
const loader, settings = "loader %d", "set=1"

var system = strings.Repeat("the system.....\n", 64)

// full is a release that asks for all that a device can be asked.
func full() author.Release {
	vendor := manifest.VendorUUID("acme.example")
	device, err := manifest.ParseUUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	if err != nil {
		panic(err)
	}
	image := func(slot int, content, uri string, mirrors ...string) author.Image {
		return author.Image{Slot: slot, Digest: manifest.Sum([]byte(content)), Size: int64(len(content)), URI: uri,
			Mirrors: mirrors}
	}
	conf := image(author.AnySlot, settings, "#conf")
	conf.Content = []byte(settings)
	return author.Release{
		Vendor: vendor, Classes: []manifest.UUID{manifest.ClassUUID(vendor, "gateway-v1")}, DeviceID: &device,
		Sequence: 14, Version: []int64{1, 4, 0},
		Versions:  []manifest.VersionCondition{{Compare: manifest.CompareGreaterOrEqual, Version: []int64{1, 2}}},
		UseBefore: time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC), MinBatteryMWh: 500,
		Text: map[string]author.Text{"en": {Description: "Gateway firmware"}},
		Components: []author.Component{
			{Name: "rootfs", Images: []author.Image{image(author.AnySlot, system,
				"https://img.example/a/system.img?v=1",
				"https://m.example/mirrored.img")}},
			{Name: "boot", Images: []author.Image{image(0, fmt.Sprintf(loader, 0), "https://img.example/boot-a"),
				image(1, fmt.Sprintf(loader, 1), "https://img.example/boot-b")}},
			{Name: "app/config", Images: []author.Image{conf}},
		},
	}
}

func newBench(t *testing.T, r author.Release) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir()}
	env, err := author.Build(r)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := keys.Private(t.Context(), cli.Console{Err: io.Discard}, keys.Source{Path: alice})
	if err == nil {
		env, err = author.Sign(env, signer)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.write("r.suit", string(env))
	b.write("facts.toml", gateway)
	b.write("payloads/system.img", system)
	b.write("payloads/boot-a", fmt.Sprintf(loader, 0))
	b.write("payloads/boot-b", fmt.Sprintf(loader, 1))
	return b
}

func (b *bench) in(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) write(name, text string) {
	b.t.Helper()
	err := os.MkdirAll(filepath.Dir(b.in(name)), 0o700)
	if err == nil {
		err = os.WriteFile(b.in(name), []byte(text), 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// run checks the release as a device with these options would, and returns what it says.
func (b *bench) run(change func(o *check.Options)) (string, error) {
	b.t.Helper()
	o := check.Options{Keys: []string{alicePub}, Facts: b.in("facts.toml"), Payloads: b.in("payloads")}
	if change != nil {
		change(&o)
	}
	b.said.Reset()
	err := check.Run(b.t.Context(), cli.Console{Out: &b.said, Err: &b.said}, b.in("r.suit"), o)
	return strings.ReplaceAll(b.said.String(), b.dir+"/", ""), err
}

// outcome is "accepted", or the reason with SUIT's code and the place.
func outcome(err error) string {
	var r *cli.Refusal
	var m *manifest.Error
	switch {
	case err == nil:
		return "accepted"
	case !errors.As(err, &r):
		return err.Error()
	case !errors.As(err, &m):
		return string(r.Reason)
	}
	place := fmt.Sprintf("%s, code %d, section %d", r.Reason, m.Code, m.Section)
	if m.Section == 0 || m.Offset < 0 {
		return place
	}
	return fmt.Sprintf("%s, offset %d of component %d", place, m.Offset, m.Component)
}

// rooted makes a bundle whose release role is alice for the gateways of acme.
func (b *bench) rooted(change func(s *trust.RootSpec)) string {
	b.t.Helper()
	owner, err := trust.Generate(trust.ESP384)
	if err != nil {
		b.t.Fatal(err)
	}
	ship, err := keys.Public(alicePub)
	if err != nil {
		b.t.Fatal(err)
	}
	vendor := manifest.VendorUUID("acme.example")
	member := []trust.Member{{Name: "owner", Keys: []trust.Key{owner.Key()}}, {Name: "ship", Keys: []trust.Key{ship}}}
	s := trust.RootSpec{Version: 1, Name: "fleet", Issued: time.Unix(1, 0).UTC(),
		Expires: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC), Algorithms: []int64{trust.ESP384, trust.ESP256},
		Members: member,
		Roles: map[trust.Role]trust.RoleSpec{
			trust.RoleRoot: {Generation: 1, Grants: []trust.Grant{{Threshold: 1, Members: member[:1]}}},
			trust.RoleRelease: {Generation: 1, Grants: []trust.Grant{{Threshold: 1, Members: member[1:],
				Scope: trust.Scope{
					Vendors: [][16]byte{vendor}, Classes: [][16]byte{manifest.ClassUUID(vendor, "gateway-v1")}}}}},
		}}
	change(&s)
	raw, err := trust.BuildRoot(s)
	if err == nil {
		raw, err = trust.SignRoot(raw, owner)
	}
	if err == nil {
		raw, err = trust.BuildBundle(raw)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.write("root.cbor", string(raw))
	return b.in("root.cbor")
}
