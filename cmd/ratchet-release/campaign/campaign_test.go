package campaign_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	documents "github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/campaign"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/root"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

var update = flag.Bool("update", false, "rewrite the transcript")

// refused holds an error against what it must say: a word of package reason, "usage", or neither.
func refused(t *testing.T, what string, err error, kind, says string) {
	t.Helper()
	var r *cli.Refusal
	got := ""
	switch {
	case errors.As(err, &r):
		got = string(r.Reason)
	case cli.IsUsage(err):
		got = "usage"
	}
	if err == nil || got != kind || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v (%q), want %q: %s", what, err, got, kind, says)
	}
}

// TestTranscript is a roll-out as the people of the office see it: who has signed, who must still sign, and that a
// key counts once and in its role only.
func TestTranscript(t *testing.T) {
	ctx := t.Context()
	o := newOffice(t)
	var story strings.Builder
	step := func(what string, err error) {
		t.Helper()
		text := o.said.String()
		o.said.Reset()
		if err != nil {
			text += "error: " + err.Error() + "\n"
		}
		fmt.Fprintf(&story, "# %s\n%s\n", what, text)
	}
	path := o.write("plan.toml",
		planText+"sequence = 7\ndevices = [\"gw-2\", \"gw-1\"]\n"+
			"classes = [\"gateway-v1\", \"00000000-0000-0000-0000-000000000001\"]\n[[phase]]\npercent = 0.07\n"+
			"[[phase]]\npercent = 100.0\nnot-before = 2098-01-01T01:30:00+01:00\n")
	step("a plan that nobody signs yet", campaign.Plan(ctx, o.c, path, o.dir, o.bundle(), nobody, o.in("plan.cbor"),
		now))
	sign := func(kind, name, out, who string) error {
		return campaign.Cosign(ctx, o.c, kind, o.in(name), o.in(out), o.key(who))
	}
	_, digest, err := documents.ReadPlan(o.read("plan.cbor"))
	if err != nil {
		t.Fatal(err)
	}
	step("Ann signs it", sign("plan", "plan.cbor", "plan.cbor", "ann"))
	step("Ann signs it again: she is one person", sign("plan", "plan.cbor", "plan.cbor", "ann"))
	step("the guard signs it, whose role is another", sign("plan", "plan.cbor", "plan.cbor", "guard"))
	if _, err := documents.VerifyPlan(o.trusted(), o.read("plan.cbor")); err == nil {
		t.Error("a device takes a plan that one of two has signed")
	}
	step("Cy signs it, into another file", sign("plan", "plan.cbor", "signed.cbor", "cy"))
	if _, err := documents.VerifyPlan(o.trusted(), o.read("signed.cbor")); err != nil {
		t.Errorf("a device refuses the plan: %v", err)
	}
	if _, err := documents.VerifyPlan(o.trusted(), o.read("plan.cbor")); err == nil {
		t.Error("the signature went into the file that was read")
	}
	pulse := func(key keys.Source, state string, phase int) error {
		return campaign.Pulse(ctx, o.c, o.in("signed.cbor"), o.bundle(), key, o.in("pulse.cbor"), state, phase,
			90*time.Minute, "8", now)
	}
	step("a pulse by Ann, whose role is another", pulse(o.key("ann"), "open", 1))
	step("a pulse by the guard", pulse(o.key("guard"), "paused", 2))
	if _, err := documents.VerifyPulse(o.trusted(), o.read("pulse.cbor")); err != nil {
		t.Errorf("a device refuses the pulse: %v", err)
	}
	challenge := documents.Challenge{Device: "gw-1", Nonce: [16]byte{1}, RootVersion: 1, Journal: [16]byte{2}}
	text, err := challenge.Text()
	if err != nil {
		t.Fatal(err)
	}
	step("a permit by the medic", campaign.Permit(ctx, o.c, o.in("r.suit"), o.bundle(), o.key("medic"),
		o.in("permit.cbor"), text,
		[]string{"sequence-below-floor", "quarantined"}, now))
	if p, err := documents.VerifyPermit(o.trusted(), o.read("permit.cbor"), challenge); err != nil ||
		p.Spec().Manifest != o.rel {
		t.Errorf("the device refuses the permit: %v", err)
	}
	if err := os.Rename(o.bundle(), o.in("away")); err != nil {
		t.Fatal(err)
	}
	step("the plan on a desk that has no root", sign("plan", "plan.cbor", "plan.cbor", "ben"))

	got := story.String()
	for _, n := range append(o.names, [2]string{digest.String(), "PLAN"}, [2]string{o.dir + "/", ""}) {
		got = strings.ReplaceAll(got, n[0], n[1])
	}
	golden := "testdata/transcript.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err != nil || got != string(want) {
		t.Errorf("the transcript is (%v)\n%s", err, got)
	}
}

