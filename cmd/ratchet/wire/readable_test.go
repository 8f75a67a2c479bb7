package wire_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
)

// TestReach: whatever links lead to how names are resolved and to whom the system trusts, where they end can be read,
// also when it is not there yet; and nothing becomes readable that nobody needs.
func TestReach(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, d := range []string{"etc/ssl/certs", "run", "usr/lib/ssl", "usr/share/ca/mozilla", "opt/own"} {
		if err := os.MkdirAll(at(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{
		"etc/resolv.conf":          "resolv-conf.systemd",
		"etc/resolv-conf.systemd":  "../run/systemd/resolve/resolv.conf", // not there yet
		"var":                      "run",
		"etc/hosts":                at("var/hosts"),
		"etc/loop":                 "loop",
		"etc/pki":                  "../usr/lib/ssl", // a folder on the way
		"etc/root":                 "/ratchet-test-of-links",
		"etc/ssl/certs/a.pem":      at("usr/share/ca/mozilla/a.crt"),
		"etc/ssl/certs/12345678.0": "a.pem",
		"certs":                    "etc/ssl/certs",
	} {
		if err := os.Symlink(to, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		files, folders, want []string
	}{
		{[]string{"etc/resolv.conf"}, nil, []string{at("run/systemd/resolve")}},
		{[]string{"etc/hosts"}, nil, []string{at("run")}},
		{[]string{"etc/loop", "etc/nothing"}, nil, nil},
		{[]string{"etc/pki/ca.pem"}, nil, []string{at("usr/lib/ssl")}},
		{[]string{"opt/own/ca.pem"}, nil, []string{at("opt/own")}},
		{[]string{"etc/root"}, nil, []string{"/ratchet-test-of-links"}},
		{nil, []string{"etc/ssl/certs"}, []string{at("usr/share/ca/mozilla")}},
		{nil, []string{"certs"}, []string{at("usr/share/ca/mozilla")}},
		{nil, []string{"nothing"}, nil},
	} {
		for _, list := range [][]string{c.files, c.folders} {
			for i := range list {
				list[i] = at(list[i])
			}
		}
		if got := wire.Reach([]string{at("etc")}, c.files, c.folders); !slices.Equal(got[1:], c.want) {
			t.Errorf("%q, %q: %q, want %q", c.files, c.folders, got[1:], c.want)
		}
	}
	if got := wire.Reach(nil, nil, []string{"/"}); len(got) > 0 {
		t.Errorf("a folder of authorities that is / lets %q be read", got)
	}
}
