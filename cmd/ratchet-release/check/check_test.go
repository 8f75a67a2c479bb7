package check_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/ratchet-ota/ratchet/agent/cipher"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/check"
)

var update = flag.Bool("update", false, "rewrite the transcript")

const (
	alice    = "../testdata/alice.pem"
	alicePub = "../testdata/alice.pub.pem"
	bobPub   = "../testdata/bob.pub.pem"
)

// TestTranscript is what a person reads of a release that the device takes and of one that it does not take.
func TestTranscript(t *testing.T) {
	b := newBench(t, full())
	var story strings.Builder
	first := true
	tell := func(what string, change func(o *check.Options)) {
		said, err := b.run(change)
		if !first { // of the commands only those that refuse
			lines := strings.SplitAfter(said, "\n")
			said = strings.Join(slices.DeleteFunc(lines, func(l string) bool {
				return strings.HasSuffix(l, ")\n") && !strings.Contains(l, ":") ||
					strings.Contains(l, "directive-") || strings.Contains(l, "condition-") && !strings.Contains(l,
					" refuses ")
			}), "")
		}
		first = false
		fmt.Fprintf(&story, "# %s\n%s", what, said)
		if err != nil {
			fmt.Fprintf(&story, "error: %s\n%s\n", strings.ReplaceAll(err.Error(), b.dir+"/", ""), outcome(err))
		}
		story.WriteString("\n")
	}
	tell("a device that takes it, with the payloads", nil)
	tell("without the payloads", func(o *check.Options) { o.Payloads = "" })
	b.write("facts.toml", strings.NewReplacer("slot = 0", "slot = 1", "components", "# components").Replace(gateway))
	tell("a device that runs the other slot", nil)
	b.write("facts.toml", strings.NewReplacer("gateway-v1", "toaster", "floor = 13", "floor = 15").Replace(gateway))
	tell("another device, which has a newer one already", nil)
	b.write("facts.toml", strings.Replace(gateway, "500", "499", 1))
	tell("a battery that is low by one", nil)
	b.write("facts.toml", strings.Replace(gateway, "slot_size = 1024", "slot_size = {rootfs = 1023}", 1))
	tell("a slot that is too small by one byte", nil)
	b.write("facts.toml", strings.Replace(gateway, `"rootfs", `, "", 1))
	tell("a device that has no such component", nil)
	b.write("facts.toml", gateway)
	b.write("payloads/boot-b", "loader x")
	tell("another payload", nil)
	b.write("payloads/boot-b", "load")
	tell("half a payload", nil)
	if err := os.Remove(b.in("payloads/boot-b")); err != nil {
		t.Fatal(err)
	}
	tell("no payload", nil)
	tell("signed by nobody whom the device trusts", func(o *check.Options) { o.Keys = []string{bobPub} })

	golden := "testdata/transcript.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(story.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err != nil || story.String() != string(want) {
		t.Errorf("the transcript is (%v)\n%s", err, story.String())
	}
}