// TestPlanSays: what a plan file becomes, and what stands for what is left out.
func TestPlanSays(t *testing.T) {
	o := newOffice(t)
	least := documents.PlanSpec{Generation: 1, Channel: "stable", Sequence: uint64(now.Unix()), Manifest: o.rel,
		ManifestSequence: 5, Classes: []manifest.UUID{o.class},
		Phases: []documents.Phase{{BasisPoints: 10000}}, Issued: now.UTC().Truncate(time.Second),
		ValidUntil: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)}
	other := manifest.UUID{15: 1}
	for _, c := range []struct {
		text string
		want func(p *documents.PlanSpec)
	}{
		{planText + all, func(*documents.PlanSpec) {}},
		{planText + "sequence = 12\nchannel = \"beta\"\n" + all, func(p *documents.PlanSpec) {
			p.Sequence,
				p.Channel = 12, "beta"
		}},
		{planText + "devices = [\"b\", \"a\"]\n" + all, func(p *documents.PlanSpec) {
			p.Devices,
				p.Classes = []string{"a", "b"}, nil
		}},
		{planText + "classes = [\"gateway-v1\", \"" + other.String() + "\"]\n" + all,
			func(p *documents.PlanSpec) { p.Classes = []manifest.UUID{other, o.class} }},
		{planText + "[[phase]]\npercent = 0.01\n[[phase]]\npercent = 0.57\n" + all +
			"not-before = 2031-01-01T00:00:00+01:00\n", func(p *documents.PlanSpec) {
			p.Phases = []documents.Phase{{BasisPoints: 1}, {BasisPoints: 57}, {BasisPoints: 10000,
				NotBefore: time.Date(2030, 12, 31, 23, 0, 0, 0, time.UTC)}}
		}},
		{planText + "devices = [\"a\"]\n" + all, func(p *documents.PlanSpec) {
			p.Devices, p.Classes = []string{"a"},
				nil
		}},
		{strings.Replace(planText, "r.suit", o.in("r.suit"), 1) + all, func(*documents.PlanSpec) {}},
		{strings.Replace(planText, "T00:00:00Z", "T01:00:00+01:00", 1) + all, func(*documents.PlanSpec) {}},
	} {
		want := least
		c.want(&want)
		o.said.Reset()
		got, err := o.plan(c.text)
		if strings.Contains(o.said.String(), "  devices     1 device: a ...") != (len(want.Devices) == 1) {
			t.Errorf("%s: it says\n%s", c.text, o.said.String())
		}
		if len(got.Salt) != documents.SaltSize || bytes.Equal(got.Salt, make([]byte, documents.SaltSize)) {
			t.Errorf("salt %x", got.Salt)
		}
		got.Salt = nil
		if err != nil || len(got.Devices)+len(want.Devices) > 0 && !slices.Equal(got.Devices, want.Devices) ||
			len(got.Classes)+len(want.Classes) > 0 && !slices.Equal(got.Classes, want.Classes) {
			t.Errorf("%s: %+v, %v", c.text, got, err)
		}
		got.Devices, got.Classes, want.Devices, want.Classes = nil, nil, nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s\ngot  %+v\nwant %+v", c.text, got, want)
		}
	}
	a, _ := o.plan(planText + all)
	b, _ := o.plan(planText + all)
	if bytes.Equal(a.Salt, b.Salt) {
		t.Error("two plans put the devices in one order")
	}
}

