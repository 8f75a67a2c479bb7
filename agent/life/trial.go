package life

import (
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// unreadable: a new system whose agent cannot read its configuration is not healthy. Nor is one that cannot read
// what the agent before has left: confirmed, it could never be updated again.
func unreadable(t *turn) {
	why := reason.ConfigInvalid
	if t.Foreign {
		why = reason.RecordUnknown
	}
	t.back(why, t.Safe[0])
}

// prove asks for the health of the running target. What ends the trial is decided on CLOCK_BOOTTIME
// alone (lie 20).
func prove(t *turn) { t.do(Prove{t.Rec.Ext.Began}) }

func healthRound(t *turn) {
	t.note(t.roundEvent(t.e.(Round).Checks))
	t.eff.Commit.Optional = "cannot record a round of health checks"
	prove(t)
}

//go:noinline
func (t *turn) roundEvent(checks []HealthCheck) evidence.Event {
	e := evidence.Event{Kind: evidence.KindHealth, Slot: string(t.Rec.Target), Manifest: t.Rec.Digest,
		Sequence: t.Rec.Ext.Sequence, To: "holds", Detail: map[string]string{}}
	for _, c := range checks {
		if c.Err != "" && len(e.Detail) < evidence.MaxDetails {
			e.To = "fails"
			e.Detail[c.Name] = c.Err
		}
	}
	return e
}

// already: somebody else confirmed the slot while its health was asked (lie 17).
func already(t *turn) bool {
	v := t.e.(Verdict)
	return v.BootOK && v.Boot.Slots[t.Rec.Target].Confirmed
}

func healthy(t *turn) bool { return t.e.(Verdict).Healthy }

func sealExternally(t *turn) { t.seal(reason.ConfirmedExternally) }

func toConfirming(t *turn) {
	took := t.e.(Verdict).Took.Round(time.Millisecond).String()
	t.move(Confirming, reason.None, evidence.Event{Kind: evidence.KindHealth, Detail: detail("took", took)})
}

func (v Verdict) why() (reason.Reason, string) {
	text := v.Failed
	if v.Text != "" {
		text += ": " + v.Text
	}
	if v.Failed == "soak" {
		return reason.HealthTimeout, text
	}
	return reason.HealthFailed, text
}

// sickAndConfirmed puts the health on record, and seals what somebody else confirmed.
func sickAndConfirmed(t *turn) {
	v := t.e.(Verdict)
	e := t.roundEvent(v.Checks)
	e.Reason, _ = v.why()
	t.note(e)
	sealExternally(t)
}

// onlyRemote: what can be known without the network held, for as long as it has to. Whatever else did not
// may be the work of somebody on the network, and says nothing about the image (loss 24).
func onlyRemote(t *turn) bool { return t.e.(Verdict).Local }

// unreached leaves a system that did not reach something beyond the device. It is tried again, later and
// later; where the broker was missed, not before it is there again.
func unreached(t *turn) {
	_, text := t.e.(Verdict).why()
	t.Budget.Broker = false
	for _, c := range t.e.(Verdict).Checks {
		t.Budget.Broker = t.Budget.Broker || c.Broker && c.Err != ""
	}
	if t.Waits() {
		t.Waiting.Budget.Broker = t.Budget.Broker
	}
	t.back(reason.HealthUnreachable, text)
}

func sick(t *turn) {
	why, text := t.e.(Verdict).why()
	t.back(why, text)
}

// imageTexts are the images that may be to blame. What was carried is not: it runs in the slot that it came
// from.
func (t *turn) imageTexts() []string {
	var out []string
	for _, i := range t.Rec.Ext.Images {
		if !i.Carried {
			out = append(out, i.Text())
		}
	}
	return out
}
