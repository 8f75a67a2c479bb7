package manifest_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// repeat is a sequence of n times the same command.
func repeat(n int, c ...any) (s seq) {
	for range n {
		s = append(s, c...)
	}
	return s
}

// named are n components.
func named(n int) (l list) {
	for i := range n {
		l = append(l, list{[]byte(fmt.Sprint("c", i))})
	}
	return l
}

func signers(n int) []string { return strings.Split(strings.Repeat("release-p256 ", n)[:13*n-1], " ") }

// padded is an envelope of exactly size bytes: an integrated payload fills it up.
func padded(t testing.TB, size int) []byte {
	at := func(n int) []byte {
		return craft{install: join(seq{20, pars{21: "#p"}}, seq{21, 2}),
			payloads: map[string][]byte{"#p": make([]byte, n)}}.build(t)
	}
	n := size - len(at(1<<15)) + 1<<15
	return at(n)
}

// Every limit at its edge: what has n of something is read, what has one more is not. Whether a
// device would take it is another matter.
func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit int
		make  func(n int) []byte
	}{
		{"MaxEnvelope", manifest.MaxEnvelope, func(n int) []byte { return padded(t, n) }},
		{"MaxDepth",
			manifest.MaxDepth, func(n int) []byte {
				return craft{install: join(seq{32, deep(n - 2)}, inst())}.build(t)
			}},
		{"MaxComponents", manifest.MaxComponents, func(n int) []byte {
			return craft{components: named(n), shared: twoID, install: seq{12, 0, 14, 15}}.build(t)
		}},
		{"MaxComponents in an index", manifest.MaxComponents, func(n int) []byte {
			var l list
			for range n {
				l = append(l, 0)
			}
			return craft{install: seq{12, l, 14, 15}}.build(t)
		}},
		{"MaxComponents in override-multiple", manifest.MaxComponents, func(n int) []byte {
			p := pars{}
			for i := range n {
				p[int64(i)] = pars{5: 1}
			}
			return craft{components: named(manifest.MaxComponents), shared: twoID, install: seq{12, 0, 34, p}}.build(t)
		}},
		{"MaxCommands", manifest.MaxCommands, func(n int) []byte { return craft{install: repeat(n, 14, 15)}.build(t) }},
		{"MaxTotal", manifest.MaxTotal, func(n int) []byte {
			// identify is 3, install has 16 run-sequences, 15 of them full.
			full := seq{}
			for range 15 {
				full = append(full, 32, nest(repeat(manifest.MaxCommands, 14, 15)...))
			}
			return craft{install: append(full, 32, nest(repeat(n-3-16-15*manifest.MaxCommands, 14, 15)...))}.build(t)
		}},
		{"MaxBranches", manifest.MaxBranches, func(n int) []byte {
			var l list
			for range n {
				l = append(l, nest(14, 15))
			}
			return craft{install: seq{15, l}}.build(t)
		}},
		{"MaxURI",
			manifest.MaxURI, func(n int) []byte {
				return craft{install: seq{20, pars{21: strings.Repeat("u", n)}}}.build(t)
			}},
		{"MaxMirrors", manifest.MaxMirrors, func(n int) []byte {
			return craft{
				install: seq{20, pars{25: enc(pars{1: strings.Split(strings.Repeat("u ", n)[:2*n-1], " ")})}}}.build(t)
		}},
		{"MaxBlocks",
			manifest.MaxBlocks, func(n int) []byte { return craft{install: inst(), signers: signers(n)}.build(t) }},
		{"MaxIntegrated", manifest.MaxIntegrated, func(n int) []byte {
			c := craft{payloads: map[string][]byte{}}
			for i := range n {
				c.payloads[fmt.Sprint("#", i)] = []byte{1}
				c.install = append(c.install, 20, pars{21: fmt.Sprint("#", i)})
			}
			return c.build(t)
		}},
		{"MaxName", manifest.MaxName, func(n int) []byte {
			name := strings.Repeat("n", n)
			return craft{install: seq{20, pars{21: name}}, payloads: map[string][]byte{name: {1}}}.build(t)
		}},
		{"MaxParts", manifest.MaxParts, func(n int) []byte {
			id := list{}
			for range n {
				id = append(id, []byte("p"))
			}
			return craft{components: list{id}, install: inst()}.build(t)
		}},
		{"MaxPart", manifest.MaxPart, func(n int) []byte {
			return craft{components: list{list{bytes.Repeat([]byte("p"), n)}}, install: inst()}.build(t)
		}},
		{"MaxVersion", manifest.MaxVersion, func(n int) []byte {
			v := list{1, -1}
			for len(v) < n {
				v = append(v, 0)
			}
			return craft{install: inst(), manifest: pars{6: enc(v)}}.build(t)
		}},
		{"MaxEncryption", manifest.MaxEncryption, func(n int) []byte {
			foreign := list{[]byte{}, pars{1: -6}, make([]byte, n)}
			size := func(fill int) []byte {
				foreign[2] = make([]byte, fill)
				return enc(cborTag(96, list{enc(pars{1: 1}), pars{5: make([]byte, 12)}, nil,
					list{foreign, list{[]byte{}, pars{1: -3}, make([]byte, 24)}}}))
			}
			return craft{install: seq{20, pars{19: size(n - len(size(1024)) + 1024)}, 14, 15}}.build(t)
		}},
		{"MaxRecipients", manifest.MaxRecipients, func(n int) []byte {
			var to list
			for range n {
				to = append(to, list{[]byte{}, pars{1: -3}, make([]byte, 24)})
			}
			return craft{install: seq{20,
				pars{19: enc(cborTag(96, list{enc(pars{1: 1}), pars{5: make([]byte, 12)}, nil, to}))}, 14, 15}}.build(t)
		}},
		{"MaxKeyID", manifest.MaxKeyID, func(n int) []byte {
			to := list{list{[]byte{}, pars{1: -3, 4: make([]byte, n)}, make([]byte, 24)}}
			return craft{install: seq{20,
				pars{19: enc(cborTag(96, list{enc(pars{1: 1}), pars{5: make([]byte, 12)}, nil, to}))}, 14, 15}}.build(t)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at, over := tt.make(tt.limit), tt.make(tt.limit+1)
			if _, err := accept(t, at); err != nil {
				t.Errorf("%d: %v", tt.limit, err)
			}
			if _, err := accept(t, over); err == nil {
				t.Errorf("%d are taken", tt.limit+1)
			}
			if tt.name == "MaxEnvelope" && (len(at) != tt.limit || len(over) != tt.limit+1) {
				t.Errorf("envelopes of %d and %d bytes", len(at), len(over))
			}
		})
	}
	// Blocks are bounded by bytes too, and it is package trust that says no to a long one first.
	long := func(n int) error {
		_, err := manifest.Parse(craft{install: inst(), damage: func(e map[any]any) {
			e[int64(2)] = enc(list{pdigest(manifest.Sum(enc(e[int64(3)]))), make([]byte, n)})
		}}.build(t))
		return err
	}
	if long(manifest.MaxBlock) != nil || long(manifest.MaxBlock+1) == nil {
		t.Error("MaxBlock is not where it should be")
	}
}

