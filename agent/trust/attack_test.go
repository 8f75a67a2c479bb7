package trust_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/trust"
)

// The attacks of the TUF specification (section 1.5.2) and of Uptane (Standard 2.1, section 5.2) as
// far as signatures and roots are concerned, each in their words. Those on plans, pulses and installs
// are in agent/policy, those on the root itself in attack_root_test.go; the table in SECURITY.md names them all.

// envelopes are what release signers make: a payload with detached blocks.
func envelope(t testing.TB, people ...person) (blocks [][]byte) {
	t.Helper()
	for _, p := range people {
		for _, k := range p.keys {
			blocks = append(blocks, block(t, k))
		}
	}
	return blocks
}

// hostile is a document as nobody of ours writes it.
type hostile struct {
	tag         uint64 // 98 unless set
	body        map[any]any
	unprotected map[any]any
	payload     any
	sigs        []any
	aad         string
	context     string
}

// sign adds a signature that is good for the document as it is, with any headers.
func (h *hostile) sign(t testing.TB, s *trust.Signer, protected, unprotected map[any]any) {
	t.Helper()
	prot := enc(t, protected)
	if len(protected) == 0 {
		prot = []byte{}
	}
	context := h.context
	if context == "" {
		context = "Signature"
	}
	p, ok := h.payload.([]byte)
	if !ok {
		p = payload
	}
	tbs := enc(t, []any{context, enc(t, h.body), prot, []byte(h.aad), p})
	h.sigs = append(h.sigs, []any{prot, unprotected, rawSign(t, s, tbs)})
}

func (h hostile) encode(t testing.TB) []byte {
	t.Helper()
	tag := h.tag
	if tag == 0 {
		tag = 98
	}
	if h.unprotected == nil {
		h.unprotected = map[any]any{}
	}
	return enc(t, cbor.Tag{Number: tag, Content: []any{enc(t, h.body), h.unprotected, h.payload, h.sigs}})
}

func kidOf(t testing.TB, s *trust.Signer) map[any]any { return map[any]any{4: unhex(t, s.Key().ID())} }

func typOf(kind string) map[any]any { return map[any]any{16: "application/ratchet-" + kind} }

// Arbitrary software: whoever has no release key installs nothing, whatever the blocks look like.
func TestAttackArbitrarySoftware(t *testing.T) {
	a := anchor(t, root(t, spec(t), who(t, "alice", trust.ESP384), who(t, "bob"))).Release(trust.Scope{})
	release, mallory := who(t, "release"), who(t, "mallory")
	if got, err := a.Authenticate(payload, envelope(t, release)); err != nil ||
		!slices.Equal(got, []string{release.ID()}) {
		t.Fatalf("the honest envelope: %v, %v", got, err)
	}
	forged := sign1(t, mallory.keys[0], map[any]any{1: -9}, kidOf(t, release.keys[0]), false)
	mac := enc(t, cbor.Tag{Number: 17, Content: []any{enc(t, map[int]int{1: 5}), map[int]int{}, nil, make([]byte, 32)}})
	mac97 := enc(t,
		cbor.Tag{Number: 97, Content: []any{enc(t, map[int]int{1: 5}), map[int]int{}, nil, make([]byte, 32), []any{}}})
	for name, tt := range map[string]struct {
		payload []byte
		blocks  [][]byte
		want    error
	}{
		"nothing is signed":            {payload, nil, trust.ErrNoSigner},
		"a stranger":                   {payload, envelope(t, mallory), trust.ErrNoSigner},
		"a stranger with a stolen kid": {payload, [][]byte{forged}, trust.ErrSignature},
		"another payload":              {[]byte{1}, envelope(t, release), trust.ErrSignature},
		"a MAC":                        {payload, [][]byte{mac}, trust.ErrMalformed},
		"a MAC with recipients":        {payload, [][]byte{mac97}, trust.ErrMalformed},
		"a MAC beside a stranger's":    {payload, append(envelope(t, mallory), mac), trust.ErrNoSigner},
		"an attached payload": {payload,
			[][]byte{sign1(t, release.keys[0], map[any]any{1: -9}, nil, true)}, trust.ErrMalformed},
		"an unknown critical header": {payload, [][]byte{sign1(t, release.keys[0],
			map[any]any{1: -9, 2: []any{900}, 900: 1}, nil, false)}, trust.ErrMalformed},
		"an unprotected algorithm": {payload,
			[][]byte{sign1(t, release.keys[0], nil, map[any]any{1: -9}, false)}, trust.ErrMalformed},
		"an algorithm of another key": {payload, [][]byte{sign1(t, release.keys[0], map[any]any{1: -19},
			kidOf(t, release.keys[0]), false)}, trust.ErrAlgorithm},
		"an algorithm not in the root": {payload,
			[][]byte{sign1(t, release.keys[0], map[any]any{1: -7}, nil, false)}, trust.ErrAlgorithm},
	} {
		if got, err := a.Authenticate(tt.payload, tt.blocks); !errors.Is(err, tt.want) || len(got) > 0 {
			t.Errorf("%s: %v, %v, want %v", name, got, err, tt.want)
		}
	}
	if _, err := (trust.Root{}).Release(trust.Scope{}).Authenticate(payload,
		envelope(t, release)); !errors.Is(err, trust.ErrNoSigner) {
		t.Errorf("no root trusts somebody: %v", err)
	}
}