// TestPlanRefused: what no plan is made of, and which line is to blame.
func TestPlanRefused(t *testing.T) {
	ctx := t.Context()
	o := newOffice(t)
	o.release("stranger.suit", 6, "ann")
	o.write("broken.suit", "nonsense")
	with := func(name string) string { return strings.Replace(planText, "r.suit", name, 1) + all }
	for _, c := range []struct{ what, text, kind, says string }{
		{"no end", "manifest = \"r.suit\"\n" + all, "", "valid-until: is missing: name the time"},
		{"no manifest", "valid-until = 2099-01-01T00:00:00Z\n" + all, "",
			"manifest: is missing: name a signed envelope"},
		{"an unknown key", "chanel = \"x\"\n", "", "cannot read plan file: "},
		{"an empty phase", planText + "[[phase]]\npercent = 0.0\n", "",
			"plan.toml:4: phase[1].percent: 0: want 0.01 to 100"},
		{"half a basis point", planText + all + "[[phase]]\npercent = 0.005\n", "",
			"plan.toml:6: phase[2].percent: 0.005"},
		{"three decimals", planText + "[[phase]]\npercent = 10.001\n", "", "phase[1].percent: 10.001"},
		{"more than everybody", planText + "[[phase]]\npercent = 100.01\n", "", "phase[1].percent: 100.01"},
		{"a class of no vendor", planText + "classes = [\" x\"]\n" + all, "",
			"plan.toml:3: classes: \"x\": give its UUID"},
		{"a channel that is no topic", planText + "channel = \"a/b\"\n" + all, "plan-void", "channel"},
		{"over before it begins", strings.Replace(planText, "2099", "2029", 1) + all, "plan-void",
			"valid-until: 2029-01-01 00:00 UTC is past"},
		{"no phase", planText, "plan-void", "phase: is missing"},
		{"no envelope", with("gone.suit"), "", "cannot read envelope"},
		{"no envelope's bytes", with("broken.suit"), "envelope-malformed", ""},
		{"signed by a stranger", with("stranger.suit"), "signer-unknown", ""},
	} {
		_, err := o.plan(c.text)
		refused(t, c.what, err, c.kind, c.says)
		if _, err := os.Stat(o.in("plan.cbor")); err == nil {
			t.Fatalf("%s: a plan was written", c.what)
		}
	}
	err := campaign.Plan(ctx, o.c, o.in("plan.toml"), o.dir, o.in("none"), nobody, o.in("plan.cbor"), now)
	refused(t, "no root", err, "", "there is none")
	err = campaign.Plan(ctx, o.c, o.in("plan.toml"), o.in("nowhere"), o.bundle(), nobody, o.in("plan.cbor"), now)
	refused(t, "no release directory", err, "", "is not a release directory")
	o.write("plan.toml", planText+all)
	err = campaign.Plan(ctx, o.c, o.in("plan.toml"), o.dir, o.bundle(), o.key("nobody"), o.in("plan.cbor"), now)
	refused(t, "no key", err, "", "nobody.pem")
	err = campaign.Plan(ctx, o.c, o.in("plan.toml"), o.dir, o.bundle(), nobody, o.in("no/plan.cbor"), now)
	refused(t, "nowhere to write", err, "", "no/")

	// Without a release directory everything is said in the file.
	t.Chdir(t.TempDir())
	err = campaign.Plan(ctx, o.c, o.write("plan.toml", planText+"channel = \"c\"\nclasses = [\"gateway-v1\"]\n"+all),
		".",
		o.bundle(), nobody, o.in("plan.cbor"), now)
	refused(t, "a class without its vendor", err, "", "or name vendor.domain in "+workspace.FileName)
	path := o.write("plan.toml", planText+"channel = \"c\"\nclasses = [\""+o.class.String()+"\"]\n"+all)
	if err := campaign.Plan(ctx, o.c, path, ".", o.bundle(), nobody, o.in("plan.cbor"), now); err != nil {
		t.Errorf("everything is said in the plan: %v", err)
	}
}

// TestPlanUnderTheRoot: an envelope that no device under this root would take is not planned.
func TestPlanUnderTheRoot(t *testing.T) {
	o := newOffice(t)
	o.change(2, "[[role]]\nname = \"root\"", "[component.rootfs]\nmin = 6\nmax = 9\n[[role]]\nname = \"root\"")
	_, err := o.plan(planText + all)
	refused(t, "below the range", err, "sequence-out-of-range", "rootfs")
	o.change(3, "min = 6", "min = 1", "algorithms", "revoked = [\""+o.rel.String()+"\"]\nalgorithms")
	_, err = o.plan(planText + all)
	refused(t, "revoked", err, "revoked", "")
	const other = "classes = [\"00000000-0000-0000-0000-000000000001\"]\n"
	ours := "vendors = [\"acme.example\"]\nclasses = [\"gateway-v1\"]\n"
	o.change(4, "revoked = [\""+o.rel.String()+"\"]\n", "", "name = \"release\"\n", "name = \"release\"\n"+other)
	_, err = o.plan(planText + all)
	refused(t, "a release role for another class", err, "signer-unknown", "")
	o.change(5, "name = \"release\"\n"+other, "name = \"release\"\n"+ours, "name = \"campaign\"\n",
		"name = \"campaign\"\n"+other)
	_, err = o.plan(planText + all)
	refused(t, "a campaign role for another class", err, "plan-void", "nobody the role campaign for such a device")
	o.change(6, "name = \"campaign\"\n"+other, "name = \"campaign\"\nclasses = [\""+o.class.String()+"\"]\n")
	if _, err := o.plan(planText+all, "ann", "ben"); err != nil || !strings.Contains(o.said.String(),
		"signed by enough of the role campaign") {
		t.Errorf("roles for devices of this class: %v\n%s", err, o.said.String())
	}
}

