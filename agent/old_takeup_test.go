package agent_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/oldread"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/transport"
)

const journals = "testdata/journals-0.1"

// The transcripts beside the dumps are what version 0.1 did. A device in the field must not notice that it has
// another version: they change only where that version was wrong, and the commit says so. -update leaves them alone.
var writeGoesOn = flag.Bool("ratchet.goes-on", false, "rewrite the transcripts beside the dumps of old devices")

// going is what a device meets when it goes on.
type going struct {
	name string
	set  func(*rig, *hand)
	ask  func(*rig, *hand) func(context.Context, *agent.Agent) // of the first idle agent
	// between is what happens between two boots.
	between func(*rig)
}

// goings are the ways in which the device of a dump goes on. Those that have none meet nothing special.
func goings(point string) []going {
	well := going{name: "well"}
	sick := going{name: "sick", set: func(r *rig, _ *hand) { r.sick[2], r.sick[3] = true, true }}
	switch point {
	case "trial", "trial-2", "trial-3", "synthetic-trial", "synthetic-trial-2", "local-trial", "rooted-trial",
		"permit-trial", "rebooting", "grub-trial", "grub-rebooting", "confirming":
		return []going{well, sick}
	case "revert-trial":
		return []going{well, {name: "sick", set: func(r *rig, _ *hand) { r.sick[2] = true }}}
	case "reverting", "reverting-asked", "reverting-left", "idle-quarantined", "disable-pending":
		return []going{sick}
	case "rebooting-exhausted", "idle-fell":
		return []going{well, {name: "panics", set: func(r *rig, _ *hand) { r.panics[2] = true }}}
	case "idle-reverted", "idle-reverted-3", "checking-never-tried", "arming-again":
		return []going{well, {name: "never-tried", set: func(r *rig, _ *hand) {
			lose := 100
			r.board = bootNext{lose: &lose}
		}}}
	case "writing-restarted", "idle-costly", "idle-costly-3":
		return []going{well, {name: "other-bytes", set: func(r *rig, _ *hand) { r.source = otherBytes }}}
	case "writing", "writing-checkpoint", "rooted-writing", "idle-failed", "idle-failed-3", "preparing":
		return []going{well, {name: "gone", set: func(r *rig, _ *hand) { r.images = nil }}}
	case "reverting-judge", "idle-judge":
		return []going{
			{name: "online", set: func(r *rig, _ *hand) { also(r, brokerProven(r)) }},
			{name: "offline", set: func(r *rig, _ *hand) { also(r, brokerProven(r)); r.online = false }},
		}
	case "floor-pending":
		return []going{well, {name: "counter", set: func(r *rig, _ *hand) { r.w.SetCounter(0, true) }}}
	case "idle-deferred":
		metered := func(r *rig, _ *hand) { also(r, func(o *agent.Options) { o.Metered = func() bool { return true } }) }
		return []going{well, {name: "metered", set: metered}}
	case "ready-waits", "ready-approved":
		return []going{well, {name: "approval", set: func(r *rig, _ *hand) { also(r, needsApproval) }}}
	case "pruned":
		return []going{{name: "well", set: func(r *rig, _ *hand) {
			also(r, func(o *agent.Options) { o.EvidenceMax = 2 << 10 })
		}}}
	case "permit-challenge":
		return []going{{name: "permit", ask: func(r *rig, h *hand) func(context.Context, *agent.Agent) {
			return func(ctx context.Context, a *agent.Agent) {
				if _, err := a.Console().Permit(ctx, h.things["permit"], "uid 0"); err != nil {
					r.t.Error(err)
				}
				r.install(h.things["older"])(ctx, a)
			}
		}}}
	case "permit-taken", "permit-ready":
		return []going{well, {name: "install", ask: func(r *rig, h *hand) func(context.Context, *agent.Agent) {
			return r.install(h.things["older"])
		}}}
	case "rooted-waiting":
		return []going{well,
			{name: "pulse", set: func(_ *rig, h *hand) { h.retain(transport.Pulse, h.things["pulse"]) }}}
	case "rooted-withdrawn-ready":
		return []going{well, {name: "withdrawn", set: func(_ *rig, h *hand) {
			h.retain(transport.Pulse, h.things["withdrawn"])
		}}}
	case "idle-updated-twice", "idle-went-back", "rooted-updated":
		return []going{well, {name: "revert", ask: func(*rig, *hand) func(context.Context, *agent.Agent) {
			return func(ctx context.Context, a *agent.Agent) { _, _ = a.Console().Revert(ctx, "uid 0", "") }
		}}}
	}
	return []going{well}
}

// also sets options after those of the dump.
func also(r *rig, set func(*agent.Options)) {
	was := r.options
	r.options = func(o *agent.Options) {
		if was != nil {
			was(o)
		}
		set(o)
	}
}

