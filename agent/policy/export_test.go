package policy

import (
	"time"

	"github.com/ratchet-ota/ratchet/agent/reason"
)

// Asked and Ask show to tests what a standing has against an offer, rule by rule.
type Asked = asked

func (s Standing) Ask(o Asked) []Finding { return s.against(o) }

// UntilOpen and OpenAt show the windows to tests, Reasons what each rule may give.
func UntilOpen(windows []Window, now time.Time) (time.Duration, bool) { return untilOpen(windows, now) }

func (w Window) OpenAt(t time.Time) bool { return w.open(t) }

func Reasons() (all [][]reason.Reason) {
	for _, r := range rules {
		all = append(all, r.reasons)
	}
	return all
}