// TestNobodyHasTheRole: a root without the role that signs a document.
func TestNobodyHasTheRole(t *testing.T) {
	ctx := t.Context()
	o := newOffice(t)
	if _, err := o.plan(planText+all, "ann", "ben"); err != nil {
		t.Fatal(err)
	}
	pulse, medic, planners := strings.Index(o.root, "[[role]]\nname = \"pulse\""), strings.Index(o.root,
		"[[role]]\nname = \"recovery\""), strings.Index(o.root, "[[role]]\nname = \"campaign\"")
	text := o.root
	o.change(2, text[pulse:medic], "", text[medic:], "")
	err := campaign.Pulse(ctx, o.c, o.in("plan.cbor"), o.bundle(), nobody, o.in("pulse.cbor"), "open", 1, time.Hour,
		"", now)
	refused(t, "pulse", err, "pulse-void", "the root gives nobody the role pulse")
	challenge, err := documents.Challenge{Device: "gw-1", Nonce: [16]byte{1}, RootVersion: 2}.Text()
	if err != nil {
		t.Fatal(err)
	}
	err = campaign.Permit(ctx, o.c, o.rel.String(), o.bundle(), nobody, o.in("permit.cbor"), challenge,
		[]string{"quarantined"},
		now)
	refused(t, "permit", err, "permit-void", "the root gives nobody the role recovery")
	o.change(3, text[planners:pulse], "")
	_, err = o.plan(planText + all)
	refused(t, "plan", err, "plan-void", "the root gives nobody the role campaign")
}

// TestPulse: each state, the bounds of phase and life, and a plan of people who do not plan any more.
func TestPulse(t *testing.T) {
	ctx := t.Context()
	o := newOffice(t)
	if _, err := o.plan(planText+"[[phase]]\npercent = 1.0\n"+all, "ann", "ben"); err != nil {
		t.Fatal(err)
	}
	_, digest, err := documents.ReadPlan(o.read("plan.cbor"))
	if err != nil {
		t.Fatal(err)
	}
	make := func(path, state string, phase int, life time.Duration, sequence string) error {
		return campaign.Pulse(ctx, o.c, o.in(path), o.bundle(), o.key("guard"), o.in("pulse.cbor"), state, phase, life,
			sequence, now)
	}
	issued := now.UTC().Truncate(time.Second)
	for _, c := range []struct {
		state    string
		phase    int
		life     time.Duration
		sequence string
	}{
		{"open", 1, time.Second, ""}, {"paused", 2, documents.MaxPulseLife, "1"}, {"halted", 1, time.Hour,
			"18446744073709551615"}, {"withdrawn", 1, time.Hour + 999*time.Millisecond, "7"},
	} {
		if err := make("plan.cbor", c.state, c.phase, c.life, c.sequence); err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		p, err := documents.VerifyPulse(o.trusted(), o.read("pulse.cbor"))
		if err != nil {
			t.Fatal(err)
		}
		want := documents.PulseSpec{Generation: 1, Plan: digest, Sequence: uint64(now.Unix()),
			State: documents.State(c.state), Phase: c.phase - 1, Issued: issued,
			Expires: issued.Add(c.life.Truncate(time.Second))}
		if c.sequence != "" {
			fmt.Sscan(c.sequence, &want.Sequence)
		}
		if p.Spec() != want {
			t.Errorf("%+v: %+v", c, p.Spec())
		}
	}
	o.write("garbage", "\xd8\x62nonsense")
	if err := os.Remove(o.in("pulse.cbor")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, state string
		phase       int
		life        time.Duration
		sequence    string
		kind, says  string
	}{
		{"plan.cbor", "going", 1, time.Hour, "", "usage", "--state \"going\": want open"},
		{"plan.cbor", "open", 0, time.Hour, "", "usage", "--phase 0: the plan has 2 phases"},
		{"plan.cbor", "open", 3, time.Hour, "", "usage", "--phase 3: the plan has 2 phases"},
		{"plan.cbor", "open", 1, documents.MaxPulseLife + time.Second, "", "usage", "want 1s to 744h"},
		{"plan.cbor", "open", 1, 999 * time.Millisecond, "", "usage", "--for 999ms"},
		{"plan.cbor", "open", 1, time.Hour, "0", "usage", "--sequence 0"},
		{"plan.cbor", "open", 1, time.Hour, "0x7", "usage", "--sequence \"0x7\" is not a number"},
		{"plan.cbor", "open", 1, time.Hour, "18446744073709551616", "usage", "is not a number"},
		{"garbage", "open", 1, time.Hour, "", "plan-void", ""},
		{"none", "open", 1, time.Hour, "", "", "cannot read plan"},
	} {
		refused(t, fmt.Sprintf("%+v", c), make(c.path, c.state, c.phase, c.life, c.sequence), c.kind, c.says)
	}
	refused(t, "no root", campaign.Pulse(ctx, o.c, o.in("plan.cbor"), o.in("none"), nobody, o.in("pulse.cbor"), "open",
		1,
		time.Hour, "", now), "", "there is none")
	o.change(2, `signers = ["ann", "ben", "cy"]`, `signers = ["ann", "ben"]`)
	refused(t, "a plan of before", make("plan.cbor", "open", 1, time.Hour, ""), "plan-void",
		"it is of generation 1, the role campaign is at 2: make the plan again")
	if _, err := os.Stat(o.in("pulse.cbor")); err == nil {
		t.Error("a pulse was written")
	}
	if s, err := o.plan(planText + all); err != nil || s.Generation != 2 {
		t.Errorf("the plan made again: generation %d, %v", s.Generation, err)
	}
}

