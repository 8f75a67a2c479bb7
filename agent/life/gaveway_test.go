package life_test

import (
	"testing"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// TestFailedOfferOvertakesNobody: a newer offer that failed before would only wait. It does not end an update that is
// written and waits to be armed, and is kept until that has ended.
func TestFailedOfferOvertakesNobody(t *testing.T) {
	newer := ruling()
	newer.Digest, newer.Sequence = "sha256:3333", 3
	for _, failures := range []int{0, 1} {
		s := usual(life.Ready)
		if failures > 0 {
			s.Left = []life.Budget{{Digest: newer.Digest, Failures: failures}}
		}
		next, eff := life.Step(s, life.Decided{Moment: moment, Ask: life.Ask{Offer: true, Over: true}, Ruling: newer})
		if goesOn := next.Rec.Phase == life.Ready && eff.Tell.Missed; goesOn != (failures > 0) {
			t.Errorf("after %d failures: phase %s, kept: %v", failures, next.Rec.Phase, eff.Tell.Missed)
		}
	}
}

// TestArmingRemembersThePanics: the records of panics that there are when the target is armed say nothing against it.
func TestArmingRemembersThePanics(t *testing.T) {
	s := usual(life.Ready)
	s.Found.Reset.Panics = life.Panics{Count: 3, Newest: 77}
	next, _ := life.Step(s, life.Decided{Moment: moment, Ask: life.Ask{Stage: life.Arm}, Ruling: ruling()})
	if next.Rec.Phase != life.Arming || next.Rec.Ext.Panics != s.Found.Reset.Panics {
		t.Errorf("phase %s, the record has %+v", next.Rec.Phase, next.Rec.Ext.Panics)
	}
}

// TestGivenBackTakesThePlaceOfAnotherPart: what is given back waits again, unless an offer waits that is newer and
// writes all that it would write. Nobody offers it again, while the broker has the one that waits.
func TestGivenBackTakesThePlaceOfAnotherPart(t *testing.T) {
	barred := life.Barred{Envelope: []byte("barred"), Digest: "sha256:3333", Sequence: 3,
		Components: []string{"rootfs"}}
	for _, c := range []struct {
		sequence uint64
		writes   []string
		gives    bool // the offer that waits gives way
	}{
		{2, []string{"rootfs"}, true}, {4, []string{"rootfs"}, false}, {4, []string{"app", "rootfs"}, false},
		{4, []string{"app"}, true}, {4, nil, false},
	} {
		s := usual(life.Idle)
		s.Barred, s.Waiting.Sequence, s.Waiting.Components = barred, c.sequence, c.writes
		next, _ := life.Step(s, life.Asked{Moment: moment, Verb: life.VerbRetry, Digest: barred.Digest, Sure: true,
			Cause: reason.FellBack})
		if gives := next.Waiting.Digest == barred.Digest; gives != c.gives || gives != (len(next.Left) == 1) {
			t.Errorf("release %d of %v waits: then %s does, remembered %+v", c.sequence, c.writes, next.Waiting.Digest,
				next.Left)
		}
	}
}