// TestJournalsTakenUp: a device that version 0.1 left at some point of an update goes on as that version did: in the
// same boot, after the power came back, and where between two boots an old agent writes again what the journal holds,
// without what it does not know. What the device does stands in the transcript beside the dump.
func TestJournalsTakenUp(t *testing.T) {
	dumps, err := filepath.Glob(journals + "/*.txt")
	if err != nil || len(dumps) < 60 {
		t.Fatalf("%d dumps, %v", len(dumps), err)
	}
	for i, path := range dumps {
		if testing.Short() && i%4 > 0 {
			continue
		}
		point := strings.TrimSuffix(filepath.Base(path), ".txt")
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var told strings.Builder
		for _, g := range goings(point) {
			for _, how := range []string{"restart", "power"} {
				fmt.Fprintf(&told, "== %s, %s\n%s", how, g.name, goOn(t, string(raw), how, g))
			}
		}
		for _, g := range goings(point) {
			if again := goOn(t, string(raw), "rewritten", g); !strings.Contains(told.String(), again) {
				t.Errorf("%s, %s: goes on otherwise where an old agent writes its journal between boots:\n%s",
					point, g.name, again)
			}
		}
		compareStory(t, filepath.Join(journals, point+".goes-on"), told.String())
	}
}

func compareStory(t *testing.T, path, got string) {
	t.Helper()
	if *writeGoesOn {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	a, b := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	t.Errorf("%s: line %d differs\n--- from here on, this version\n%s\n--- version 0.1\n%s", path, at+1,
		strings.Join(a[max(at-3, 0):min(at+6, len(a))], "\n"), strings.Join(b[max(at-3, 0):min(at+6, len(b))], "\n"))
}

// goOn takes a dump up, lets the device live for thirty hours, and tells what it records and how it rests.
func goOn(t *testing.T, dump, how string, g going) (told string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, h := takeUp(t, dump)
		from := newest(r)
		r.wrap = func(o *agent.Options) { o.Serial = true }
		if g.set != nil {
			g.set(r, h)
		}
		switch how {
		case "power":
			r.w.Restart()
			r.loader()
		case "rewritten":
			g.between = rewrite
			rewrite(r)
		}
		boots := r.goes(h, g, 30*time.Hour)
		told = strings.Join(append(r.since(from), r.rest(boots)...), "\n") + "\n"
	})
	return told
}

