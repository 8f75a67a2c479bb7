package agent_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/transport"
)

// twoParts makes the rig's device one whose slots have two parts: rootfs and app.
func twoParts(r *rig) {
	r.w.AddDisk("/dev/a2", slotSize)
	r.w.AddDisk("/dev/b2", slotSize)
	also(r, func(o *agent.Options) {
		o.Slots[0].Parts = map[string]string{"rootfs": "/dev/a", "app": "/dev/a2"}
		o.Slots[1].Parts = map[string]string{"rootfs": "/dev/b", "app": "/dev/b2"}
	})
}

// component is image n as a component's.
func (r *rig) component(name string, n byte) author.Component {
	uri := fmt.Sprintf("https://images.example.com/%d.img", n)
	r.images[uri] = image(n)
	return author.Component{Name: name, Images: []author.Image{{Slot: author.AnySlot, Digest: manifest.Sum(image(n)),
		Size: imageSize, URI: uri, PayloadSize: imageSize}}}
}

// full is a release of both parts, app one of the app alone.
func (r *rig) full(seq uint64, rootfs, app byte) []byte {
	return r.release(seq, rootfs, func(m *author.Release) {
		m.Components = append(m.Components, r.component("app", app))
	})
}

func (r *rig) app(seq uint64, n byte) []byte {
	return r.release(seq, n, func(m *author.Release) { m.Components = []author.Component{r.component("app", n)} })
}

// have wants the slot that runs to hold these images.
func (r *rig) have(slot string, rootfs, app byte) {
	r.t.Helper()
	dev := device(slot)
	if r.runs() != slot || !r.holds(dev, rootfs) || !r.holds(dev+"2", app) || !r.state().Slots["A"].Confirmed {
		r.t.Errorf("%s runs; it should be %s with rootfs %d and app %d\n%s", r.runs(), slot, rootfs, app, r.told())
	}
}

// teams is a rooted device with two parts, on which a key of its own releases the app.
func teams(r *rig) (f *fleet, campaign func(env []byte, seq uint64), byAppTeam func(func() []byte) []byte) {
	r.t.Helper()
	f = rooted(r)
	twoParts(r)
	key, err := trust.Generate(trust.ESP256)
	if err != nil {
		r.t.Fatal(err)
	}
	member := trust.Member{Name: "appteam", Keys: []trust.Key{key.Key()}}
	f.spec.Members = append(f.spec.Members, member)
	role := f.spec.Roles[trust.RoleRelease]
	all := append([]trust.Member{member}, role.Grants[0].Members...)
	role.Grants = append([]trust.Grant{{Threshold: 1, Members: all, Scope: trust.Scope{Component: "app"}}},
		role.Grants...)
	f.spec.Roles[trust.RoleRelease] = role
	f.root()
	r.hear(doc(transport.Root, f.bundle()))
	return f, func(env []byte, seq uint64) { f.admit(env, seq) }, func(make func() []byte) []byte {
		was := r.signer
		defer func() { r.signer = was }()
		r.signer = key
		return make()
	}
}

// admit opens a plan for an envelope, and offers it.
func (f *fleet) admit(env []byte, seq uint64) {
	f.r.t.Helper()
	plan, digest := f.plan(env, seq)
	f.r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(env))
}

// TestNumbersBelongToComponents: who may release only the app uses up the app's numbers and no others. Each
// component has its own floor, and its own binding of a number to a manifest.
func TestNumbersBelongToComponents(t *testing.T) {
	bubble(t, 932, func(r *rig) {
		_, admit, byAppTeam := teams(r)
		admit(r.full(5, 2, 12), 5)
		r.have("B", 2, 12)
		admit(byAppTeam(func() []byte { return r.app(1<<62, 13) }), 1<<62)
		r.have("A", 2, 13)
		f := r.seen.Floor
		if f.Sequence != 1<<62 || f.Components["app"] != 1<<62 || f.Components["rootfs"] != 5 {
			t.Errorf("status shows the floors %+v", f)
		}
		rootfs := func(seq uint64, n byte) []byte { return r.release(seq, n) }
		admit(rootfs(4, 3), 4)
		if s := r.told(); !strings.Contains(s, "rootfs: sequence 4 is lower than 5") {
			t.Errorf("the refusal does not name the component and both numbers:\n%s", s)
		}
		admit(rootfs(6, 3), 6)
		r.have("B", 3, 13)
		admit(r.full(7, 4, 14), 7)
		if s := r.told(); !strings.Contains(s, fmt.Sprintf("app: sequence 7 is lower than %d", uint64(1<<62))) {
			t.Errorf("a release that writes the app too is judged by its floor as well:\n%s", s)
		}
		r.have("B", 3, 13)
	})
}
