package manifest_test

import (
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// worded is a manifest with a text element, severed from nothing.
func worded(t testing.TB, text any) (manifest.Manifest, error) {
	t.Helper()
	return accept(t, craft{install: inst(), manifest: pars{23: enc(text)}, severable: []int64{20, 23}}.build(t))
}

// TestLanguageTags: 1*8ALPHA *("-" 1*8alphanum), and nothing else.
func TestLanguageTags(t *testing.T) {
	for tag, ok := range map[string]bool{
		"en": true, "z": true, "a": true, "A": true, "Z": true, "abcdefgh": true, "de-CH": true, "de-1996": true,
		"de-0": true, "de-9": true, "sl-rozaj-biske": true, "de-abcdefgh": true, "": false, "abcdefghi": false,
		"e1": false, "1": false, "de-": false, "-de": false, "de--CH": false, "de-abcdefghi": false, "de_CH": false,
		"a`": false, "a{": false, "a@": false, "a[": false, "de-/": false, "de-:": false, "de-a`": false,
		"dé": false, "de CH": false,
	} {
		m, err := worded(t, map[string]any{tag: pars{1: "x"}})
		if err != nil || manifest.LanguageTag(tag) != ok || (m.Description(tag) == "x") != ok {
			t.Errorf("%q: shown %q, %v", tag, m.Description(tag), err)
		}
	}
}

// TestOddText: text is for people, and no text refuses an update. What is odd is left out, and the rest is shown.
func TestOddText(t *testing.T) {
	app, part := mapKey(enc(list{[]byte("app")})), mapKey(enc(list{[]byte("rootfs")}))
	many := func(n int) map[any]any {
		m := map[any]any{1: "x"}
		for i := range n {
			m[-257-i] = "x"
		}
		return m
	}
	languages := map[string]any{}
	for i := range manifest.MaxLanguages + 4 {
		languages["en-"+string(rune('a'+i))] = pars{1: "x"}
	}
	good := pars{1: "x"}
	for name, tt := range map[string]struct {
		text  any
		shown string
	}{
		"good":                         {map[string]any{"en": good}, "x"},
		"the update's":                 {map[string]any{"en": pars{1: "y", 2: "x"}}, "x"},
		"another key":                  {map[string]any{"en": pars{1: "x", 5: "y"}}, "x"},
		"key zero":                     {map[string]any{"en": map[any]any{0: "y", 1: "x"}}, "x"},
		"reserved keys":                {map[string]any{"en": map[any]any{1: "x", -1: "y", -256: "y"}}, "x"},
		"a word as key":                {map[string]any{"en": map[any]any{1: "x", "x": "y"}}, "x"},
		"a component's":                {map[string]any{"en": map[any]any{1: "x", part: pars{8: "y"}}}, "x"},
		"another component's":          {map[string]any{"en": map[any]any{1: "x", app: pars{1: "y"}}}, "x"},
		"a component's of one":         {map[string]any{"en": map[any]any{1: "x", part: map[any]any{part: good}}}, "x"},
		"more than is read":            {map[string]any{"en": many(100)}, ""},
		"a number":                     {map[string]any{"en": pars{1: 7, 2: "x"}}, "x"},
		"only a number":                {map[string]any{"en": pars{1: 7}}, ""},
		"nothing":                      {map[string]any{"en": pars{}}, ""},
		"no language":                  {map[string]any{}, ""},
		"an odd language too":          {map[string]any{"en": good, "e_n": pars{1: "y"}}, "x"},
		"a language that is a number":  {map[any]any{1: good}, ""},
		"a language without a map":     {map[string]any{"de": 1, "en": good}, "x"},
		"more languages than are read": {languages, ""},
		"a list":                       {list{1, 2}, ""},
		"a number as all":              {7, ""},
		"longer than is read":          {map[string]any{"en": pars{1: strings.Repeat("y", manifest.MaxText)}}, ""},
	} {
		if m, err := worded(t, tt.text); err != nil || m.Description("en") != tt.shown {
			t.Errorf("%s: %q is shown, want %q (%v)", name, m.Description("en"), tt.shown, err)
		}
	}
}

// TestLanguageThatFits: the language itself, then the one without its region, then one of another region, then
// English, then the first.
func TestLanguageThatFits(t *testing.T) {
	for _, tt := range []struct{ tags, want, best string }{
		{"de-AT de-DE", "de-CH", "de-AT"}, {"fr en", "it", "en"}, {"fr es", "it", "es"}, {"de de-AT", "de-AT", "de-AT"},
		{"de-AT de", "de-CH", "de"}, {"en-GB de-AT", "de", "de-AT"}, {"en-GB de-AT", "de-CH", "de-AT"},
		{"en-GB fr", "de", "en-GB"},
		{"DE en", "de", "DE"}, {"DE-AT de", "de-CH", "de"}, {"en fr-FR", "fr-CA", "fr-FR"},
		{"de-at en", "DE-AT", "de-at"}, {"en-GB en-US", "", "en-GB"}, {"zh", "en", "zh"}, {"a b c d", "z", "a"},
	} {
		text := map[string]any{}
		for _, tag := range strings.Fields(tt.tags) {
			text[tag] = pars{2: tag}
		}
		for range 8 { // whatever the order of a map
			m, err := worded(t, text)
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Description(tt.want); got != tt.best {
				t.Errorf("of %s for %q: %q, want %q", tt.tags, tt.want, got, tt.best)
			}
		}
	}
}

// TestSpacesOfAllKinds become one that is seen as one.
func TestSpacesOfAllKinds(t *testing.T) {
	for in, want := range map[string]string{"a\u2003b": "a b", "a\u00a0b": "a b", "a\u3000b": "a b",
		"\ta": "a", "a b": "a b"} {
		if got := manifest.Printable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestNamesAreWrittenInOneWay: UUIDs, digests and components, at their bounds.
func TestNamesAreWrittenInOneWay(t *testing.T) {
	const uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
	if u, err := manifest.ParseUUID(uuid); err != nil || u.String() != uuid {
		t.Errorf("%v, %v", u, err)
	}
	for _, at := range []int{8, 13, 18, 23} {
		for _, bad := range []string{uuid[:at] + "0" + uuid[at+1:], uuid[:at] + uuid[at+1:at+2] + "-" + uuid[at+2:]} {
			if _, err := manifest.ParseUUID(bad); err == nil {
				t.Errorf("%s was read", bad)
			}
		}
	}
	for _, bad := range []string{"6ba7b810-9dad-11d1-80b4-00c04fd430c", "6ba7b810-9dad-11d1-80b4-00c04fd430cg",
		"6ba7b810-9dad-11d1-80b4--0c04fd430c8", "6ba7b810-9dad-11d1-80b4-00c04fd4--c8", uuid + "0"} {
		if _, err := manifest.ParseUUID(bad); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
	for alg, size := range map[int]int{manifest.SHA256: 32, manifest.SHA384: 48, manifest.SHA512: 64, -18: 0, 0: 0} {
		if got := manifest.DigestSize(alg); got != size {
			t.Errorf("digests of algorithm %d have %d bytes", alg, got)
		}
	}
	long := strings.Repeat("x", manifest.MaxPart)
	for name, ok := range map[string]bool{
		long: true, long + "x": false, "a/b/c/d/e": true, "a/b/c/d/e/f": false, "a//b": false, "~": true, "%7f": true,
		"\x7f": false, "%20": true, "%2": false, "%zz": false, "%41": false,
	} {
		id, err := manifest.ParseComponentID(name)
		if (err == nil) != ok || err == nil && id.String() != name {
			t.Errorf("%.80q: %s, %v", name, id, err)
		}
	}
	if got := (manifest.ComponentID{{'a', 0x7e, 0x7f, ' ', '!'}}).String(); got != "a~%7f%20!" {
		t.Errorf("%s", got)
	}
}

// TestVersionBounds: one to MaxVersion numbers, and what may stand before a release.
func TestVersionBounds(t *testing.T) {
	for _, tt := range []struct {
		v  []int64
		ok bool
	}{
		{[]int64{0}, true}, {[]int64{1, 2, 3}, true}, {[]int64{1, 2, 3, 4}, false}, {[]int64{0, 0, 0}, true},
		{[]int64{0, 0, 0, 0}, false}, {[]int64{1, 0, 0, 0}, false}, {nil, false}, {[]int64{1, -1}, true},
		{[]int64{1, -3, 0}, true}, {[]int64{1, -4}, false},
		{[]int64{-1}, false}, {[]int64{1, -1, -2}, false}, {[]int64{1, 2, 3, -1, 1, 2, 3, 4}, true},
		{[]int64{1, 2, 3, -1, 1, 2, 3, 4, 5}, false}, {[]int64{0, 0, -1}, true},
	} {
		if err := manifest.CheckVersion(tt.v); (err == nil) != tt.ok {
			t.Errorf("%v: %v", tt.v, err)
		}
	}
}