// Commands that are executed are counted for every component, and every time.
func TestLimitOfSteps(t *testing.T) {
	eight := list{0, 0, 0, 0, 0, 0, 0, 0}
	run := func(steps int) error {
		// 3 in shared, and 8 x (1 + 8 x 63) here; the rest is filled up.
		inner := append(seq{12, eight}, repeat(63, 20, pars{5: 1})...)
		s := append(seq{12, eight, 32, nest(inner...), 12, 0}, repeat(steps-3-8*(1+8*63), 20, pars{5: 1})...)
		m, err := accept(t, craft{install: s}.build(t))
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.Resolve(device())
		return err
	}
	if err := run(manifest.MaxSteps); err != nil {
		t.Error(err)
	}
	if err := run(manifest.MaxSteps + 1); err == nil || !strings.Contains(err.Error(), "more than 4096 commands") {
		t.Error(err)
	}
}

// Each component of an override-multiple counts as a command.
func TestLimitOfStepsOfOverrideMultiple(t *testing.T) {
	every := pars{}
	for i := range int64(8) {
		every[i] = pars{5: 1}
	}
	run := func(steps int) *manifest.Error {
		// 1 in shared, 8 x (1 + 63 x 8) and the last here; the rest is filled up.
		s := seq{12, list{0, 0, 0, 0, 0, 0, 0, 0}, 32, nest(repeat(63, 34, every)...), 12, 0}
		s = append(s, repeat(steps-1-8*(1+63*8)-1, 20, pars{5: 1})...)
		return refused(t, craft{components: named(8), shared: seq{12, 0, 20, pars{5: 1}},
			install: append(s, 34, pars{0: pars{5: 1}})}.build(t), device())
	}
	if e := run(manifest.MaxSteps); e == nil || e.Code != manifest.CodeComponent {
		t.Errorf("at the bound: %v, want that the device lacks the components", e)
	}
	if e := run(manifest.MaxSteps + 1); e == nil ||
		e.What != "directive-override-multiple: more than 4096 commands to execute" {
		t.Errorf("beyond: %v", e)
	}
}

// However many conditions fail, MaxFindings are told.
func TestLimitOfFindings(t *testing.T) {
	m, err := accept(t,
		craft{install: repeat(manifest.MaxCommands, 14, 15), validate: repeat(manifest.MaxCommands, 14, 15)}.build(t))
	if err != nil {
		t.Fatal(err)
	}
	u, err := m.Resolve(device())
	if err != nil || len(u.Findings) != manifest.MaxFindings {
		t.Errorf("%d findings, %v", len(u.Findings), err)
	}
}
