package manifest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// trace writes the steps of a manifest on a device, one a line.
func trace(t *testing.T, env []byte, d manifest.Device) string {
	t.Helper()
	m, err := accept(t, env)
	if err != nil {
		t.Fatal(err)
	}
	var s strings.Builder
	u, err := m.Trace(d, func(x manifest.Step) {
		if (manifest.CommandName(x.Command) != x.Name) || x.Outcome != manifest.Needed && x.Name == "" {
			t.Errorf("step without a name: %+v", x)
		}
		if got := m.Components()[x.Index].String(); got != x.Component {
			t.Errorf("component %d is %s, not %s", x.Index, got, x.Component)
		}
		fmt.Fprintf(&s, "%s%s @%d %s %s %s: %s\n", strings.Repeat("  ", x.Depth), manifest.SectionName(x.Section),
			x.Offset, x.Name, x.Component, x.Outcome, x.Detail)
	})
	again, err2 := m.Resolve(d)
	if fmt.Sprint(u, err) != fmt.Sprint(again, err2) {
		t.Errorf("a trace comes to another end: %v %v, %v %v", u, err, again, err2)
	}
	for _, f := range u.Findings {
		fmt.Fprintf(&s, "finding: %s: %s\n", f.Component, f.Detail)
	}
	for _, i := range u.Installs {
		fmt.Fprintf(&s, "install: %s, stored at %d, matched at %d\n", i.Component, i.Stored.Offset, i.Matched.Offset)
	}
	if err != nil {
		fmt.Fprintf(&s, "refused: %v\n", err)
	}
	return s.String()
}

// What a device would do, command by command, as stories.
func TestTrace(t *testing.T) {
	d := device()
	d.Devices = []manifest.UUID{manifest.UUIDv5(vendor, "serial 42")}
	other := device()
	other.Classes, other.Components["rootfs"] = nil, manifest.Target{Slot: 9}
	known := device()
	holdsA(&known)
	var s strings.Builder
	for _, tt := range []struct {
		title string
		env   []byte
		d     manifest.Device
	}{
		{"a release with everything", made(fullRelease(), "release-p256")(t), d},
		{"an encrypted release", made(encryptedRelease(), "release-p256")(t), d},
		{"another class, another slot", made(fullRelease(), "release-p256")(t), other},
		{"soft failures and several components", craft{components: two, shared: twoID, install: seq{
			12, true, 34, pars{0: pars{21: u}, 1: pars{3: pdigest(digB), 14: 7, 21: u}}, 12, true,
			32, nest(20, pars{13: true}, 14, 15), 15, list{nest(20, pars{5: 0}, 5, 5), nil}, 21, 2, 3, 15}}.build(t),
			d},
		{"content of the manifest, and what is known of another component",
			craft{components: two, shared: append(twoID, 12, 1, 20, a), install: seq{
				12, 1, 20, pars{22: 0}, 22, 2, 3, 15, 12, 0, 20, pars{18: []byte("image B")}, 18, 15}}.build(t), known},
		{"a failed directive", craft{install: seq{15, list{nest(21, 2), nil}}}.build(t), d},
		{"a severed section", craft{install: inst(), severed: []int64{20}}.build(t), d},
	} {
		fmt.Fprintf(&s, "== %s\n%s\n", tt.title, trace(t, tt.env, tt.d))
	}
	same(t, "TRACES.txt", []byte(s.String()))
}
