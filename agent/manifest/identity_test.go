package manifest_test

import (
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

func TestUUID(t *testing.T) {
	// RFC 9562 appendix A.4, and the vendor and class of draft-ietf-suit-manifest's examples.
	dns, err := manifest.ParseUUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		manifest.UUIDv5(dns, "www.example.com").String(): "2ed6657d-e927-568b-95e1-2665a8aea6a2",
		manifest.VendorUUID("arm.com").String():          "fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffe",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for _, bad := range []string{"", "6ba7b810", "6ba7b8109dad11d180b400c04fd430c8",
		"6ba7b810-9dad-11d1-80b4-00c04fd430cx", "6ba7b810-9dad-11d1-80b4-00c04fd430c8 ",
		"6ba7-b810-9dad-11d1-80b400c04fd430c8"} {
		if u, err := manifest.ParseUUID(bad); err == nil {
			t.Errorf("%q was read as %s", bad, u)
		}
	}
}

func TestDigest(t *testing.T) {
	for _, alg := range []struct {
		alg, size int
		name      string
	}{{manifest.SHA256, 32, "sha256:"}, {manifest.SHA384, 48, "sha384:"}, {manifest.SHA512, 64, "sha512:"}} {
		d := manifest.Digest{Alg: alg.alg, Sum: strings.Repeat("\xab", alg.size)}
		if want := alg.name + strings.Repeat("ab", alg.size); d.String() != want {
			t.Errorf("%s, want %s", d, want)
		}
		if got, err := manifest.ParseDigest(d.String()); err != nil || got != d {
			t.Errorf("%s: %v, %v", d, got, err)
		}
	}
	for _, bad := range []string{"", "sha256:", "sha256:ab", "sha256:" + strings.Repeat("AB", 32),
		"sha256:" + strings.Repeat("ab", 33), "md5:ab", "sha512:" + strings.Repeat("ab", 32)} {
		if d, err := manifest.ParseDigest(bad); err == nil {
			t.Errorf("%q was read as %s", bad, d)
		}
	}
	if d, err := manifest.ParseDigest(digA.String() + "0"); err == nil {
		t.Errorf("65 digits were read as %s", d)
	}
	if !(manifest.Digest{}).IsZero() || digA.IsZero() || (manifest.Digest{}).String() != "" {
		t.Error("zero digest")
	}
}

func TestComponentID(t *testing.T) {
	for want, id := range map[string]manifest.ComponentID{
		"rootfs":     {[]byte("rootfs")},
		"app/x":      {[]byte("app"), []byte("x")},
		"%00":        {{0}},
		"a%2fb":      {[]byte("a/b")},
		"a%25%20%ff": {[]byte("a% \xff")},
	} {
		if id.String() != want {
			t.Errorf("%x is written %s, want %s", id, id, want)
		}
		if got, err := manifest.ParseComponentID(want); err != nil || got.String() != want ||
			string(got[0]) != string(id[0]) {
			t.Errorf("%s is read as %x: %v", want, got, err)
		}
	}
	for _, bad := range []string{"", "/", "a/", "a//b", "%", "%0", "%zz", "a b", "%41", "%2F", "a/b/c/d/e/f",
		strings.Repeat("a", 65)} {
		if id, err := manifest.ParseComponentID(bad); err == nil {
			t.Errorf("%q was read as %x", bad, id)
		}
	}
}
