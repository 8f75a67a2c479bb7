package agent_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// TestMissingPartIsTold: what is missing is told to the fleet and to a person, and no more when it is there.
func TestMissingPartIsTold(t *testing.T) {
	bubble(t, 684, func(r *rig) {
		m := &mailbox{}
		problems := []string{"ratchet.toml:7: mqtt.ca: no such file"}
		r.options = func(o *agent.Options) {
			o.Outbox, o.Problems = m, func() []string { return problems }
		}
		if st := m.status(r); st.Problem != reason.PartMissing {
			t.Errorf("the fleet is told %q", st.Problem)
		}
		shown := func() (st control.Status) {
			r.awake(func(ctx context.Context, a *agent.Agent) { st = a.Console().Status(ctx) })
			return st
		}
		st := shown()
		if !slices.Equal(st.Problems, problems) || !strings.Contains(strings.Join(st.Advice, "\n"), problems[0]) {
			t.Errorf("a person is told %q, and %q to do", st.Problems, st.Advice)
		}
		problems = nil
		if st := m.status(r); st.Problem != reason.None || len(shown().Advice) > 0 {
			t.Errorf("when it is there the fleet is told %q, and a person %q", st.Problem, shown().Advice)
		}
	})
}
