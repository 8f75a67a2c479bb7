package manifest_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// A release with everything comes out of the device as it went in.
func TestReleaseReachesDevice(t *testing.T) {
	r := fullRelease()
	env := made(r, "release-p256", "release-ed25519")(t)
	d := device()
	d.Devices = []manifest.UUID{*r.DeviceID}
	d.Authorized = func(p int64) bool { return p == -1 }
	for _, slot := range []int{0, 1} {
		d.Components["rootfs"] = manifest.Target{Slot: slot}
		m, err := accept(t, env)
		if err != nil {
			t.Fatal(err)
		}
		u, err := m.Resolve(d)
		if err != nil || len(u.Findings) > 0 {
			t.Fatal(err, u.Findings)
		}
		want := manifest.Update{Priority: -1, Installs: []manifest.Install{
			{Component: "rootfs", URI: "https://updates.ratchet.example/7/a.zst", Mirrors: []string{"https://mirror.example/a.zst"},
				Encoding: manifest.EncodingZstd, PayloadSize: 5, Image: digA, Size: 7},
			{Component: "app/x", URI: "#app", Content: []byte("image A"), PayloadSize: 7, Image: digA, Size: 7},
		}}
		if slot == 1 {
			want.Installs[0] = manifest.Install{Component: "rootfs", URI: "https://updates.ratchet.example/7/b.img", Image: digB, Size: 7}
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
			t.Errorf("manifest says %d %v %s %v %v", m.Sequence(), m.Signers(), m.ReferenceURI(), m.SetVersion(), m.Components())
		}
	}
	// The second class is served too, and the conditions hold for its devices.
	d.Classes = []manifest.UUID{r.Classes[1]}
	m, err := accept(t, env)
	if err != nil {
		t.Fatal(err)
	}
	if u, err := m.Resolve(d); err != nil || len(u.Findings) > 0 {
		t.Error(err, u.Findings)
	}
	// All that fails is told, each once.
	bad := device()
	bad.Vendors, bad.Classes, bad.Version, bad.Now, bad.BatteryMWh = nil, nil, []int64{2, 1}, time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC), 10
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
	r := release()
	r.Components[0].Images = []manifest.Image{
		{Slot: 0, Digest: digA, Size: 7, URI: "https://x/a", Mirrors: []string{"https://y/a"}, PayloadSize: 40, Encoding: manifest.EncodingZstd, Encryption: info(gcm)},
		{Slot: 1, Digest: digB, Size: 7, URI: "https://x/b", PayloadSize: 7, Encryption: info(ctr)},
	}
	r.Components = append(r.Components, manifest.Component{Name: "app/x", Images: []manifest.Image{{
		Slot: manifest.AnySlot, Digest: digA, Size: 7, URI: "#app", Content: make([]byte, 23), Encryption: info(gcm),
	}}})
	m, err := accept(t, made(r, "release-p256")(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(m.Components()); got != "[rootfs rootfs/payload app/x app/x/payload]" {
		t.Errorf("components %s", got)
	}
	for slot, want := range []string{
		"rootfs https://x/a [https://y/a] 1 40 sha256:bd8 1; app/x #app [] 0 23 sha256:bd8 1; ",
		"rootfs https://x/b [] 0 7 sha256:77c -65534; app/x #app [] 0 23 sha256:bd8 1; ",
	} {
		d := device()
		d.Components = map[string]manifest.Target{"rootfs": {Slot: slot}, "app/x": {Slot: slot}}
		u, err := m.Resolve(d)
		if err != nil || len(u.Findings) > 0 {
			t.Fatal(err, u.Findings)
		}
		got := ""
		for _, i := range u.Installs {
			got += fmt.Sprintf("%s %s %v %d %d %.10s %d; ", i.Component, i.URI, i.Mirrors, i.Encoding, i.PayloadSize, i.Image, i.Encryption.Algorithm())
		}
		if got != want {
			t.Errorf("slot %d:\n got %s\nwant %s", slot, got, want)
		}
	}
	// The payload component is of no use by itself.
	for name, change := range map[string]func(r *manifest.Release){
		"either all images of a component are encrypted": func(r *manifest.Release) { r.Components[0].Images[1].Encryption = nil },
		"encryption-info is malformed":                   func(r *manifest.Release) { r.Components[0].Images[1].Encryption = []byte{1} },
		"payload size is 8, the image's 7":               func(r *manifest.Release) { r.Components[0].Images[1].PayloadSize = 8 },
		"an encrypted one counts twice": func(r *manifest.Release) {
			for i := range 3 {
				c := r.Components[1]
				c.Name = fmt.Sprint("c", i)
				r.Components = append(r.Components, c)
			}
		},
	} {
		bad := r
		bad.Components = append([]manifest.Component{}, r.Components...)
		bad.Components[0].Images = append([]manifest.Image{}, r.Components[0].Images...)
		change(&bad)
		if _, err := manifest.Build(bad); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBuildIsStable(t *testing.T) {
	first := made(fullRelease(), "release-p256", "release-ed25519", "release-p384")(t)
	for range 20 {
		if !bytes.Equal(made(fullRelease(), "release-p256", "release-ed25519", "release-p384")(t), first) {
			t.Fatal("the same release gave other bytes")
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	image := func(f func(i *manifest.Image)) func(*manifest.Release) {
		return func(r *manifest.Release) { f(&r.Components[0].Images[0]) }
	}
	for name, change := range map[string]func(r *manifest.Release){
		"the vendor is missing":    func(r *manifest.Release) { r.Vendor = manifest.UUID{} },
		"0 device classes":         func(r *manifest.Release) { r.Classes = nil },
		"0 components":             func(r *manifest.Release) { r.Components = nil },
		"9 components":             func(r *manifest.Release) { r.Components = make([]manifest.Component, 9) },
		"listed twice":             func(r *manifest.Release) { r.Components = append(r.Components, r.Components...) },
		"0 images":                 func(r *manifest.Release) { r.Components[0].Images = nil },
		"a part has 1 to 64 bytes": func(r *manifest.Release) { r.Components[0].Name = "a//b" },
		"it is written":            func(r *manifest.Release) { r.Components[0].Name = "root fs" },
		"digest is missing":        image(func(i *manifest.Image) { i.Digest = manifest.Digest{} }),
		"image size is 0":          image(func(i *manifest.Image) { i.Size = 0 }),
		"URI is missing":           image(func(i *manifest.Image) { i.URI = "" }),
		"not allowed in URIs":      image(func(i *manifest.Image) { i.URI = "https://x/ü" }),
		"payload encoding 2":       image(func(i *manifest.Image) { i.Encoding = 2 }),
		"payload size is 6":        image(func(i *manifest.Image) { i.PayloadSize = 6 }),
		"9 mirrors":                image(func(i *manifest.Image) { i.Mirrors = make([]string, 9) }),
		"carried in the envelope":  image(func(i *manifest.Image) { i.Content = []byte("x") }),
		"one image for any slot": func(r *manifest.Release) {
			r.Components[0].Images = append(r.Components[0].Images, r.Components[0].Images[0])
		},
		"three release numbers": func(r *manifest.Release) { r.Version = []int64{1, 2, 3, 4} },
		"version comparison 0":  func(r *manifest.Release) { r.Versions = make([]manifest.VersionCondition, 1) },
		"before 1970":           func(r *manifest.Release) { r.UseBefore = time.Unix(-5, 0) },
		"minimum battery":       func(r *manifest.Release) { r.MinBatteryMWh = -1 },
		"not a language tag":    func(r *manifest.Release) { r.Text = map[string]manifest.Text{"english language": {Update: "x"}} },
		"text of": func(r *manifest.Release) {
			r.Text = map[string]manifest.Text{"en": {Update: strings.Repeat("x", manifest.MaxText)}}
		},
		"at most 65536": image(func(i *manifest.Image) { i.URI, i.Content = "#x", make([]byte, manifest.MaxEnvelope) }),
	} {
		t.Run(name, func(t *testing.T) {
			r := release()
			change(&r)
			_, err := manifest.Build(r)
			if err == nil || !strings.HasPrefix(err.Error(), "cannot build release: ") || !strings.Contains(err.Error(), name) {
				t.Errorf("error %v, want it to say %q", err, name)
			}
		})
	}
}

func TestSign(t *testing.T) {
	unsigned := made(release())(t)
	once, err := manifest.Sign(unsigned, signer(t, "release-p256"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := manifest.Sign(once, signer(t, "release-p256")); err == nil {
		t.Error("one signer signed twice")
	}
	changed := bytes.Clone(unsigned)
	changed[len(changed)-1] ^= 1
	for name, env := range map[string][]byte{
		"damaged": changed, "garbage": {0xff}, "outside the profile": with(23, 2)(t),
	} {
		if _, err := manifest.Sign(env, signer(t, "release-p256")); err == nil {
			t.Errorf("%s: signed what a device refuses", name)
		}
	}
	// A manifest digest is the same before and after, whoever signs.
	for _, env := range [][]byte{once, made(release(), "release-p256", "release-ed25519")(t)} {
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
	whole := made(fullRelease(), "release-p256")(t)
	short := severed(made(fullRelease(), "release-p256"))(t)
	if len(short) >= len(whole) {
		t.Errorf("severed %d bytes to %d", len(whole), len(short))
	}
	a, err := accept(t, whole)
	if err != nil {
		t.Fatal(err)
	}
	b, err := accept(t, short)
	if err != nil {
		t.Fatal(err)
	}
	if a.Digest() != b.Digest() || b.Description("en") != "" {
		t.Errorf("digest %s became %s, text %q", a.Digest(), b.Digest(), b.Description("en"))
	}
	if want := "Fixes the clock. Safer \ufffd[31mboot\ufffd."; a.Description("en-GB") != want {
		t.Errorf("description %q, want %q", a.Description("en-GB"), want)
	}
	again, err := manifest.Sever(short)
	if err != nil || !bytes.Equal(again, short) {
		t.Errorf("severing twice changes the envelope: %v", err)
	}
}

func TestDescription(t *testing.T) {
	r := release()
	r.Text = map[string]manifest.Text{"fr": {Update: "fr"}, "de": {Update: "de"}, "de-CH": {Update: "ch"}, "en-GB": {Description: "gb"}}
	m, err := accept(t, made(r, "release-p256")(t))
	if err != nil {
		t.Fatal(err)
	}
	for lang, want := range map[string]string{
		"de": "de", "DE": "de", "de-CH": "ch", "de-AT": "de", "fr-CA": "fr", "en": "gb", "it": "gb", "": "gb",
	} {
		if got := m.Description(lang); got != want {
			t.Errorf("%q: %q, want %q", lang, got, want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		" a \t b\r\n\nc ":                "a b c",
		"\x00\x1b[2J\x7f\u0085":          "\ufffd\ufffd[2J\ufffd\ufffd",
		"\u202e\u2066\u200f\u200b\ufeff": strings.Repeat("\ufffd", 5),
		"\u2028\u2029":                   "\ufffd\ufffd",
		"Zürich 東京 ✓":                    "Zürich 東京 ✓",
		"a\xffb":                         "a\ufffdb",
		strings.Repeat("é", 2000):        strings.Repeat("é", manifest.MaxShown) + "…",
	} {
		if got := manifest.Printable(in); got != want {
			t.Errorf("%.40q: %.60q, want %.60q", in, got, want)
		}
	}
}

// spy is an Authority that records what it is asked.
type spy struct {
	calls   int
	payload []byte
	signers []string
	err     error
}

func (s *spy) Authenticate(payload []byte, blocks [][]byte) ([]string, error) {
	s.calls++
	s.payload = payload
	return s.signers, s.err
}

// Nothing is asked of the signatures when the digest is wrong, and nothing of the manifest is read
// before they hold (draft-ietf-suit-manifest section 6.2).
func TestVerifyOrder(t *testing.T) {
	parse := func(b []byte) manifest.Envelope {
		e, err := manifest.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	garbage := parse(crafted(craft{content: func(pars) []byte { return []byte{0xff} }})(t))
	no := errors.New("no")
	s := &spy{err: no}
	if _, err := manifest.Verify(garbage, s); !errors.Is(err, no) || s.calls != 1 {
		t.Errorf("garbage below a refused signature: %v after %d calls", err, s.calls)
	}
	if want := pdigest(garbage.ClaimedDigest()); !bytes.Equal(s.payload, want) {
		t.Errorf("signed bytes are %x, want %x", s.payload, want)
	}
	b := made(release(), "release-p256")(t)
	b[len(b)-1] ^= 1
	s = &spy{signers: []string{"x"}}
	if _, err := manifest.Verify(parse(b), s); !errors.Is(err, manifest.ErrDigest) || s.calls != 0 {
		t.Errorf("wrong digest: %v after %d calls", err, s.calls)
	}
	if _, err := manifest.Verify(parse(made(release())(t)), s); !errors.Is(err, manifest.ErrUnsigned) || s.calls != 0 {
		t.Errorf("unsigned: %v after %d calls", err, s.calls)
	}
	if _, err := manifest.Verify(parse(made(release(), "release-p256")(t)), &spy{}); !errors.Is(err, manifest.ErrUnsigned) {
		t.Errorf("an authority that names nobody: %v", err)
	}
	if _, err := manifest.Verify(manifest.Envelope{}, s); err == nil {
		t.Error("an empty envelope verifies")
	}
	if _, err := (manifest.Manifest{}).Resolve(device()); err == nil {
		t.Error("an empty manifest resolves")
	}
}

// What a caller does to its bytes, or to what it is given, does not reach the manifest.
func TestManifestKeepsItsBytes(t *testing.T) {
	b := made(fullRelease(), "release-p256")(t)
	want := bytes.Clone(b)
	e, err := manifest.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	clear(e.Raw())
	m, err := manifest.Verify(e, anchors(t))
	if err != nil {
		t.Fatal(err)
	}
	clear(m.Envelope())
	clear(m.SetVersion())
	clear(m.Signers())
	clear(m.Components()[0][0])
	d := device()
	d.Devices = []manifest.UUID{*fullRelease().DeviceID}
	for range 2 {
		u, err := m.Resolve(d)
		if err != nil || len(u.Findings) > 0 || string(u.Installs[1].Content) != "image A" {
			t.Fatal(err, u)
		}
		clear(u.Installs[1].Content)
	}
	if !bytes.Equal(m.Envelope(), want) || m.Signers()[0] == "" || m.Components()[0].String() != "rootfs" || m.SetVersion()[0] != 2 {
		t.Error("the manifest was changed from outside")
	}
}

// Error.Offset and Finding.Offset name the command's first byte within its section.
func TestOffsets(t *testing.T) {
	section := nest(join(uri(u), seq{15, list{nest(5, 5, 32, nest(3, 15, 99, 1)), nil}}, fetch)...)
	_, err := accept(t, craft{manifest: pars{20: section}}.build(t))
	var e *manifest.Error
	if !errors.As(err, &e) || e.Section != 20 || e.Offset != bytes.Index(section, enc(99)) {
		t.Errorf("%v: section %d offset %d, want 20 and %d", err, e.Section, e.Offset, bytes.Index(section, enc(99)))
	}
	shared := nest(identify(32, nest(20, pars{26: 9999}, 26, 15))...)
	m, err := accept(t, craft{common: pars{4: shared}, install: join(uri(u), fetch)}.build(t))
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.Resolve(device())
	at := bytes.Index(shared, append(enc(26), 15))
	if err != nil || len(got.Findings) != 1 || got.Findings[0].Section != manifest.SectionShared || got.Findings[0].Offset != at {
		t.Errorf("%v: %+v, want offset %d", err, got.Findings, at)
	}
}

// An envelope of the greatest size, made to cost the most, costs little.
func TestHostileCost(t *testing.T) {
	start := time.Now()
	if _, err := manifest.Parse(make([]byte, manifest.MaxEnvelope+1)); err == nil {
		t.Error("an oversized envelope was read")
	}
	// A large content that is hashed again and again.
	big := make([]byte, 60<<10)
	d := manifest.Sum(big)
	s := seq{20, pars{3: pdigest(d), 18: big}, 18, 15}
	for range 60 {
		s = append(s, 3, 15)
	}
	m, err := accept(t, craft{install: seq{32, nest(s...)}}.build(t))
	if err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(1, func() {
		if u, err := m.Resolve(device()); err != nil || len(u.Findings) == 0 {
			t.Error("an image of 60 KiB is said to have 7 bytes, and was taken")
		}
	})
	if n > 10000 {
		t.Errorf("%v allocations", n)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestVersionCondition(t *testing.T) {
	const gt, ge, eq, le, lt = manifest.CompareGreater, manifest.CompareGreaterOrEqual, manifest.CompareEqual, manifest.CompareLesserOrEqual, manifest.CompareLesser
	v := func(n ...int64) []int64 { return n }
	for _, tt := range []struct {
		running []int64
		compare int
		want    []int64
		holds   bool
	}{
		{v(1, 2, 3), eq, v(1), true}, {v(1, 2, 3), eq, v(1, 2), true}, {v(1, 2, 3), eq, v(1, 3), false},
		{v(1, 2, 3), ge, v(1, 2, 3), true}, {v(1, 2, 3), gt, v(1, 2, 3), false}, {v(1, 2, 3), gt, v(1, 2, 2), true},
		{v(1, 2, 3), le, v(1, 2, 3), true}, {v(1, 2, 3), lt, v(1, 2, 3), false}, {v(1, 2, 3), lt, v(1, 2, 4), true},
		{v(1, 2, 3), gt, v(1), false}, {v(2), gt, v(1), true}, {v(1, 10), gt, v(1, 9), true},
		// A release is newer than its candidates, and rc > beta > alpha.
		{v(1, 2), gt, v(1, 2, -1, 3), true}, {v(1, 2, -1, 3), lt, v(1, 2, 0), true},
		{v(1, 2, -1, 3), gt, v(1, 2, -2, 9), true}, {v(1, 2, -2), gt, v(1, 2, -3), true},
		{v(1, 2, -1, 3), gt, v(1, 2, -1, 2), true}, {v(1), eq, v(1, 0, 0), true},
		{v(math.MaxInt64), ge, v(math.MaxInt64), true},
	} {
		r := release()
		r.Versions = []manifest.VersionCondition{{Compare: tt.compare, Version: tt.want}}
		m, err := accept(t, made(r, "release-p256")(t))
		if err != nil {
			t.Fatal(err)
		}
		d := device()
		d.Version = tt.running
		u, err := m.Resolve(d)
		if err != nil || (len(u.Findings) == 0) != tt.holds {
			t.Errorf("%v compared (%d) with %v: findings %v, error %v", tt.running, tt.compare, tt.want, u.Findings, err)
		}
	}
	for s, v := range map[string][]int64{"1.2.3": v(1, 2, 3), "1.2-rc.3": v(1, 2, -1, 3), "1.2-beta": v(1, 2, -2), "1.2.3-alpha.4": v(1, 2, 3, -3, 4), "unknown": nil} {
		if got := manifest.FormatVersion(v); got != s {
			t.Errorf("%v is written %s, want %s", v, got, s)
		}
		if v != nil && manifest.CheckVersion(v) != nil {
			t.Errorf("%v: %v", v, manifest.CheckVersion(v))
		}
	}
	for _, bad := range [][]int64{nil, v(-1), v(1, -4), v(1, -1, -2), v(1, 2, 3, 4), v(1, 2, 3, -1, 1, 1, 1, 1, 1)} {
		if manifest.CheckVersion(bad) == nil {
			t.Errorf("%v is taken for a version", bad)
		}
	}
}
