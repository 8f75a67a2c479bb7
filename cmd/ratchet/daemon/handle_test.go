package daemon_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/daemon"
)

// envelope is a release of an image for the box, signed by s.
func envelope(t *testing.T, image []byte, s *trust.Signer) string {
	t.Helper()
	vendor := manifest.VendorUUID("example.com")
	env, err := author.Build(author.Release{
		Vendor: vendor, Classes: []manifest.UUID{manifest.ClassUUID(vendor, "gateway")}, Sequence: 7,
		Components: []author.Component{{Name: "rootfs", Images: []author.Image{{
			Slot: author.AnySlot, Digest: manifest.Sum(image), Size: int64(len(image)),
			URI: "https://updates.example.com/7/rootfs.img",
		}}}},
	})
	if err == nil {
		env, err = author.Sign(env, s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(env)
}

func (b box) open(name string) *os.File {
	b.t.Helper()
	f, err := os.Open(b.Path(name))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { f.Close() })
	return f
}

// refused wants an error with this reason and this exit code.
func refused(t *testing.T, what string, err error, why reason.Reason, exit int) {
	t.Helper()
	var e *control.Error
	if !errors.As(err, &e) || e.Reason != why || e.Exit != exit || e.Message == "" || e.Advice == "" {
		t.Errorf("%s: %+v, want reason %s and exit code %d", what, err, why, exit)
	}
}

// TestInstall: a technician installs from files. What is not signed is refused with its exit code; what is signed
// is written and armed; and the device is busy from then on.
func TestInstall(t *testing.T) {
	b := newBox(t)
	image := bytes.Repeat([]byte("system 7"), 8192)
	stranger, err := trust.Generate(trust.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	b.write("image", string(image))
	b.write("bad", "no envelope")
	b.write("strange", envelope(t, image, stranger))
	b.write("good", envelope(t, image, b.Release))
	b.during(b.Config(), func(control.Status) {
		ctx := t.Context()
		check := func(name string) (c control.InstallCheck, err error) {
			args := map[string]string{"step": control.StepCheck, "envelope": name}
			raw, err := b.request(ctx, control.VerbInstall, args, []*os.File{b.open(name)}, nil)
			if err == nil {
				err = json.Unmarshal(raw, &c)
			}
			return c, err
		}
		_, err := check("bad")
		refused(t, "no envelope", err, reason.EnvelopeMalformed, control.ExitRefused)
		_, err = check("strange")
		refused(t, "a stranger's", err, reason.SignerUnknown, control.ExitRefused)
		c, err := check("good")
		if err != nil || c.Outcome != control.OutcomeInstall || c.Target != "B" ||
			len(c.Need) != 1 || c.Need[0].Name != "rootfs.img" {
			t.Fatalf("check: %+v, %v", c, err)
		}

		var phases []string
		args := map[string]string{"step": control.StepInstall, "envelope": "good", "names": `["rootfs.img"]`}
		raw, err := b.request(ctx, control.VerbInstall, args,
			[]*os.File{b.open("good"), b.open("image")}, func(raw json.RawMessage) {
				var p control.Progress
				if json.Unmarshal(raw, &p) == nil {
					phases = append(phases, p.Phase)
				}
			})
		var done control.Done
		if err == nil {
			err = json.Unmarshal(raw, &done)
		}
		if err != nil || !done.Reboots || len(phases) == 0 {
			t.Fatalf("install: %+v, %v, phases %q", done, err, phases)
		}
		if slot, err := os.ReadFile(b.Path("b.img")); err != nil || !bytes.HasPrefix(slot, image) {
			t.Errorf("the slot does not hold the image: %v", err)
		}
		_, err = check("good")
		refused(t, "a second one", err, reason.UpdateInProgress, control.ExitBusy)
	})
}

// TestVerbs: each verb reaches the agent, and its answer the technician.
func TestVerbs(t *testing.T) {
	b := newBox(t)
	b.during(b.Config(), func(control.Status) {
		ctx := t.Context()
		var s control.Slots
		b.into(ctx, control.VerbSlots, nil, nil, &s)
		if len(s.Slots) != 2 || s.Boot.Backend == "" {
			t.Errorf("slots %+v", s)
		}
		for n, want := range map[string]int{"1": 1, "0": 2, "": 2, "x": 2} { // 2: more than one, the default is 20
			var h control.History
			b.into(ctx, control.VerbHistory, map[string]string{"n": n}, nil, &h)
			if got := min(len(h.Entries), 2); got != want {
				t.Errorf("history of %q: %d entries", n, len(h.Entries))
			}
		}
		out, err := os.Create(b.Path("evidence"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		var all, later control.EvidenceExport
		b.into(ctx, control.VerbEvidence, nil, []*os.File{out}, &all)
		if st, err := out.Stat(); err != nil || all.Records < 2 || st.Size() != all.Bytes {
			t.Errorf("evidence %+v, %v", all, err)
		}
		b.into(ctx, control.VerbEvidence, map[string]string{"from": "2"}, []*os.File{out}, &later)
		if later.First != 2 || later.Records != all.Records-1 {
			t.Errorf("evidence from 2: %+v of %+v", later, all)
		}
		_, err = b.request(ctx, control.VerbRecover, map[string]string{"step": control.StepChallenge}, nil, nil)
		refused(t, "a challenge without a trust root", err, reason.PermitVoid, control.ExitRefused)
		for verb, want := range map[control.Verb]struct {
			reason reason.Reason
			says   string
		}{
			control.VerbConfirm: {reason.NothingToDo, "nothing is on trial; the phase is idle"},
			control.VerbApprove: {reason.NothingToDo, "no update waits for approval"},
			control.VerbRetry:   {reason.NothingToDo, "no update waits, and none with this digest was given up"},
			control.VerbRevert:  {reason.RevertImpossible, "There is nothing to go back to (slot B is disabled"},
		} {
			raw, err := b.ask(ctx, verb)
			refused(t, string(verb)+" of nothing", err, want.reason, control.ExitRefused)
			var e *control.Error
			if !errors.As(err, &e) || !strings.HasPrefix(e.Message, want.says) ||
				strings.Contains(e.Advice, "powered") {
				t.Errorf("%s of nothing: %s, %+v", verb, raw, e)
			}
		}
	})
}

// into asks and decodes the answer.
func (b box) into(ctx context.Context, verb control.Verb, args map[string]string, files []*os.File, out any) {
	b.t.Helper()
	raw, err := b.request(ctx, verb, args, files, nil)
	if err == nil {
		err = json.Unmarshal(raw, out)
	}
	if err != nil {
		b.t.Errorf("%s: %v", verb, err)
	}
}

// TestAboutPermit: a file that is no permit is not told as an update that is none; its reason stays.
func TestAboutPermit(t *testing.T) {
	i := reason.EnvelopeMalformed.Info()
	var e *control.Error
	err := daemon.AboutPermit(&control.Error{Reason: reason.EnvelopeMalformed, Message: i.Says + " (bad tag)",
		Advice: i.Advice, Exit: control.ExitRefused})
	if !errors.As(err, &e) || e.Reason != reason.EnvelopeMalformed || e.Exit != control.ExitRefused ||
		e.Message != "The device does not take this file as a permit. (bad tag)" ||
		!strings.Contains(e.Advice, "`ratchet-release permit`") {
		t.Errorf("%+v", e)
	}
	void := &control.Error{Reason: reason.PermitVoid, Message: "as it was", Exit: control.ExitRefused}
	if err := daemon.AboutPermit(void); err != error(void) || void.Message != "as it was" {
		t.Errorf("%+v", err)
	}
}