// TestJustSo: at each bound the device takes the release, and one beyond it does not.
func TestJustSo(t *testing.T) {
	b := newBench(t, full())
	b.write("payloads/mirrored.img", system)
	for _, c := range []struct{ from, to, want string }{
		{`"acme.example"`, `"` + manifest.VendorUUID("acme.example").String() + `"`, "accepted"},
		{`"acme.example"`, `"wrong.example"`, "wrong-vendor, code 10, section 3"},
		{`"acme.example"`, `["acme.example"]`, "accepted"},
		{"vendor = \"acme.example\"\n", "", "class"}, // a class is named together with its vendor
		{`"gateway-v1"`, `["sensor", "gateway-v1"]`, "accepted"},
		{`"gateway-v1"`, `"toaster"`, "wrong-class, code 10, section 3"},
		{"device = [\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\"]\n", "", "wrong-device, code 10, section 3"},
		{`["6ba7b810-9dad-11d1-80b4-00c04fd430c8"]`, `"6ba7b810-9dad-11d1-80b4-00c04fd430c8"`, "accepted"},
		{`"1.3"`, "[1, 2]", "accepted"},
		{`"1.3"`, "[1, 1, 9]", "version-condition, code 10, section "},
		{"version = \"1.3\"\n", "", "version-condition, code 10, section "},
		{"floor = 13", "floor = 14", "accepted"},
		{"floor = 13", "floor = 15", "sequence-below-floor, code 4, section 0"},
		{"floor = 13\n", "", "accepted"},
		{"floor = 13", "floor = {rootfs = 14, boot = 14}", "accepted"},
		{"floor = 13", "floor = {boot = 15, other = 99}", "sequence-below-floor, code 4, section 0"},
		{"floor = 13", "floor = {boot = -1}", "floor.boot"},
		{"floor = 13", `floor = "13"`, "want a number"},
		{"2026-03-01T12:00:00Z", "2030-01-31T11:59:59Z", "accepted"},
		{"2026-03-01T12:00:00Z", "\"2030-01-31T11:59:59Z\"", "accepted"},
		{"2026-03-01T12:00:00Z", "2030-01-31T13:00:01+01:00", "expired, code 10, section "},
		{"time = 2026-03-01T12:00:00Z\n", "", "clock-unknown, code 10, section "},
		{"battery_mwh = 500\n", "", "low-battery, code 10, section "},
		{"battery_mwh = 500", "battery_mwh = 0", "low-battery, code 10, section "},
		{"floor = 13", "floor = 0", "accepted"},
		{"2026-03-01T12:00:00Z", "\"2031-01-31T11:59:59Z\"", "expired, code 10, section "},
		{"slot_size = 1024", "slot_size = 1023", "image-too-large, code 11, section 20"},
		{"slot_size = 1024", "slot_size = {rootfs = 1024, boot = 512, \"app/config\" = 512}", "accepted"},
		{"slot_size = 1024", "slot_size = {boot = 7}", "image-too-large, code 11, section 20"},
		{"slot_size = 1024\n", "", "accepted"},
		{"slot = 0\n", "", "accepted"},
		{`["rootfs", "boot", ["app", "config"]]`, `"rootfs"`, "slot-missing, code 6, section "},
		{`["rootfs", "boot", ["app", "config"]]`, `[]`, "slot-missing, code 6, section "},
		{"components = [\"rootfs\", \"boot\", [\"app\", \"config\"]]\n", "", "accepted"},
		{`["app", "config"]`, `"app/config"`, "accepted"},
		{"battery_mwh = 500", "battery_mwh = 500\nallow_algs = [\"ES256\", -8]", "accepted"},
	} {
		text := strings.Replace(gateway, c.from, c.to, 1)
		b.write("facts.toml", text)
		if text == gateway {
			t.Fatalf("%s is not in the facts", c.from)
		}
		said, err := b.run(nil)
		if got := outcome(err); !strings.Contains(got, c.want) {
			t.Errorf("%s -> %s: %s, want %s\n%s", c.from, c.to, got, c.want, said)
		}
	}
}

