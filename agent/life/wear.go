package life

import (
	"fmt"
	"time"

	"github.com/ratchet-ota/ratchet/agent/reason"
)

// What is written into the slot and does not become a confirmed system wears the medium out, and some of
// it is the work of whoever answers in the image server's place. So it is bounded, for all updates of the
// network together: mostWear thousandths of an image in a row, and one image more for each wearDay that
// the device is up. It is durable; a confirmed update takes it back.
const (
	mostWear = 6000
	oneImage = 1000
	wearDay  = 24 * time.Hour
)

// wore counts what a write has put into the slot. What a person brings is theirs.
func (t *turn) wore(e Done) {
	total := int64(0)
	for _, i := range t.Rec.Ext.Images {
		total += i.Size
	}
	n := e.Written - e.Resumed
	if n <= 0 || total <= 0 || t.Rec.Ext.Local {
		return
	}
	t.settleWear()
	t.Wear += int((n*oneImage + total - 1) / total)
}

// wear is what counts now: what was written less what the uptime since it was settled takes back.
func (s *State) wear(now time.Duration) (left int, settled time.Duration) {
	back := int((now - s.WearAt) / (wearDay / oneImage))
	if back >= s.Wear {
		return 0, now
	}
	return s.Wear - back, s.WearAt + time.Duration(back)*(wearDay/oneImage)
}

// settleWear makes what the uptime takes back durable with the next commit.
func (t *turn) settleWear() { t.Wear, t.WearAt = t.wear(t.now()) }

// worn tells whether another whole image would be too much.
func (t *turn) worn() bool {
	left, _ := t.wear(t.now())
	return left+oneImage > mostWear
}

// tooWorn: an image that is in the slot already is not written.
func tooWorn(t *turn) bool {
	r := t.e.(Decided).Ruling
	whole := t.Waiting.Digest == r.Digest && t.Waiting.Budget.Whole
	return r.Outcome == Install && !r.Console && !whole && t.worn()
}

// waitWorn looks again within the hour, so that a device that is seldom up gets on, too.
func waitWorn(t *turn) {
	t.settleWear()
	e := t.e.(Decided)
	r := &e.Ruling
	wait := time.Duration(t.Wear+oneImage-mostWear) * wearDay / oneImage
	r.Outcome, r.Why, r.Rules = Defer, reason.WriteLimit, string(reason.WriteLimit)
	r.First = fmt.Sprintf("%d images were written in vain", t.Wear/oneImage)
	r.Said = string(r.Why) + " (" + r.First + ")"
	r.Detail, r.Retry = map[string]string{string(r.Why): r.First}, min(max(wait, time.Minute), time.Hour)
	t.e = e
	deferOffer(t)
}