// rewrite is what an old agent leaves of a journal when it writes all that it reads.
func rewrite(r *rig) {
	r.t.Helper()
	err := r.mem.Update(func(tx journal.Tx) error {
		values := map[string][]byte{}
		err := tx.Scan(journal.State, "", func(k string, v []byte) bool { values[k] = bytes.Clone(v); return true })
		if err != nil {
			return err
		}
		for k, v := range values {
			again, err := oldread.Rewrite(k, v)
			if err != nil {
				return err
			}
			if err := tx.Put(journal.State, k, again); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// goes lets the device live for a stretch of virtual time. The broker hands over at each start what it retains.
func (r *rig) goes(h *hand, g going, d time.Duration) (boots int) {
	r.t.Helper()
	clock := r.w.Clock()
	end, _ := clock.Wall()
	end = end.Add(d)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	asked := g.ask == nil
	for {
		msgs := slices.Clone(h.retained)
		rests := func(a *agent.Agent) bool {
			if len(msgs) > 0 {
				select {
				case r.inbox <- msgs[0]:
					msgs = msgs[1:]
					synctest.Wait()
				default:
				}
			} else if !asked && a.Console().Status(ctx).Phase == "idle" {
				asked = true
				go g.ask(r, h)(ctx, a)
				synctest.Wait()
			}
			now, _ := clock.Wall()
			return now.After(end)
		}
		if !r.boot(nil, rests) {
			return boots
		}
		if boots++; boots > 60 {
			r.t.Fatalf("the device reboots for ever\n%s", r.told())
		}
		if g.between != nil {
			g.between(r)
		}
		r.loader()
	}
}

type place struct {
	chain [16]byte
	seq   uint64
}

func (r *rig) records() (all []evidence.Record) {
	r.t.Helper()
	_ = r.mem.View(func(tx journal.Tx) error {
		return tx.Scan(journal.Evidence, "", func(_ string, v []byte) bool {
			rec, err := evidence.Decode(v)
			if err != nil {
				r.t.Error(err)
			}
			all = append(all, rec)
			return true
		})
	})
	return all
}

func newest(r *rig) (p place) {
	if all := r.records(); len(all) > 0 {
		p = place{all[len(all)-1].Chain, all[len(all)-1].Seq}
	}
	return p
}

// since tells the evidence that is newer. It is whole, and signed by the device (story says so when it is not).
func (r *rig) since(from place) (lines []string) {
	r.t.Helper()
	r.story()
	for _, rec := range r.records() {
		if rec.Chain == from.chain && rec.Seq <= from.seq {
			continue
		}
		line := fmt.Sprintf("%s %s>%s", rec.Kind, rec.From, rec.To)
		say := func(name, value string) {
			if value != "" {
				line += " " + name + "=" + value
			}
		}
		say("reason", string(rec.Reason))
		say("slot", rec.Slot)
		say("component", rec.Component)
		if rec.Sequence > 0 {
			say("sequence", fmt.Sprint(rec.Sequence))
		}
		say("actor", rec.Actor)
		say("at", rec.Uptime.Round(time.Second).String())
		for _, k := range slices.Sorted(maps.Keys(rec.Detail)) {
			say(k, prose(rec.Detail[k]))
		}
		lines = append(lines, line)
	}
	return lines
}

var (
	keyName = regexp.MustCompile(`[0-9a-f]{16,}`)
	fact    = regexp.MustCompile(`[0-9][0-9a-z:.]*|\b[AB]\b|\b[a-z]+(-[a-z]+)+\b`)
)

// prose is a text without its wording: figures, slots and reasons. Names of keys and digests are left out.
func prose(text string) string {
	text = keyName.ReplaceAllString(text, "")
	if !strings.Contains(text, " ") {
		return text
	}
	return `"` + strings.Join(fact.FindAllString(text, -1), " ") + `"`
}

// rest tells what is there in the end, as far as an old agent would see it.
func (r *rig) rest(boots int) (lines []string) {
	r.t.Helper()
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	say("runs: %s after %d boots; A holds %s, B holds %s; counter %d", r.runs(), boots,
		blocksOf(r.w.Disk("/dev/a", 0, slotSize)), blocksOf(r.w.Disk("/dev/b", 0, slotSize)), r.w.CounterValue())
	st := r.state()
	for _, s := range []bootctl.Slot{"A", "B"} {
		x := st.Slots[s]
		say("slot %s: bootable=%v confirmed=%v tries=%d exhausted=%v next=%v",
			s, x.Bootable, x.Confirmed, x.Tries, x.Exhausted, st.Next == s)
	}
	if raw := r.stored(oldread.KeyRecord); raw == nil {
		say("record: none")
	} else {
		rec, err := oldread.ReadRecord(raw)
		say("record: %s target=%s boots=%d cause=%s pending=%s frozen=%v",
			rec.Phase, rec.Target, rec.Boots, rec.Ext.Cause, rec.Ext.Pending, err != nil)
	}
	for _, key := range []string{"outcome", "offer"} {
		var o struct {
			Result   string `cbor:"1,keyasint"`
			Reason   string `cbor:"2,keyasint"`
			Sequence uint64 `cbor:"4,keyasint"`
		}
		if b := r.stored(key); b != nil && cbor.Unmarshal(b, &o) == nil {
			say("%s: %s %s sequence=%d", key, o.Result, o.Reason, o.Sequence)
		}
	}
	if w, ok := oldread.ReadWaiting(r.stored(oldread.KeyWaiting)); ok {
		say("waiting: sequence=%d reason=%s rules=%q failures=%d costly=%d fell=%d reverts=%d broker=%v",
			w.Sequence, w.Reason, w.Rules, w.Failures, w.Costly, w.Fell, w.Reverts, w.Broker)
	}
	err := r.mem.View(func(tx journal.Tx) error {
		return tx.Scan(journal.State, "", func(k string, v []byte) bool {
			var final struct {
				Reason string `cbor:"2,keyasint"`
			}
			if k == "floors" || k == "newest" || strings.HasPrefix(k, "bind/") {
				return true // keys that came after version 0.1
			}
			if strings.HasPrefix(k, "final/") && cbor.Unmarshal(v, &final) == nil {
				say("key %.19s %s", k, final.Reason)
			} else {
				say("key %q", k)
			}
			return true
		})
	})
	if err != nil {
		r.t.Error(err)
	}
	return append(lines, r.quarantined()...)
}

// quarantined tells the newer copy of the quarantine file.
func (r *rig) quarantined() (lines []string) {
	var q oldread.Quarantine
	for _, name := range []string{"/state/quarantine.0", "/state/quarantine.1"} {
		b, _ := r.w.File(name)
		if c, err := oldread.ReadQuarantine(b); err == nil && c.Gen > q.Gen {
			q = c
		}
	}
	for _, e := range q.Entries {
		lines = append(lines, fmt.Sprintf("quarantined: %.15s %s, %d images", e.Digest, e.Cause, len(e.Images)))
	}
	for k, n := range q.Boots {
		lines = append(lines, fmt.Sprintf("boots in quarantine file: %.15s %d", k, n))
	}
	return lines
}

// TestDumpIsTakenUp: what is taken up is what was dumped.
func TestDumpIsTakenUp(t *testing.T) {
	for _, point := range []string{"writing-checkpoint", "trial-2", "permit-ready", "grub-trial"} {
		raw, err := os.ReadFile(filepath.Join(journals, point+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			r, h := takeUp(t, string(raw))
			want := strings.Split(string(raw), "\n")
			got := strings.Split(r.dump(h)+h.has(), "\n")
			for i := range want {
				if strings.HasPrefix(want[i], "anchor ") { // the rig has a release key of its own
					continue
				}
				if i >= len(got) || got[i] != want[i] {
					t.Fatalf("%s: line %d is taken up as another one: %.200s", point, i+1, want[i])
				}
			}
		})
	}
}