// The root decides whether the older algorithm identifiers count, and only for envelopes.
func TestOlderAlgorithmsAreTheRootsToAdmit(t *testing.T) {
	s := spec(t)
	s.Algorithms = []int64{trust.ESP384, trust.MLDSA65, trust.Ed25519, trust.ESP256, -7}
	r := anchor(t, root(t, s, who(t, "alice", trust.ESP384), who(t, "bob")))
	release := who(t, "release")
	es256 := [][]byte{sign1(t, release.keys[0], map[any]any{1: -7}, nil, false)}
	if _, err := r.Release(trust.Scope{}).Authenticate(payload, es256); err != nil {
		t.Error(err)
	}
	h := hostile{body: typOf("plan"), payload: payload, aad: "ratchet/plan/v1"}
	h.sign(t, who(t, "campaign", trust.Ed25519).keys[0], map[any]any{1: -8},
		kidOf(t, made(t, "campaign", trust.Ed25519)))
	if _, _, err := r.Verify(trust.RoleCampaign, "plan", h.encode(t)); !errors.Is(err, trust.ErrAlgorithm) {
		t.Errorf("a document signed under -8: %v", err)
	}
}

// Arbitrary software, through the documents of ours: everything about a document that is not exactly
// as it must be refuses it, with signatures that are good for what it is.
func TestAttackForgedDocument(t *testing.T) {
	r := anchor(t, root(t, spec(t), who(t, "alice", trust.ESP384), who(t, "bob")))
	campaign, pulse := made(t, "campaign", trust.Ed25519), made(t, "pulse", trust.Ed25519)
	alg := map[any]any{1: -19}
	base := func() hostile { return hostile{body: typOf("plan"), payload: payload, aad: "ratchet/plan/v1"} }
	good := base()
	good.sign(t, campaign, alg, kidOf(t, campaign))
	if p, ids, err := r.Verify(trust.RoleCampaign, "plan", good.encode(t)); err != nil ||
		!bytes.Equal(p, payload) || len(ids) != 1 {
		t.Fatalf("the honest document: %v", err)
	}
	if ours := cosign(t, "plan", document(t, "plan", payload),
		who(t, "campaign", trust.Ed25519)); !bytes.Equal(ours, good.encode(t)) {
		t.Error("the honest document is not the one that the signer makes")
	}
	for name, tt := range map[string]struct {
		change func(h *hostile)
		by     *trust.Signer
		alg    map[any]any
		kid    map[any]any
		want   error
	}{
		"wrong aad": {change: func(h *hostile) { h.aad = "ratchet/pulse/v1" },
			want: trust.ErrSignature},
		"aad of a later version": {change: func(h *hostile) { h.aad = "ratchet/plan/v2" }, want: trust.ErrSignature},
		"wrong typ":              {change: func(h *hostile) { h.body = typOf("pulse") }, want: trust.ErrMalformed},
		"no typ":                 {change: func(h *hostile) { h.body = map[any]any{} }, want: trust.ErrMalformed},
		"typ and more":           {change: func(h *hostile) { h.body[3] = 0 }, want: trust.ErrMalformed},
		"unknown crit": {change: func(h *hostile) { h.body[2], h.body[900] = []any{900}, 1 },
			want: trust.ErrMalformed},
		"unprotected headers": {change: func(h *hostile) { h.unprotected = map[any]any{3: 0} },
			want: trust.ErrMalformed},
		"payload detached":          {change: func(h *hostile) { h.payload = nil }, want: trust.ErrMalformed},
		"payload empty":             {change: func(h *hostile) { h.payload = []byte{} }, want: trust.ErrMalformed},
		"signature of a COSE_Sign1": {change: func(h *hostile) { h.context = "Signature1" }, want: trust.ErrSignature},
		"tag of a MAC":              {change: func(h *hostile) { h.tag = 97 }, want: trust.ErrMalformed},
		"tag of a COSE_Sign1":       {change: func(h *hostile) { h.tag = 18 }, want: trust.ErrMalformed},
		"algorithm unprotected": {alg: map[any]any{}, kid: map[any]any{1: -19, 4: unhex(t, campaign.Key().ID())},
			want: trust.ErrMalformed},
		"algorithm of another key": {alg: map[any]any{1: -9}, want: trust.ErrAlgorithm},
		"crit in a signature":      {alg: map[any]any{1: -19, 2: []any{900}, 900: 1}, want: trust.ErrMalformed},
		"no kid":                   {kid: map[any]any{}, want: trust.ErrMalformed},
		"a kid that is no hash":    {kid: map[any]any{4: []byte("campaign")}, want: trust.ErrMalformed},
		"a kid of somebody else":   {kid: kidOf(t, pulse), want: trust.ErrNoSigner},
		"a key of another role":    {by: pulse, kid: kidOf(t, pulse), want: trust.ErrNoSigner},
		"a stranger with the kid":  {by: made(t, "mallory", trust.Ed25519), want: trust.ErrSignature},
	} {
		h := base()
		if tt.change != nil {
			tt.change(&h)
		}
		if tt.by == nil {
			tt.by = campaign
		}
		if tt.alg == nil {
			tt.alg = alg
		}
		if tt.kid == nil {
			tt.kid = kidOf(t, campaign)
		}
		h.sign(t, tt.by, tt.alg, tt.kid)
		if p, _, err := r.Verify(trust.RoleCampaign, "plan", h.encode(t)); !errors.Is(err, tt.want) || p != nil {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	twice := base()
	twice.sign(t, campaign, alg, kidOf(t, campaign))
	twice.sign(t, campaign, alg, kidOf(t, campaign))
	if _, _, err := r.Verify(trust.RoleCampaign, "plan", twice.encode(t)); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("one signature twice: %v", err)
	}
	for name, b := range map[string][]byte{
		"untagged":            good.encode(t)[2:],
		"trailing byte":       append(good.encode(t), 0),
		"cut":                 good.encode(t)[:40],
		"tag in a longer way": append([]byte{0xd9, 0x00, 0x62}, good.encode(t)[2:]...),
	} {
		if _, _, err := r.Verify(trust.RoleCampaign, "plan", b); !errors.Is(err, trust.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := r.Verify(trust.RoleCampaign, "plan", nil); !errors.Is(err, trust.ErrEmpty) {
		t.Errorf("an empty message: %v", err)
	}
	// Every single bit of an honest document matters.
	msg := good.encode(t)
	for i := range msg {
		bad := bytes.Clone(msg)
		bad[i] ^= 0x04
		if _, _, err := r.Verify(trust.RoleCampaign, "plan", bad); err == nil {
			t.Fatalf("byte %d changed, and nobody saw it", i)
		}
	}
}

// Key compromise, below a threshold: fewer signers than it takes are worth nothing, however often
// each signs and under however many names.
func TestAttackCompromiseBelowThreshold(t *testing.T) {
	a, b, c := who(t, "a"), who(t, "b", trust.Ed25519), who(t, "c", trust.ESP384, trust.MLDSA65)
	s := with(spec(t), trust.RoleRelease, grant(2, a, b, c))
	auth := anchor(t, root(t, s, who(t, "alice", trust.ESP384), who(t, "bob"))).Release(trust.Scope{})
	twice := [][]byte{block(t, a.keys[0]), sign1(t, a.keys[0], map[any]any{1: -9}, map[any]any{4: []byte("b")}, false)}
	stripped := [][]byte{block(t, a.keys[0]), block(t, c.keys[0])}
	young := [][]byte{block(t, a.keys[0]), block(t, c.keys[1])}
	damaged := envelope(t, a, c)
	damaged[2] = bytes.Clone(damaged[2])
	damaged[2][len(damaged[2])-1] ^= 1
	for name, tt := range map[string]struct {
		blocks [][]byte
		want   error
	}{
		"one of two":                           {envelope(t, a), trust.ErrThreshold},
		"one, twice":                           {twice, trust.ErrThreshold},
		"one and a stranger":                   {envelope(t, a, who(t, "mallory")), trust.ErrThreshold},
		"a pair stripped of its lattice half":  {stripped, trust.ErrThreshold},
		"a pair stripped of its ordinary half": {young, trust.ErrThreshold},
		"a pair whose lattice half is damaged": {damaged, trust.ErrThreshold},
		"a pair on its own, counted as two":    {envelope(t, c), trust.ErrThreshold},
		"keys of other roles":                  {envelope(t, a, who(t, "bob"), who(t, "recovery")), trust.ErrThreshold},
		"two":                                  {envelope(t, a, b), nil},
		"one and a whole pair":                 {envelope(t, a, c), nil},
	} {
		got, err := auth.Authenticate(payload, tt.blocks)
		if !errors.Is(err, tt.want) || err == nil && len(got) != 2 {
			t.Errorf("%s: %v, %v, want %v", name, got, err, tt.want)
		}
	}
}

// TestTooFewSaysHowMany: too few signatures are told with the number that each grant needs, and not as nobody's.
func TestTooFewSaysHowMany(t *testing.T) {
	a, b, c := who(t, "a"), who(t, "b"), who(t, "c")
	boot := grant(3, a, b, c)
	boot.Scope.Component = "boot"
	pair := who(t, "carol", trust.Ed25519, trust.MLDSA65)
	half := person{pair.Member, pair.keys[:1]}
	owners := []person{who(t, "alice", trust.ESP384), who(t, "bob")}
	s := spec(t)
	s.Roles[trust.RoleRoot] = trust.RoleSpec{Generation: 1, Grants: []trust.Grant{grant(2, owners...)}}
	for name, tt := range map[string]struct {
		grants []trust.Grant
		signed person
		want   string
	}{
		"one grant": {[]trust.Grant{grant(2, a, b)}, a, "signed by 1 of the 2 needed: too few signers"},
		"two grants": {[]trust.Grant{boot, grant(2, a, b)}, a, "signed by 1 of the 3 needed for boot, " +
			"by 1 of the 2 needed for other components: too few signers"},
		"of one of two": {[]trust.Grant{boot, grant(2, b, c)}, a,
			"signed by 1 of the 3 needed for boot: too few signers"},
		"half a pair": {[]trust.Grant{grant(1, pair)}, half, "signed by 0 of the 1 needed: too few signers"},
		"half a pair, two grants": {[]trust.Grant{boot, grant(1, pair)}, half,
			"signed by no signer with all keys: too few signers"},
	} {
		r := anchor(t, root(t, with(s, trust.RoleRelease, tt.grants...), owners...))
		_, err := r.Release(trust.Scope{}).Authenticate(payload, envelope(t, tt.signed))
		if err == nil || err.Error() != tt.want || !errors.Is(err, trust.ErrNoSigner) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// Wrong device, by signers: release signers of one class, vendor or component have no say elsewhere,
// and `boot` may ask for more.
func TestAttackSignerOutOfScope(t *testing.T) {
	acme, other, gateway, sensor := [16]byte{1}, [16]byte{2}, [16]byte{3}, [16]byte{4}
	app, boot1, boot2, all := who(t, "app"), who(t, "boot1"), who(t, "boot2"), who(t, "all")
	scoped := func(g trust.Grant, s trust.Scope) trust.Grant { g.Scope = s; return g }
	s := with(spec(t), trust.RoleRelease,
		scoped(grant(2, boot1, boot2, all), trust.Scope{Component: "boot"}),
		scoped(grant(1, app), trust.Scope{Classes: [][16]byte{gateway}, Component: "app"}),
		scoped(grant(1, all), trust.Scope{Vendors: [][16]byte{acme}}))
	r := anchor(t, root(t, s, who(t, "alice", trust.ESP384), who(t, "bob")))
	here := trust.Scope{Vendors: [][16]byte{acme}, Classes: [][16]byte{gateway}}
	for _, tt := range []struct {
		name      string
		device    trust.Scope
		component string
		people    []person
		want      error
	}{
		{"the general team", here, "rootfs", []person{all}, nil},
		{"the application team", here, "app/x", []person{app}, nil},
		{"the application team at the system", here, "rootfs", []person{app}, trust.ErrThreshold},
		{"the application team at a name that only begins alike", here, "apparel", []person{app}, trust.ErrThreshold},
		{"the general team at the application", here, "app", []person{all}, trust.ErrThreshold},
		{"the application team at another class",
			trust.Scope{Vendors: here.Vendors, Classes: [][16]byte{sensor}}, "app", []person{app}, trust.ErrNoSigner},
		{"the general team at another vendor's",
			trust.Scope{Vendors: [][16]byte{other}, Classes: here.Classes}, "rootfs",
			[]person{all}, trust.ErrThreshold},
		{"the application team where nobody may release the system",
			trust.Scope{Vendors: [][16]byte{other}, Classes: here.Classes}, "rootfs",
			[]person{app}, trust.ErrNoSigner},
		{"the general team at a device that does not know what it is",
			trust.Scope{}, "rootfs", []person{all}, trust.ErrThreshold},
		{"one of two at boot", here, "boot", []person{all}, trust.ErrThreshold},
		{"two at boot", here, "boot/spl", []person{all, boot1}, nil},
	} {
		auth := r.Release(tt.device)
		signers, err := auth.Authenticate(payload, envelope(t, tt.people...))
		if err == nil {
			err = auth.Covers(signers, tt.component)
		}
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		tt.device.Component = tt.component
		auth = r.Release(tt.device)
		if signers, err = auth.Authenticate(payload, envelope(t, tt.people...)); err == nil {
			err = auth.Covers(signers, tt.component)
		}
		if (err == nil) != (tt.want == nil) {
			t.Errorf("%s, asked for the component alone: %v", tt.name, err)
		}
	}
	// A plan signed by people whose scope is elsewhere.
	s = with(s, trust.RoleCampaign,
		scoped(grant(1, who(t, "campaign", trust.Ed25519)), trust.Scope{Classes: [][16]byte{gateway}}))
	r = anchor(t, root(t, s, who(t, "alice", trust.ESP384), who(t, "bob")))
	plan := cosign(t, "plan", document(t, "plan", payload), who(t, "campaign", trust.Ed25519))
	if _, _, err := r.At(here).Verify(trust.RoleCampaign, "plan", plan); err != nil {
		t.Error(err)
	}
	for _, r := range []trust.Root{r, r.At(trust.Scope{Classes: [][16]byte{sensor}})} {
		if _, _, err := r.Verify(trust.RoleCampaign, "plan", plan); !errors.Is(err, trust.ErrNoSigner) {
			t.Errorf("a plan by signers of another class: %v", err)
		}
	}
}

// Endless data: whatever is too large is refused before it is decoded, at each bound exactly.
func TestAttackEndlessData(t *testing.T) {
	big := func(n int) []byte { return make([]byte, n) }
	if _, err := trust.ParseBundle(big(trust.MaxBundle + 1)); !errors.Is(err, trust.ErrMalformed) {
		t.Error(err)
	}
	// A length that promises what does not follow.
	endless := []byte{0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	if _, err := trust.ParseBundle(endless); !errors.Is(err, trust.ErrMalformed) {
		t.Error(err)
	}
	r := anchor(t, root(t, spec(t), who(t, "alice", trust.ESP384), who(t, "bob")))
	if _, _, err := r.Verify(trust.RolePulse, "pulse", big(trust.MaxMessage+1)); !errors.Is(err, trust.ErrMalformed) {
		t.Error(err)
	}
	deep := hostile{body: typOf("pulse"), payload: payload, unprotected: map[any]any{9: nested(20)}}
	if _, _, err := r.Verify(trust.RolePulse, "pulse", deep.encode(t)); !errors.Is(err, trust.ErrMalformed) {
		t.Error(err)
	}
	if _, err := trust.BuildDocument("plan", big(trust.MaxMessage)); err == nil {
		t.Error("built what nobody reads")
	}
	if _, err := r.Release(trust.Scope{}).Authenticate(payload,
		[][]byte{big(trust.MaxBlock + 1)}); !errors.Is(err, trust.ErrMalformed) {
		t.Error(err)
	}
}
