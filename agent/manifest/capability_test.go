package manifest_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// TestProfileCapabilities: what a device says that it can do is what the profile takes, in numbers of the
// registries, and comes back as it was said.
func TestProfileCapabilities(t *testing.T) {
	parts := []manifest.ComponentID{{[]byte("rootfs")}, {[]byte("app"), []byte("x")}}
	c := manifest.ProfileCapabilities(parts)
	for name, tt := range map[string]struct {
		got  []int64
		want string
	}{
		"algorithms":     {c.Algorithms, "[-65534 -65532 -51 -44 -43 -29 -19 -16 -9 -5 -3 1 3]"},
		"envelope":       {c.Envelope, "[2 3 14 16 20 23]"},
		"manifest":       {c.Manifest, "[1 2 3 4 6 7 14 16 20 23]"},
		"common":         {c.Common, "[2 4]"},
		"text":           {c.Text, "[1 2 3 4]"},
		"component text": {c.ComponentText, "[1 2 3 4 5 6 7 8]"},
		"commands":       {c.Commands, "[1 2 3 4 5 6 12 14 15 18 19 20 21 22 24 25 26 27 28 32 34]"},
		"parameters":     {c.Parameters, "[1 2 3 4 5 12 13 14 18 19 21 22 24 25 26 27 28]"},
	} {
		if got := fmt.Sprint(tt.got); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	if fmt.Sprint(c.Components) != fmt.Sprint(parts) {
		t.Errorf("components %v", c.Components)
	}
	b, err := manifest.EncodeReport(manifest.Report{Manifest: digA, Can: &c})
	if err != nil {
		t.Fatal(err)
	}
	back, err := manifest.DecodeReport(b)
	if err != nil || fmt.Sprint(*back.Can) != fmt.Sprint(c) {
		t.Errorf("it comes back as %+v, %v", back.Can, err)
	}
}

// TestCapabilityLists: each list has 1 to 64 numbers, or components; one that is empty is not said.
func TestCapabilityLists(t *testing.T) {
	ask := func(can pars) (manifest.Report, error) {
		return manifest.DecodeReport(enc(pars{99: list{"", digest(digA)}, 3: list{}, 4: true, 8: can}))
	}
	numbers := func(n int) (l list) {
		for i := range n {
			l = append(l, i)
		}
		return l
	}
	parts := func(n int) (l list) {
		for i := range n {
			l = append(l, list{fmt.Appendf(nil, "part-%d", i)})
		}
		return l
	}
	for name, tt := range map[string]struct {
		can  pars
		says string
	}{
		"one number": {pars{2: numbers(1)}, ""}, "64 numbers": {pars{2: numbers(64)}, ""},
		"no number": {pars{2: list{}}, "want 1 to 64"}, "65 numbers": {pars{2: numbers(65)}, "want 1 to 64"},
		"one part": {pars{1: parts(1)}, ""}, "64 parts": {pars{1: parts(64)}, ""},
		"no part": {pars{1: list{}}, "want 1 to 64"}, "65 parts": {pars{1: parts(65)}, "want 1 to 64"},
		"a word":                         {pars{2: list{"x"}}, "integer expected"},
		"a word at the end":              {pars{2: list{1, "x"}}, "integer expected"},
		"a part that is no part":         {pars{1: list{"x"}}, "array expected"},
		"a part at the end that is none": {pars{1: list{list{[]byte("a")}, "x"}}, "array expected"},
		"nothing":                        {pars{}, "want 1 to 16"},
	} {
		r, err := ask(tt.can)
		if tt.says == "" && (err != nil || len(r.Can.Commands) != len(listOf(tt.can[2])) ||
			len(r.Can.Components) != len(listOf(tt.can[1]))) ||
			tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: %+v, %v, want %q", name, r.Can, err, tt.says)
		}
	}
	for _, can := range []manifest.Capabilities{{Commands: []int64{7}},
		{Components: []manifest.ComponentID{{[]byte("x")}}}} {
		b, err := manifest.EncodeReport(manifest.Report{Manifest: digA, Can: &can})
		if err != nil {
			t.Fatal(err)
		}
		if back, err := manifest.DecodeReport(b); err != nil ||
			fmt.Sprintf("%+v", *back.Can) != fmt.Sprintf("%+v", can) {
			t.Errorf("%+v, %v, want %+v", back.Can, err, can)
		}
	}
}

