package agent_test

import (
	"slices"
	"testing"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/transport"
)

// TestRootsComeOneByOne: the versions of a root come by themselves, in any order, and with restarts between. Each is
// durable when it is taken, and the device asks for the one that follows.
func TestRootsComeOneByOne(t *testing.T) {
	for name, order := range map[string][]int{"in order": {2, 3, 4, 5}, "backward": {5, 4, 3, 2}, "mixed": {3, 2, 5, 4},
		"again and again": {2, 2, 4, 4, 3, 2, 5, 1}} {
		for _, restart := range []bool{false, true} {
			bubble(t, 691, func(r *rig) {
				f := rooted(r)
				set := r.options
				var asked []uint64
				r.options = func(o *agent.Options) {
					set(o)
					o.AskRoot = func(v uint64) { asked = append(asked, v) }
				}
				for range 4 {
					f.rotateAll()
				}
				var msgs []transport.Message
				for _, v := range order {
					msgs = append(msgs, doc(transport.Root, f.roots[v-1]))
				}
				if restart { // what came too early comes again, as it does from a broker
					for _, m := range slices.Concat(msgs, msgs, msgs, msgs) {
						r.hear(m)
					}
				} else {
					r.hear(msgs...)
				}
				r.hear()
				if got := r.seen.Trust; got.Version != 5 || got.Problem != "" {
					t.Errorf("%s, restart=%v: status says %+v, want version 5", name, restart, got)
				}
				if len(asked) == 0 || asked[len(asked)-1] != 6 || !slices.Contains(asked, 2) {
					t.Errorf("%s: the device asked for %v", name, asked)
				}
				if restart && name == "in order" { // an older image leads to the same root
					r.options = func(o *agent.Options) {
						set(o)
						o.Root = f.roots[0]
					}
					r.hear()
					if got := r.seen.Trust; got.Version != 5 {
						t.Errorf("from a single root as anchor: %+v", got)
					}
				}
			})
		}
	}
}

// TestForgedRootByItself: what somebody else signs in the place of the next root is kept for a while, in vain, and
// takes the place of nothing.
func TestForgedRootByItself(t *testing.T) {
	bubble(t, 692, func(r *rig) {
		f := rooted(r)
		f.rotateAll()
		var msgs []transport.Message
		for i := range 40 { // more than are kept
			b := append([]byte(nil), f.roots[1]...)
			b[len(b)-1-i] ^= 1
			msgs = append(msgs, doc(transport.Root, b))
		}
		r.hear(msgs...)
		if r.seen.Trust.Version != 1 {
			t.Fatalf("root %d is trusted", r.seen.Trust.Version)
		}
		r.hear(append(msgs, doc(transport.Root, f.roots[1]))...)
		if r.seen.Trust.Version != 2 {
			t.Errorf("root %d is trusted, want 2", r.seen.Trust.Version)
		}
		r.is("A", 1, "root-refused")
	})
}

// TestStoredRootsOneByOneAreWhole: one of the roots that came by themselves is gone from the journal.
func TestStoredRootsOneByOneAreWhole(t *testing.T) {
	bubble(t, 693, func(r *rig) {
		f := rooted(r)
		f.rotateAll()
		f.spec.Expires = f.spec.Expires.AddDate(0, 1, 0)
		f.rekey(trust.RolePulse)
		f.root()
		r.hear(doc(transport.Root, f.roots[1]), doc(transport.Root, f.roots[2]))
		r.put("root/\x00\x00\x00\x00\x00\x00\x00\x02", nil)
		r.hear()
		if got := r.seen.Trust; got.Version != 1 || got.Newest != 3 || got.Problem != "root-behind" {
			t.Errorf("status says %+v", got)
		}
		r.hear(doc(transport.Root, f.roots[1]), doc(transport.Root, f.roots[2]))
		r.hear()
		if got := r.seen.Trust; got.Version != 3 || got.Problem != "" {
			t.Errorf("status says %+v when they came again", got)
		}
	})
}