// TestFacts: what is no fact, by the line.
func TestFacts(t *testing.T) {
	b := newBench(t, full())
	for text, want := range map[string]string{
		"vender = 1":                   `unknown key "vender"`,
		"\nvendor = 1":                 "facts.toml:2: vendor: want a UUID, or a list of them",
		"vendor = [1]":                 "vendor: want a UUID, or a list of them",
		"vendor = \"not a domain\"":    "facts.toml:1: vendor: ",
		"class = \"gateway\"":          "facts.toml:1: class: ",
		"class = {}":                   "class: want a UUID",
		"device = [\"x\"]":             "facts.toml:1: device: ",
		"version = 1":                  `version: want "1.4.2" or [1, 4, 2]`,
		"version = [1, \"2\"]":         `version: want "1.4.2" or [1, 4, 2]`,
		"version = \"1.2.3.4\"":        "facts.toml:1: version: ",
		"version = []":                 "facts.toml:1: version: ",
		"version = [1, -9]":            "facts.toml:1: version: ",
		"floor = -1":                   "facts.toml:1: floor: -1 is less than 0",
		"slot_size = {rootfs = \"1\"}": "slot_size.rootfs: want bytes, more than 0",
		"battery_mwh = -1":             "facts.toml:1: battery_mwh: -1 is less than 0",
		"time = \"noon\"":              "facts.toml:1: time: ",
		"time = 2026-03-01T12:00:00":   "time: 2026-03-01T12:00:00 has no time zone",
		"time = 12":                    "time: want a time such as",
		"slot = 2":                     "facts.toml:1: slot: 2: the running slot is 0 or 1",
		"slot = -1":                    "slot: -1: the running slot is 0 or 1",
		"slot_size = 0":                "facts.toml:1: slot_size: want bytes, more than 0",
		"slot_size = \"1\"":            "slot_size: want bytes, more than 0",
		"slot_size = {rootfs = 0}":     "slot_size.rootfs: want bytes, more than 0",
		"allow_algs = [\"RS256\"]":     "facts.toml:1: allow_algs: ",
		"components = 1":               "facts.toml:1: components: want a list of names",
		"components = [[]]":            "facts.toml:1: components: want a name such as",
		"components = [1]":             "components: want a name such as",
		"components = [\"a//b\"]":      "facts.toml:1: components: ",
		"components = [[\"a\", \"\"]]": "facts.toml:1: components: ",
	} {
		b.write("facts.toml", text)
		if said, err := b.run(nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q\n%s", text, err, want, said)
		}
	}
	_, err := b.run(func(o *check.Options) { o.Facts = b.in("none") })
	if err == nil || !strings.HasPrefix(err.Error(), "cannot read facts: ") {
		t.Errorf("no facts: %v", err)
	}
}

// TestPayloads: a payload is found by the last part of an address, the address itself before its mirrors.
func TestPayloads(t *testing.T) {
	b := newBench(t, full())
	rename := func(from, to string) {
		t.Helper()
		if err := os.Rename(b.in(from), b.in(to)); err != nil {
			t.Fatal(err)
		}
	}
	b.write("payloads/mirrored.img", "something else")
	if said, err := b.run(nil); err != nil {
		t.Errorf("the address comes before its mirror: %v\n%s", err, said)
	}
	rename("payloads/system.img", "payloads/mirrored.img")
	if err := os.Mkdir(b.in("payloads/system.img"), 0o700); err != nil {
		t.Fatal(err)
	}
	if said, err := b.run(nil); err != nil {
		t.Errorf("a folder is no payload, its mirror is one: %v\n%s", err, said)
	}
	rename("payloads/mirrored.img", "payloads/system.img?v=1")
	_, err := b.run(nil)
	if !strings.HasPrefix(outcome(err), "source-gone, code 11, section 20, offset 3 of component 0") ||
		!strings.Contains(err.Error(), "payloads does not have system.img or mirrored.img: file does not exist") {
		t.Errorf("no payload: %v", err)
	}
	for _, path := range []string{b.in("none"), b.in("facts.toml")} {
		if _, err := b.run(func(o *check.Options) { o.Payloads = path }); !cli.IsUsage(err) ||
			!strings.Contains(err.Error(), "is not a directory") {
			t.Errorf("%s: %v", path, err)
		}
	}
	r := full()
	r.Components = r.Components[:1]
	r.Components[0].Images[0].URI, r.Components[0].Images[0].Mirrors = "https://img.example/",
		[]string{"https://m.example/.."}
	b = newBench(t, r)
	b.write("facts.toml", strings.Replace(gateway, `, "boot", ["app", "config"]`, "", 1))
	if _, err := b.run(nil); !strings.HasPrefix(outcome(err), "source-gone, code 11, section 20, ") {
		t.Errorf("an address without a name: %v", err)
	}
	if _, err := b.run(func(o *check.Options) { o.Payloads = "" }); err != nil {
		t.Errorf("payloads are not looked at: %v", err)
	}
}

