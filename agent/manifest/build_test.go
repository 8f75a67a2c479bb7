package manifest_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
)

func TestDescription(t *testing.T) {
	r := release()
	r.Text = map[string]author.Text{"fr": {Update: "fr"}, "de": {Update: "de"}, "de-CH": {Update: "ch"},
		"en-GB": {Description: "gb"}}
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
// before they hold (I9; draft-ietf-suit-manifest section 6.2).
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
	signed := parse(made(release(), "release-p256")(t))
	if _, err := manifest.Verify(signed, &spy{}); !errors.Is(err, manifest.ErrUnsigned) {
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
	if !bytes.Equal(m.Envelope(), want) || m.Signers()[0] == "" || m.Components()[0].String() != "rootfs" ||
		m.SetVersion()[0] != 2 {
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
	if err != nil || len(got.Findings) != 1 || got.Findings[0].Section != manifest.SectionShared ||
		got.Findings[0].Offset != at {
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
	// It is hashed once: a comparison more costs no more than itself.
	matches := func(count int) float64 {
		m, err := accept(t, craft{install: append(seq{20, pars{3: pdigest(d), 18: big, 14: len(big)}, 18, 15},
			repeat(count, 3, 15)...)}.build(t))
		if err != nil {
			t.Fatal(err)
		}
		return testing.AllocsPerRun(1, func() {
			if u, err := m.Resolve(device()); err != nil || len(u.Findings) > 0 {
				t.Error(u.Findings, err)
			}
		})
	}
	if one, many := matches(1), matches(60); many >= one+59 {
		t.Errorf("%v allocations for one comparison, %v for sixty", one, many)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestVersionCondition(t *testing.T) {
	const gt, ge, eq, le, lt = manifest.CompareGreater, manifest.CompareGreaterOrEqual, manifest.CompareEqual,
		manifest.CompareLesserOrEqual, manifest.CompareLesser
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
		{v(1, 2, 3), gt, v(1), false}, {v(1, 2, 3), le, v(1, 2, 2), false}, {v(1, 2, 3), ge, v(1, 2, 4), false},
		{v(1, 2, 3), eq, v(1, 2, 4), false}, {v(2), gt, v(1), true}, {v(1, 10), gt, v(1, 9), true},
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
			t.Errorf("%v compared (%d) with %v: findings %v, error %v",
				tt.running, tt.compare, tt.want, u.Findings, err)
		}
	}
	for s, v := range map[string][]int64{"1.2.3": v(1, 2, 3), "1.2-rc.3": v(1, 2, -1, 3), "1.2-beta": v(1, 2, -2),
		"1.2.3-alpha.4": v(1, 2, 3, -3, 4), "unknown": nil} {
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
