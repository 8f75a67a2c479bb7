package manifest_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// marker stands for an item that no encoder makes.
const marker = 0x1122334455667788

// instead puts an item in the place of the marker.
func instead(b, item []byte) []byte { return bytes.Replace(b, enc(uint64(marker)), item, 1) }

// reported is a report of which one value of a parameter of others is the given item, as it stands.
func reported(item []byte) []byte {
	return instead(enc(pars{99: list{"", digest(digA)},
		3: list{list{list{}, 3, 1, 0, pars{-300: uint64(marker)}}}, 4: true}), item)
}

// TestOneEncoding: each item has one encoding (RFC 8949 section 4.2.1), and what is not used here is not read.
func TestOneEncoding(t *testing.T) {
	for _, tt := range []struct {
		item []byte
		says string // "" = it is read
	}{
		{[]byte{0x00}, ""}, {[]byte{0x17}, ""}, {[]byte{0x20}, ""}, {[]byte{0x38, 0x18}, ""},
		{[]byte{0x18, 0x17}, "not the shortest"}, {[]byte{0x18, 0x18}, ""}, {[]byte{0x18, 0xff}, ""},
		{[]byte{0x19, 0x00, 0xff}, "not the shortest"}, {[]byte{0x19, 0x01, 0x00}, ""},
		{[]byte{0x1a, 0x00, 0x00, 0xff, 0xff}, "not the shortest"}, {[]byte{0x1a, 0x00, 0x01, 0x00, 0x00}, ""},
		{[]byte{0x1b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, "not the shortest"},
		{[]byte{0x1b, 0, 0, 0, 1, 0, 0, 0, 0}, ""},
		{[]byte{0x1b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, ""},
		{[]byte{0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0}, "integer is too large"},
		{[]byte{0x3b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, ""},
		{[]byte{0x3b, 0x80, 0, 0, 0, 0, 0, 0, 0}, "integer is too large"},
		{[]byte{0x1c}, "reserved head"}, {[]byte{0x1f}, "reserved head"},
		{[]byte{0x5f, 0x41, 0, 0xff}, "indefinite length"},
		{[]byte{0xf4}, ""}, {[]byte{0xf5}, ""}, {[]byte{0xf6}, "true or false expected"},
		{[]byte{0xf3}, "true or false expected"},
		{[]byte{0xf9, 0x3c, 0x00}, "true or false expected"}, {[]byte{0xc1, 0x00}, "true or false expected"},
		{[]byte{0x61, 'a'}, ""}, {[]byte{0x61, 0xff}, "not UTF-8"}, {[]byte{0x60}, ""}, {[]byte{0x40}, ""},
		{enc(make([]byte, 4096)), ""}, {enc(make([]byte, 4097)), "at most 4096"},
		{enc(strings.Repeat("x", 4096)), ""}, {enc(strings.Repeat("x", 4097)), "at most 4096"},
	} {
		_, err := manifest.DecodeReport(reported(tt.item))
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%.16x: %v, want %q", tt.item, err, tt.says)
		}
	}
}

// TestCutShort: a report ends early at any byte: it is no report, and nothing is read beyond it.
func TestCutShort(t *testing.T) {
	for _, item := range [][]byte{{0x1b, 0, 0, 0, 1, 0, 0, 0, 0}, enc("text"), enc([]byte("bytes")), {0xf5}} {
		whole := reported(item)
		if _, err := manifest.DecodeReport(whole); err != nil {
			t.Fatal(err)
		}
		for n := range whole {
			if _, err := manifest.DecodeReport(whole[:n:n]); err == nil {
				t.Errorf("%d of %d bytes of %x are read", n, len(whole), item)
			}
		}
		if _, err := manifest.DecodeReport(append(bytes.Clone(whole), 0)); err == nil ||
			!strings.Contains(err.Error(), "1 bytes too many") {
			t.Errorf("a byte more: %v", err)
		}
	}
}

// TestPassedOver: in a COSE header of others any item may stand that is deterministic and not too deep.
func TestPassedOver(t *testing.T) {
	deep := func(n int, open ...byte) []byte { return append(bytes.Repeat(open, n), 0) }
	for _, tt := range []struct {
		item []byte
		says string
	}{
		{enc(7), ""}, {enc(-7), ""}, {enc("text"), ""}, {enc([]byte("b")), ""},
		{enc(list{1, list{2, "x"}, pars{1: 2}}), ""}, {enc(pars{1: list{}, 2: pars{3: 4}}), ""},
		{[]byte{0xf4}, ""}, {[]byte{0xf5}, ""}, {[]byte{0xf6}, ""}, {enc(cborTag(1, 5)), ""}, {enc(list{}), ""},
		{enc(pars{}), ""},
		{[]byte{0xf3}, "simple value 19"}, {[]byte{0xf7}, "simple value 23"},
		{[]byte{0xf9, 0, 0}, "float or simple value"},
		{[]byte{0xfb, 0, 0, 0, 0, 0, 0, 0, 0}, "float or simple value"},
		{[]byte{0x61, 0xff}, "not UTF-8"}, {[]byte{0x82, 0x18, 0x01, 0x00}, "not the shortest"},
		{[]byte{0xa1, 0x00, 0x18, 0x01}, "not the shortest"},
		{[]byte{0xa2, 0x00, 0x61, 0xff, 0x01, 0x00}, "not UTF-8"}, {[]byte{0x82, 0x61, 0xff, 0x00}, "not UTF-8"},
		{[]byte{0xc1, 0x18, 0x01}, "not the shortest"}, {[]byte{0xd8, 0x01, 0x00}, "not the shortest"},
		{deep(13, 0x81), ""}, {deep(14, 0x81), "nested too deep"}, {deep(13, 0xc1), ""},
		{deep(14, 0xc1), "nested too deep"},
		{deep(13, 0xa1, 0x00), ""}, {deep(14, 0xa1, 0x00), "nested too deep"},
	} {
		b := instead(enc(cborTag(96, list{enc(pars{1: 1}), pars{5: make([]byte, 12)}, nil, list{
			list{[]byte{}, pars{1: -6, 99: uint64(marker)}, []byte{}},
			list{[]byte{}, pars{1: -3}, make([]byte, 24)}}})), tt.item)
		_, err := manifest.ParseEncryption(b)
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%.16x: %v, want %q", tt.item, err, tt.says)
		}
	}
}

// TestRecipientsAsTheyCame: whoever decrypts gets what the sender wrote, and nothing else.
func TestRecipientsAsTheyCame(t *testing.T) {
	x, y := bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{9}, 32)
	wrapped := func(n int) []byte { return bytes.Repeat([]byte{5}, n) }
	protected := enc(pars{1: -29})
	b := enc(cborTag(96, list{enc(pars{1: 3}), pars{5: bytes.Repeat([]byte{1}, 12)}, nil, list{
		list{[]byte{}, pars{1: -3, 4: []byte("one")}, wrapped(40)},
		list{[]byte{}, pars{1: -5}, wrapped(40)},
		list{protected, pars{-1: point(pars{-2: x, -3: y}), -20: []byte("salt"), 4: []byte("two")}, wrapped(40)}}}))
	e, err := manifest.ParseEncryption(b)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range e.Recipients() {
		got = append(got, fmt.Sprintf("%s %q %x %q %x %x", manifest.AlgorithmName(r.Alg), r.KeyID, r.Ephemeral, r.Salt,
			r.Protected, r.Wrapped))
	}
	want := []string{
		fmt.Sprintf("A128KW %q  %q  %x", "one", "", wrapped(40)),
		fmt.Sprintf("A256KW %q  %q  %x", "", "", wrapped(40)),
		fmt.Sprintf("ECDH-ES + A128KW %q 04%x%x %q %x %x", "two", x, y, "salt", protected, wrapped(40)),
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if e.Algorithm() != manifest.A256GCM || e.KeySize() != 32 || !bytes.Equal(e.IV(), bytes.Repeat([]byte{1}, 12)) ||
		!bytes.Equal(e.Protected(), enc(pars{1: 3})) {
		t.Errorf("%+v", e)
	}
	names := map[int64]string{manifest.A128GCM: "A128GCM", manifest.A256GCM: "A256GCM", manifest.A128CTR: "A128CTR",
		manifest.A256CTR: "A256CTR", 24: ""}
	for alg, name := range names {
		if got := manifest.AlgorithmName(alg); got != name {
			t.Errorf("algorithm %d is %q", alg, got)
		}
	}
}