// TestEncrypted: with the device's key the image is looked at, without any it is not, and with another one refused.
func TestEncrypted(t *testing.T) {
	image := bytes.Repeat([]byte("image "), 20_000)
	var payload bytes.Buffer
	pair := func() (pem []byte, k cipher.Key) {
		t.Helper()
		s, err := trust.Generate(trust.ESP256)
		if err == nil {
			pem, err = s.MarshalPEM()
		}
		if err == nil {
			k, err = cipher.ParseKey(pem)
		}
		if err != nil {
			t.Fatal(err)
		}
		return pem, k
	}
	own, key := pair()
	other, _ := pair()
	public, err := key.Public()
	if err != nil {
		t.Fatal(err)
	}
	info, err := cipher.Seal(&payload, bytes.NewReader(image), manifest.A128GCM, []cipher.Key{public}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := full()
	r.Components = []author.Component{{Name: "rootfs", Images: []author.Image{{Slot: author.AnySlot,
		Digest: manifest.Sum(image), Size: int64(len(image)), URI: "https://img.example/enc",
		PayloadSize: int64(payload.Len()), Encryption: info}}}}
	b := newBench(t, r)
	b.write("facts.toml", strings.NewReplacer("slot_size = 1024\n", "", `, "boot", ["app", "config"]`,
		"").Replace(gateway))
	b.write("payloads/enc", payload.String())
	b.write("own.pem", string(own))
	b.write("other.pem", string(other))
	for _, c := range []struct {
		keys     []string
		payloads bool
		says     string
		want     string
	}{
		{[]string{"own.pem"}, true, ", encrypted; written to slot 1 in memory and read back", "accepted"},
		{[]string{"other.pem", "own.pem"}, true, ", encrypted; written to slot 1 in memory and read back", "accepted"},
		{nil, true, ", encrypted (no --decrypt-key given); its payload was not looked at", "accepted"},
		{[]string{"own.pem"}, false, ", encrypted; its payload was not looked at", "accepted"},
		{[]string{"other.pem"}, true, "images", "decryption-key-missing, code 11, section 20"},
	} {
		said, err := b.run(func(o *check.Options) {
			for _, k := range c.keys {
				o.Decrypt = append(o.Decrypt, b.in(k))
			}
			if !c.payloads {
				o.Payloads = ""
			}
		})
		if !strings.HasPrefix(outcome(err), c.want) || !strings.Contains(said, c.says) {
			t.Errorf("%+v: %v\n%s", c, err, said)
		}
	}
	with := func(o *check.Options) { o.Decrypt = []string{b.in("own.pem")} }
	spoilt := payload.Bytes()
	spoilt[1000] ^= 1
	b.write("payloads/enc", string(spoilt))
	if _, err := b.run(with); !strings.HasPrefix(outcome(err), "image-corrupt, code 11, section 20, ") {
		t.Errorf("a flipped bit: %v", err)
	}
	for path, says := range map[string]string{alicePub: "cannot use decryption key 1: it is a public key",
		b.in("none"): "cannot read decryption key", b.in("facts.toml"): b.in("facts.toml") + ": "} {
		_, err := b.run(func(o *check.Options) { o.Decrypt = []string{path} })
		if err == nil || !strings.HasPrefix(outcome(err), says) {
			t.Errorf("the decryption key %s: %v", path, err)
		}
	}
}

// TestRoot: a device with a trust root asks it, for a device like itself.
func TestRoot(t *testing.T) {
	b := newBench(t, full())
	for _, c := range []struct {
		want   string
		change func(s *trust.RootSpec)
	}{
		{"accepted", func(*trust.RootSpec) {}},
		{"signer-unknown",
			func(s *trust.RootSpec) { s.Roles[trust.RoleRelease].Grants[0].Scope.Classes[0][0] ^= 0x80 }},
		{"accepted", func(s *trust.RootSpec) {
			s.Components = map[string]trust.SequenceRange{"boot": {Min: 14,
				Max: 14}}
		}},
		{"sequence-out-of-range, code 4", func(s *trust.RootSpec) {
			s.Components = map[string]trust.SequenceRange{"boot": {Min: 15, Max: 99}}
		}},
		{"root-expired, code 4", func(s *trust.RootSpec) { s.Expires = time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC) }},
	} {
		path := b.rooted(c.change)
		said, err := b.run(func(o *check.Options) { o.Keys, o.Root = nil, path })
		if got := outcome(err); !strings.HasPrefix(got, c.want) || !strings.HasPrefix(said,
			"root: version 1 of fleet\n") {
			t.Errorf("%s, want %s\n%s", got, c.want, said)
		}
	}
	b.write("facts.toml", strings.NewReplacer("gateway-v1", "toaster").Replace(gateway))
	path := b.rooted(func(*trust.RootSpec) {})
	if _, err := b.run(func(o *check.Options) { o.Keys, o.Root = nil, path }); !strings.HasPrefix(outcome(err),
		"signer-unknown") {
		t.Errorf("a device for which the release role is nobody's: %v", err)
	}
	if _, err := b.run(func(o *check.Options) { o.Root = b.in("r.suit") }); outcome(err) != "root-refused" {
		t.Errorf("an envelope for a root: %v", err)
	}
	_, err := b.run(func(o *check.Options) { o.Root = b.in("none") })
	if err == nil || !strings.HasPrefix(err.Error(), "cannot read trust root: ") {
		t.Errorf("no root: %v", err)
	}
	_, err = b.run(func(o *check.Options) { o.Keys = []string{b.in("none")} })
	if err == nil || !strings.Contains(err.Error(), "cannot read public key") {
		t.Errorf("no key: %v", err)
	}
	if err := os.Remove(b.in("r.suit")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.run(nil); err == nil || !strings.Contains(err.Error(), "cannot read envelope") {
		t.Errorf("no envelope: %v", err)
	}
}

// TestForeignEnvelopes: other makers' envelopes, and what a device's profile leaves out.
func TestForeignEnvelopes(t *testing.T) {
	b := newBench(t, full())
	signer, err := keys.Private(t.Context(), cli.Console{Err: io.Discard},
		keys.Source{Path: "../../../testdata/suit/keys/release-p256.pem"})
	if err != nil {
		t.Fatal(err)
	}
	pem, err := signer.Key().MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	b.write("golden.pem", string(pem))
	b.write("facts.toml", "vendor = \"ratchet.example\"\nclass = \"gateway-1\"\n")
	for file, want := range map[string]string{
		"refused-command-31":       "manifest-unsupported, code 5, section 20, offset 20 of component 0",
		"refused-invoke":           "manifest-unsupported, code 5, section 9, offset 1 of component 0",
		"hostile-garbage-manifest": "envelope-malformed, code 1, section 0",
		"severed-install":          "manifest-unsupported, code 9, section 20",
		"hostile-step-bomb":        "manifest-unsupported, code 11, section 20, offset 67 of component 4",
	} {
		raw, err := os.ReadFile("../../../testdata/suit/" + file + ".suit")
		if err != nil {
			t.Fatal(err)
		}
		b.write("r.suit", string(raw))
		if said, err := b.run(func(o *check.Options) { o.Keys = []string{b.in("golden.pem")} }); outcome(err) != want {
			t.Errorf("%s: %s, want %s\n%s", file, outcome(err), want, said)
		}
	}
}

// TestCompressed: the payload of a compressed image is decoded on its way into the slot, and one that decodes to more
// is refused.
func TestCompressed(t *testing.T) {
	var payload bytes.Buffer
	w, err := zstd.NewWriter(&payload)
	if err == nil {
		_, err = w.Write([]byte(system))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	r := full()
	r.Components = r.Components[:1]
	image := &r.Components[0].Images[0]
	image.Encoding, image.PayloadSize = manifest.EncodingZstd, int64(payload.Len())
	b := newBench(t, r)
	b.write("facts.toml", strings.Replace(gateway, `, "boot", ["app", "config"]`, "", 1))
	b.write("payloads/system.img", payload.String())
	if said, err := b.run(nil); err != nil || !strings.Contains(said,
		"1024 bytes; written to slot 1 in memory and read back") {
		t.Errorf("%v\n%s", err, said)
	}
	b.write("payloads/system.img", payload.String()+"x")
	if _, err := b.run(nil); !strings.HasPrefix(outcome(err), "image-corrupt, code 11, section 20, ") {
		t.Errorf("a byte more: %v", err)
	}
	b.write("payloads/system.img", system)
	if _, err := b.run(nil); !strings.HasPrefix(outcome(err), "image-corrupt, code 11, section 20, ") {
		t.Errorf("not compressed: %v", err)
	}
}
