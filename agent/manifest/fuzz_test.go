package manifest_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// anyone accepts every signature.
type anyone struct{}

func (anyone) Authenticate([]byte, [][]byte) ([]string, error) { return []string{"anyone"}, nil }

// deterministic reports what the library says: that b is the only encoding of its value. Values that
// the library cannot hold in Go maps (component identifiers as keys) are passed over.
func deterministic(t *testing.T, b []byte) {
	t.Helper()
	mode, err := cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden}.DecMode()
	if err != nil {
		t.Fatal(err)
	}
	if err := mode.Wellformed(b); err != nil {
		t.Fatalf("accepted what is not well-formed: %v", err)
	}
	var v any
	if err := mode.Unmarshal(b, &v); err != nil {
		return
	}
	if again := enc(v); !bytes.Equal(again, b) {
		t.Fatalf("accepted an encoding that is not deterministic:\n%x\n%x", b, again)
	}
}

func FuzzParse(f *testing.F) {
	for _, g := range goldens() {
		f.Add(g.bytes(f))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := manifest.Parse(b)
		if err != nil {
			return
		}
		if !bytes.Equal(e.Raw(), b) || e.ClaimedDigest().IsZero() {
			t.Fatal("an envelope does not keep its bytes or has no digest")
		}
		deterministic(t, b)
	})
}

// FuzzVerifyResolve reaches the parser and the processor: the digest is made to fit.
func FuzzVerifyResolve(f *testing.F) {
	for _, g := range goldens() {
		var tag cbor.RawTag
		var m map[any][]byte
		if cbor.Unmarshal(g.bytes(f), &tag) != nil || cbor.Unmarshal(tag.Content, &m) != nil {
			continue
		}
		f.Add(m[uint64(3)], m[uint64(20)], m["#app"])
	}
	for _, c := range []craft{
		{install: seq{15, list{nest(20, pars{13: false}, 14, 15), nest(3, 15), nil}, 32,
			nest(20, pars{13: true}, 25, 15, 6, 15)}},
		{install: seq{12, list{0, 0}, 19, pars{21: u}, 20, pars{18: []byte("x"), 12: true}, 18, 15, 21, 2, 3, 15}},
		{components: staged, shared: twoID, install: opened(info(gcm), pars{14: 23})},
		{components: two, shared: twoID, install: seq{12, 0, 34, pars{0: pars{12: false, 21: u}, 1: pars{22: 0}}, 32,
			nest(12, 0, 21, 2, 3, 15), 12, 1, 22, 2}},
		{install: seq{20, pars{18: make([]byte, 23), 19: info(ctr)}, 18, 15, 3, 15}, manifest: pars{14: enc("swid")}},
	} {
		var tag cbor.RawTag
		var m map[any][]byte
		if cbor.Unmarshal(c.build(f), &tag) != nil || cbor.Unmarshal(tag.Content, &m) != nil {
			f.Fatal("seed")
		}
		f.Add(m[uint64(3)], []byte(nil), []byte(nil))
	}
	f.Fuzz(func(t *testing.T, content, install, payload []byte) {
		sum := manifest.Sum(enc(content))
		env := map[any]any{int64(2): enc(list{pdigest(sum), []byte("block")}), int64(3): content}
		if len(install) > 0 {
			env[int64(20)] = install
		}
		if len(payload) > 0 {
			env["#app"] = payload
		}
		e, err := manifest.Parse(enc(cbor.Tag{Number: 107, Content: env}))
		if err != nil {
			return
		}
		m, err := manifest.Verify(e, anyone{})
		if err != nil {
			return
		}
		deterministic(t, content)
		if len(m.Components()) == 0 || len(m.Description("en")) > 4*manifest.MaxShown+4 {
			t.Fatal("a manifest without components, or with endless text")
		}
		targets := map[string]manifest.Target{}
		for i, c := range m.Components() {
			targets[c.String()] = manifest.Target{Slot: i % 2, Holds: digA}
		}
		d := device()
		for range 2 {
			u, err := m.Resolve(d)
			again, err2 := m.Resolve(d)
			if fmt.Sprint(u, err) != fmt.Sprint(again, err2) {
				t.Fatalf("resolving twice gives %v %v and %v %v", u, err, again, err2)
			}
			steps := 0
			traced, err3 := m.Trace(d, func(manifest.Step) { steps++ })
			if fmt.Sprint(u, err) != fmt.Sprint(traced, err3) || steps > 4*manifest.MaxSteps {
				t.Fatalf("a trace of %d steps gives %v %v and not %v %v", steps, traced, err3, u, err)
			}
			r := m.Report(d)
			if (r.Failure != nil) != (err != nil || len(u.Findings) > 0) {
				t.Fatalf("report says %s of %v %v", r, u, err)
			}
			if _, err := manifest.EncodeReport(r); err != nil {
				t.Fatal(err)
			}
			if err != nil && len(u.Installs)+len(u.Findings) > 0 || len(u.Findings) > 0 && len(u.Installs) > 0 {
				t.Fatalf("installs, findings and error at once: %+v %v", u, err)
			}
			for _, i := range u.Installs {
				if i.Image.IsZero() || i.Size <= 0 || i.PayloadSize < 0 ||
					i.URI == "" && i.Content == nil && i.From == "" ||
					i.Stored.Section == 0 || i.Matched.Section == 0 {
					t.Fatalf("install is not complete: %+v", i)
				}
			}
			d.Components = targets
		}
	})
}
