package reason_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/reason"
)

// fates is what each word decides, written out once more: a change of the table is a change here.
// A word that is not listed decides nothing.
var fates = map[reason.Reason]string{
	// Verdicts about an offer.
	reason.WrongVendor:         "Final Quiet",
	reason.WrongClass:          "Final Quiet",
	reason.WrongDevice:         "Final Quiet",
	reason.SequenceBelowFloor:  "Final Quiet",
	reason.AlreadyInstalled:    "Final Quiet Satisfied",
	reason.SequenceReused:      "Final",
	reason.ImageTooLarge:       "Final",
	reason.SlotMissing:         "Final",
	reason.ConditionFailed:     "Final",
	reason.Revoked:             "Final Stops",
	reason.Quarantined:         "Final",
	reason.Withdrawn:           "Final Reserved",
	reason.RootRefused:         "Final",
	reason.PermitVoid:          "Final",
	reason.ManifestUnsupported: "Final",
	reason.EnvelopeMalformed:   "Final ThisCopy",
	reason.DigestMismatch:      "Final ThisCopy",
	reason.SignerUnknown:       "Final ThisCopy Stops",
	reason.SignatureInvalid:    "Final ThisCopy Stops",
	reason.AlgorithmNotAllowed: "Final ThisCopy Stops",

	// What makes an offer wait.
	reason.VersionCondition:    "StepsAside",
	reason.Expired:             "StepsAside",
	reason.WrongSlot:           "StepsAside",
	reason.SlotIncomplete:      "Stops StepsAside",
	reason.StartedBefore:       "StepsAside",
	reason.PlanMissing:         "Ends Stops",
	reason.PlanVoid:            "Ends Stops",
	reason.PlanExpired:         "Ends",
	reason.PlanWithdrawn:       "Ends Stops",
	reason.SignersInsufficient: "Stops",
	reason.SequenceOutOfRange:  "Stops",
	reason.NotInScope:          "Stops",
	reason.NotInCohort:         "Stops",
	reason.Paused:              "Stops",
	reason.Halted:              "Stops",
	reason.SlotBusy:            "Retry=1m0s",
	reason.LowBattery:          "Retry=10m0s",
	reason.NoSpace:             "Retry=1h0m0s",
	reason.BootSafeMode:        "Retry=1h0m0s",
	reason.PartMissing:         "Retry=1m0s",
	reason.StateMoved:          "Retry=1m0s",
	reason.RunningUnproven:     "Retry=1h0m0s",
	reason.RunningUnconfirmed:  "Retry=1h0m0s",

	// How an update ends.
	reason.HealthFailed:        "Blame=1",
	reason.HealthTimeout:       "Blame=1",
	reason.FellBack:            "Blame=2",
	reason.TrialBootsExhausted: "Blame=3",
	reason.ImageCorrupt:        "Costly",
	reason.SourceChanged:       "Costly",
	reason.ReadBackMismatch:    "Costly",
	reason.SlotIO:              "Costly",
	reason.ArmNotLanded:        "Costly",
	reason.OperatorRevert:      "Closes",

	// Nothing gives these; see TestReasonsAreGiven at the root.
	reason.JournalFull:    "Reserved",
	reason.AnchorsInvalid: "Reserved",
	reason.ClockJumped:    "Reserved",
	reason.EvidencePruned: "Reserved",
	reason.NotPermitted:   "Reserved",
	reason.InternalError:  "Reserved",
}

// fate writes every field of an Info but its texts, so that a new field cannot be left out here.
func fate(i reason.Info) string {
	out, v := "", reflect.ValueOf(i)
	for n := range v.NumField() {
		name := v.Type().Field(n).Name
		if name == "Says" || name == "Advice" || v.Field(n).IsZero() {
			continue
		}
		switch x := v.Field(n).Interface().(type) {
		case bool:
		case time.Duration:
			name += "=" + x.String()
		case reason.Blame:
			name += "=" + string(rune('0'+x))
		default:
			name += "=?"
		}
		out += " " + name
	}
	if out == "" {
		return ""
	}
	return out[1:]
}

func TestFates(t *testing.T) {
	all := constants(t)
	for name, r := range all {
		if got := fate(r.Info()); got != fates[r] {
			t.Errorf("%s: fate %q, want %q", name, got, fates[r])
		}
	}
	for r := range fates {
		if !r.Known() {
			t.Errorf("%q is no word of the table", r)
		}
	}
}

// TestBlame: when an image is to blame, by what was armed and by what happened to it before.
func TestBlame(t *testing.T) {
	type at struct{ tries, fallen int }
	for b, want := range map[reason.Blame]map[at]bool{
		reason.NotImage: {{0, 0}: false, {1, 1}: false, {3, 0}: false, {3, 3}: false},
		reason.Image:    {{0, 0}: true, {1, 0}: true, {3, 0}: true, {3, 1}: true},
		reason.ImageIfAgain: {{0, 0}: false, {1, 0}: false, {3, 0}: false, {0, 1}: true,
			{3, 1}: true, {3, 2}: true},
		reason.ImageIfTriedOften: {{0, 0}: false, {1, 0}: false, {2, 0}: true, {3, 0}: true,
			{1, 1}: true, {0, 1}: true},
	} {
		for c, blamed := range want {
			if got := b.OnImage(c.tries, c.fallen > 0); got != blamed {
				t.Errorf("blame %d, %d tries armed, fallen back %d times: %t, want %t",
					b, c.tries, c.fallen, got, blamed)
			}
		}
		if got, counts := b.FallsBack(), b == reason.ImageIfAgain || b == reason.ImageIfTriedOften; got != counts {
			t.Errorf("blame %d counts as a fall-back: %t, want %t", b, got, counts)
		}
	}
}

// TestOnlyTheImageIsQuarantined: what somebody on the path, a bad medium or a bootloader can cause blames no image.
func TestOnlyTheImageIsQuarantined(t *testing.T) {
	want := map[reason.Reason]bool{
		reason.HealthFailed: true, reason.HealthTimeout: true,
		reason.TrialBootsExhausted: true, reason.FellBack: true,
	}
	for name, r := range constants(t) {
		if got := r.Info().Blame.OnImage(3, true); got != want[r] {
			t.Errorf("%s: blamed on the image: %t, want %t", name, got, want[r])
		}
	}
}
