package agent_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent"
)

// TestPartsAreBounded: a slot has as many parts as one release can name, with names that the journal's keys can hold;
// at the bound it is accepted, and one beyond it is not.
func TestPartsAreBounded(t *testing.T) {
	with := func(n, length int) map[string]string {
		out := map[string]string{"rootfs": "/dev/a"}
		for i := 1; i < n; i++ {
			name := fmt.Sprint("part", i)
			out[name+strings.Repeat("x", max(length-len(name), 0))] = "/dev/x"
		}
		return out
	}
	for _, c := range []struct {
		n, length int
		want      string
	}{{8, 0, ""}, {9, 0, "8 at most"}, {2, 200, ""}, {2, 201, "200 bytes at most"}} {
		bubble(t, 971, func(r *rig) {
			var o agent.Options
			r.options = func(made *agent.Options) { o = *made }
			r.agent()
			o.Slots[0].Parts, o.Slots[1].Parts = with(c.n, c.length), with(c.n, c.length)
			err := o.Validate()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d parts, names of %d bytes: %v, want %q", c.n, c.length, err, c.want)
			}
		})
	}
}