// TestPermit: for one device, one manifest and rules that may be lifted.
func TestPermit(t *testing.T) {
	ctx := t.Context()
	o := newOffice(t)
	challenge := documents.Challenge{Device: "gw-1", Nonce: [16]byte{1}, RootVersion: 1, Journal: [16]byte{2}}
	text, err := challenge.Text()
	if err != nil {
		t.Fatal(err)
	}
	make := func(what, challenge string, lifts ...string) error {
		return campaign.Permit(ctx, o.c, what, o.bundle(), o.key("medic"), o.in("permit.cbor"), challenge, lifts, now)
	}
	want := documents.PermitSpec{Generation: 1, Challenge: challenge, Manifest: o.rel,
		Lifts: []reason.Reason{reason.Quarantined, reason.SequenceBelowFloor}, Issued: now.UTC().Truncate(time.Second)}
	for _, c := range []struct{ what, challenge, typed string }{
		{o.in("r.suit"), text, ""}, {o.rel.String(), text, ""}, {o.rel.String(), "-", text[:40] + "\n" + text[40:] +
			"\n"},
	} {
		o.c.In = strings.NewReader(c.typed)
		if err := make(c.what, c.challenge, "sequence-below-floor", "quarantined"); err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		p, err := documents.VerifyPermit(o.trusted(), o.read("permit.cbor"), challenge)
		if err := os.Remove(o.in("permit.cbor")); err != nil {
			t.Error(err)
		}
		if err != nil || !reflect.DeepEqual(p.Spec(), want) {
			t.Errorf("%+v: %+v, %v", c, p.Spec(), err)
		}
	}
	old, err := documents.Challenge{Device: "gw-1", Nonce: [16]byte{1}, RootVersion: 2}.Text()
	if err != nil {
		t.Fatal(err)
	}
	o.c.In = strings.NewReader(strings.Repeat("x", 4097))
	refused(t, "an endless challenge", make(o.rel.String(), "-", "quarantined"), "", "challenge")
	refused(t, "half a challenge", make(o.rel.String(), text[1:], "quarantined"), "usage", "")
	refused(t, "another root", make(o.rel.String(), old, "quarantined"), "permit-void",
		"the device is at root 2, the bundle ends at 1")
	refused(t, "a rule that is never lifted", make(o.rel.String(), text, "wrong-class"), "usage", "wrong-class")
	refused(t, "nothing lifted", make(o.rel.String(), text), "permit-void", "")
	refused(t, "no envelope", make(o.in("gone"), text, "quarantined"), "", "cannot read envelope")
	refused(t, "no root", campaign.Permit(ctx, o.c, o.rel.String(), o.in("none"), nobody, o.in("permit.cbor"), text,
		[]string{"quarantined"}, now), "", "there is none")
	if _, err := os.Stat(o.in("permit.cbor")); err == nil {
		t.Error("a permit was written")
	}
}

