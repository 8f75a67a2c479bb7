package manifest

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"
)

// Device holds the facts that the processor asks for.
type Device struct {
	Vendors, Classes, Devices []UUID
	Version                   []int64 // running version, nil = unknown
	Now                       time.Time
	TimeKnown                 bool
	BatteryMWh                int64                     // -1 = unknown
	Components                map[string]Target         // by ComponentID.String(); an absent one is not supported
	Authorized                func(priority int64) bool // nil = yes
}

// Target is where a component would be installed.
type Target struct {
	Slot   int    // number of the inactive slot, for condition-component-slot
	Holds  Digest // content that was verified there, zero = unknown
	Passed bool   // nothing is stored there: what is fetched into it goes where it is copied to
}

// Finding is a condition that failed where its failing refuses the manifest.
type Finding struct {
	Condition       int    // command code; 15 when no branch of a try-each applies, for various reasons
	Component       string // the component it was asked for
	Section, Offset int    // of the command, as in Error
	Detail          string // what was asked and what is, for people
}

// Update is what a manifest means for a device. It may be carried out only when Findings is empty.
type Update struct {
	Installs []Install // in the order of their fetches
	Findings []Finding
	Priority int64 // update-priority, smaller is more urgent; 0 when not said
}

// Resolve runs the Update procedure (draft-ietf-suit-manifest section 8.4.6: payload-fetch, install,
// validate, each after the shared sequence) symbolically. Nothing is fetched, written or remembered:
// the same manifest and device always give the same result, but for what Authorized answers.
//
// Where a failed condition would end the procedure it is recorded and processing goes on, so that
// all failing conditions are found. Within try-each and soft run-sequence a failed condition does
// what the standard says. A fetched image is taken to match the first digest that it is compared
// with, which becomes binding.
//
// An error is an *Error: the manifest can never be carried out on this device. Findings come first:
// what goes wrong only after one of them is its consequence and not reported.
func (m Manifest) Resolve(d Device) (Update, error) {
	p, err := m.process(d, nil)
	return p.outcome(err)
}

// Identified reports whether the shared sequence asks for vendor and class, as it should
// (draft-ietf-suit-manifest section 6.2): a manifest that does not is for every device that trusts its
// signers.
func (m Manifest) Identified() bool {
	return m.says().shared.asks(suit.CommandVendor) && m.says().shared.asks(suit.CommandClass)
}

func (s sequence) asks(code int64) bool {
	return slices.ContainsFunc(s, func(o op) bool {
		return o.code == code || slices.ContainsFunc(o.branches, func(b sequence) bool { return b.asks(code) })
	})
}

// process runs the procedure. listen may attach to the processor what it tells.
func (m Manifest) process(d Device, listen func(*processor)) (*processor, error) {
	p := &processor{m: m.says(), d: d, seen: map[Finding]bool{}, sums: map[sumKey]Digest{}}
	if m.says().env.raw == nil {
		return p, &Error{Code: CodeParse, Offset: -1, What: "there is no manifest"}
	}
	if listen != nil {
		listen(p)
	}
	for _, id := range m.says().components {
		name := id.String()
		target, ok := d.Components[name]
		if to, exists := d.Components[strings.TrimSuffix(name, "/"+PayloadPart)]; !ok && exists {
			target = Target{Slot: to.Slot, Passed: true}
		}
		p.components = append(p.components, component{
			name: name, supported: ok, passed: target.Passed, slot: target.Slot, holds: target.Holds, values: values{},
		})
	}
	err := p.procedure()
	if err == nil {
		err = p.complete()
	}
	return p, err
}

// outcome is the result of a procedure that ended with err.
func (p *processor) outcome(err error) (Update, error) {
	u := Update{Findings: p.findings, Priority: p.priority}
	if len(p.findings) > 0 {
		return u, nil
	}
	if err != nil {
		return u, err
	}
	for _, i := range p.order {
		if p.components[i].passed {
			continue
		}
		in := *p.components[i].install
		in.Mirrors, in.Content = slices.Clone(in.Mirrors), bytes.Clone(in.Content)
		c := p.components[i]
		in.ForSlot = p.forSlot || c.asked || p.asked && c.chosen
		u.Installs = append(u.Installs, in)
	}
	return u, nil
}

// processor is the abstract machine of draft-ietf-suit-manifest section 6.4.
type processor struct {
	m          *contents
	d          Device
	components []component
	order      []int // components in the order of their fetches
	section    int
	at         Place // of the condition that is tested
	steps      int
	priority   int64
	findings   []Finding
	asked      bool             // a condition asks for the slot,
	forSlot    bool             // and whatever else is not done where it is another one
	seen       map[Finding]bool // the shared sequence runs several times
	sums       map[sumKey]Digest
	trace      func(Step) // nil = nobody listens
	log        *Report    // collects what reporting policies ask for; nil = nobody listens
}

// sumKey names content within the envelope by where it lies.
type sumKey struct {
	first *byte
	n     int
	alg   int
}

// sum digests content of the envelope once, however often a hostile manifest asks for it.
func (p *processor) sum(alg int, b []byte) Digest {
	k := sumKey{&b[0], len(b), alg}
	d, ok := p.sums[k]
	if !ok {
		d = sum(alg, b)
		p.sums[k] = d
	}
	return d
}

// component is a component's parameters and what it would hold at this point.
type component struct {
	name      string
	supported bool
	passed    bool // see Target
	asked     bool // a condition asks for its slot
	chosen    bool // something is done for it in an alternative
	slot      int
	values    values

	// What it holds: content when that is known, else the image of digest holds, else (with install
	// set and unbound) what install fetches, else something unknown.
	content []byte
	holds   Digest
	install *Install // last fetch or write
}

// unbound reports that a fetch has not been compared with a digest yet.
func (c *component) unbound() bool { return c.install != nil && c.install.Image.IsZero() }

// procedure runs all sections, each after the shared sequence.
func (p *processor) procedure() error {
	sections := p.m.sections
	if len(sections) == 0 {
		sections = []section{{}} // the conditions of the shared sequence are asked all the same
	}
	for _, s := range sections {
		if err := p.top(SectionShared, p.m.shared); err != nil {
			return err
		}
		if s.severed {
			if p.trace != nil {
				p.trace(Step{Section: s.key, Offset: -1, Outcome: Needed, Component: p.components[0].name})
			}
			return &Error{Code: CodeSevering, Section: s.key, Offset: -1,
				What: "section " + elements[int64(s.key)] + " is needed, and was severed from the envelope"}
		}
		if err := p.top(s.key, s.seq); err != nil {
			return err
		}
	}
	return nil
}

func (p *processor) top(key int, s sequence) error {
	p.section = key
	fail, err := p.run(s, &frame{index: []int{0}, single: true})
	if fail != nil {
		panic("internal error: a condition failed at the top without a finding")
	}
	return err
}

// find records a failed condition, once. The procedure ends at the first one: what comes behind is
// not reported.
func (p *processor) find(f failure) {
	p.log = nil
	if f.missing && len(p.findings) > 0 {
		return // a parameter that an earlier, failed part would have set
	}
	if len(p.findings) < MaxFindings && !p.seen[f.Finding] {
		p.seen[f.Finding] = true
		p.findings = append(p.findings, f.Finding)
	}
}