func listOf(v any) list {
	l, _ := v.(list)
	return l
}

// TestReportBounds: a report at each of its bounds is written and read.
func TestReportBounds(t *testing.T) {
	parameters := func(n int64) manifest.Properties {
		p := manifest.Properties{}
		for i := range n {
			p[-257-i] = i
		}
		return p
	}
	record := func() *manifest.Record { return &manifest.Record{Section: 3, Properties: manifest.Properties{}} }
	for name, r := range map[string]manifest.Report{
		"nonce": {Manifest: digA, Nonce: make([]byte, manifest.MaxNonce)},
		"dependencies": {Manifest: digA, Entries: []manifest.Entry{&manifest.Record{Manifest: []uint64{1, 2, 3, 4},
			Section: 1 << 16, Properties: manifest.Properties{}}}},
		"section": {Manifest: digA,
			Entries: []manifest.Entry{&manifest.Record{Section: -1 << 16, Properties: manifest.Properties{}}}},
		"reason": manifest.Report{Manifest: digA}.Fail(manifest.CodeInvokePending, manifest.Place{}, nil),
		"records": {Manifest: digA, Entries: func() (l []manifest.Entry) {
			for range manifest.MaxRecords {
				l = append(l, record())
			}
			return l
		}()},
		"parameters": {Manifest: digA,
			Entries: []manifest.Entry{&manifest.Record{Section: 3, Properties: parameters(manifest.MaxParameters)}}},
	} {
		b, err := manifest.EncodeReport(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		back, err := manifest.DecodeReport(b)
		again, err2 := manifest.EncodeReport(back)
		if err != nil || err2 != nil || !bytes.Equal(again, b) || len(back.Entries) != len(r.Entries) {
			t.Errorf("%s: %d entries come back, %v, %v", name, len(back.Entries), err, err2)
		}
		if name == "dependencies" && fmt.Sprint(back.Entries[0].(*manifest.Record).Manifest) != "[1 2 3 4]" {
			t.Errorf("the path of dependencies is %v", back.Entries[0].(*manifest.Record).Manifest)
		}
	}
	for name, r := range map[string]manifest.Report{
		"a parameter more": {Manifest: digA,
			Entries: []manifest.Entry{&manifest.Record{Section: 3,
				Properties: parameters(manifest.MaxParameters + 1)}}},
		"section": {Manifest: digA,
			Entries: []manifest.Entry{&manifest.Record{Section: 1<<16 + 1, Properties: manifest.Properties{}}}},
		"section 2": {Manifest: digA,
			Entries: []manifest.Entry{&manifest.Record{Section: -1<<16 - 1, Properties: manifest.Properties{}}}},
		"a name": {Manifest: digA,
			Entries: []manifest.Entry{&manifest.Record{Section: 3, Properties: manifest.Properties{0: int64(1)}}}},
		"not theirs": {Manifest: digA,
			Entries: []manifest.Entry{&manifest.Record{Section: 3, Properties: manifest.Properties{-256: int64(1)}}}},
	} {
		if _, err := manifest.EncodeReport(r); err == nil {
			t.Errorf("%s: it is written", name)
		}
	}
	// A report of MaxReport bytes is told whole; of one that is longer the last entries go, never the outcome.
	sized := func(n int) manifest.Report {
		r := manifest.Report{Manifest: digA}
		for range 7 {
			r.Entries = append(r.Entries,
				&manifest.Record{Section: 3, Properties: manifest.Properties{-300: make([]byte, 4096)}})
		}
		r.Entries = append(r.Entries,
			&manifest.Record{Section: 3, Properties: manifest.Properties{-300: make([]byte, n)}})
		return r
	}
	b, err := manifest.EncodeReport(sized(3000))
	if err != nil {
		t.Fatal(err)
	}
	fill := 3000 + manifest.MaxReport - len(b)
	if b, err = manifest.EncodeReport(sized(fill)); err != nil || len(b) != manifest.MaxReport {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	if back, err := manifest.DecodeReport(b); err != nil || len(back.Entries) != 8 {
		t.Errorf("at the bound: %d entries, %v", len(back.Entries), err)
	}
	if b, err = manifest.EncodeReport(sized(fill + 1)); err != nil {
		t.Fatal(err)
	}
	if back, err := manifest.DecodeReport(b); err != nil || len(back.Entries) != 6 {
		t.Errorf("beyond: %d entries, %v", len(back.Entries), err)
	}
}