// TestKind: what a file is, by its bytes.
func TestKind(t *testing.T) {
	ctx := t.Context()
	o := newOffice(t)
	if _, err := o.plan(planText + all); err != nil {
		t.Fatal(err)
	}
	if err := campaign.Pulse(ctx, o.c, o.in("plan.cbor"), o.bundle(), nobody, o.in("pulse.cbor"), "open", 1, time.Hour,
		"",
		now); err != nil {
		t.Fatal(err)
	}
	text, err := documents.Challenge{Device: "gw-1", Nonce: [16]byte{1}, RootVersion: 1}.Text()
	if err != nil {
		t.Fatal(err)
	}
	if err := campaign.Permit(ctx, o.c, o.rel.String(), o.bundle(), nobody, o.in("permit.cbor"), text,
		[]string{"quarantined"},
		now); err != nil {
		t.Fatal(err)
	}
	o.write("empty", "")
	o.write("garbage", "\xd8\x62nonsense")
	o.write("endless", string(o.read("plan.cbor"))+strings.Repeat("\x00", trust.MaxMessage))
	for name, want := range map[string]string{"root-1.cbor": "root", "plan.cbor": "plan", "pulse.cbor": "pulse",
		"permit.cbor": "permit",
		"r.suit":      "", root.BundleName: "", "empty": "", "garbage": "", "endless": "", "gone": "", "owner.pem": "",
		".": ""} {
		if kind, ok := campaign.Kind(o.in(name)); kind != want || ok != (want != "") {
			t.Errorf("%s is %q, %v; want %q", name, kind, ok, want)
		}
	}
}

// TestCosignRefused: a root stays in its file, and what is no document of its kind is not signed.
func TestCosignRefused(t *testing.T) {
	ctx := t.Context()
	o := newOffice(t)
	if _, err := o.plan(planText + all); err != nil {
		t.Fatal(err)
	}
	before := o.read("plan.cbor")
	key := o.key("ann")
	refused(t, "a root into another file", campaign.Cosign(ctx, o.c, "root", o.in("root-1.cbor"), o.in("x"), key),
		"usage",
		"a root is signed in its file")
	for kind, word := range map[string]string{"pulse": "pulse-void", "permit": "permit-void", "letter": ""} {
		refused(t, kind, campaign.Cosign(ctx, o.c, kind, o.in("plan.cbor"), o.in("x"), key), word, "")
	}
	o.write("garbage", "\xd8\x62nonsense")
	refused(t, "garbage", campaign.Cosign(ctx, o.c, "plan", o.in("garbage"), o.in("x"), key), "plan-void",
		"the plan is refused")
	refused(t, "no file", campaign.Cosign(ctx, o.c, "plan", o.in("gone"), o.in("x"), key), "", "cannot read plan")
	refused(t, "no key", campaign.Cosign(ctx, o.c, "plan", o.in("plan.cbor"), o.in("x"), o.key("gone")), "", "gone.pem")
	o.write("module.toml", "public = \"ann.pub.pem\"\ncommand = [\"false\"]\n")
	refused(t, "a module that does not sign", campaign.Cosign(ctx, o.c, "plan", o.in("plan.cbor"), o.in("x"),
		keys.Source{Path: o.in("module.toml")}), "", "false")
	for range 2 {
		if err := campaign.Cosign(ctx, o.c, "root", o.in("root-1.cbor"), o.in("root-1.cbor"),
			o.key("owner")); err != nil {
			t.Errorf("a root in its file: %v", err)
		}
	}
	o.write(root.BundleName, "nonsense")
	refused(t, "a broken bundle", campaign.Cosign(ctx, o.c, "plan", o.in("plan.cbor"), o.in("y"), key), "root-refused",
		"")
	if _, err := os.Stat(o.in("x")); err == nil || !bytes.Equal(o.read("plan.cbor"), before) {
		t.Error("something was written")
	}
	if err := campaign.Cosign(ctx, o.c, "root", o.in("root-1.cbor"), o.in("root-1.cbor"), o.key("owner")); err == nil {
		t.Error("a root is signed although its bundle is broken")
	}
}
