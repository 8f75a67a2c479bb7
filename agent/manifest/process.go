package manifest

import (
	"fmt"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"
)

// frame is one running sequence: its component index, its soft-failure and its strict-order, none of
// which leaves it.
type frame struct {
	parent *frame // nil at the top
	depth  int
	index  []int // selected components
	single bool  // the index is an integer
	soft   bool  // draft-ietf-suit-manifest section 8.4.8.15

	// Section 6.7, parallel processing. This processor is serial, which satisfies either order; what
	// a parallel one would have to refuse is refused all the same.
	loose            bool // strict-order is false
	isolated         bool // the sequence may run beside others: its component index is fixed
	first            bool // but its first command may, and then must, select a component
	targets, sources uint // bit sets of components, while loose
}

// nested makes the frame of a sequence within f, for component c.
func (f *frame) nested(c int) *frame {
	return &frame{parent: f, depth: f.depth + 1, index: []int{c}, single: true, isolated: f.isolated}
}

// fatal reports whether a condition that fails in f now would end the whole procedure: nothing
// around it takes the failure softly.
func (f *frame) fatal() bool {
	return f.parent == nil || !f.soft && f.parent.fatal()
}

// failure is a failed condition on its way up.
type failure struct {
	Finding
	missing bool // only because a parameter is not set
}

// run executes a sequence. It returns the condition whose failing ended it, if one did; a failed
// directive is an error and ends everything.
func (p *processor) run(s sequence, f *frame) (*failure, error) {
	for i := range s {
		o := &s[i]
		if o.code == suit.CommandSetIndex || o.code == suit.CommandMultiple {
			if err := p.selects(o, f, i); err != nil {
				return nil, err
			}
			continue
		}
		if f.first && i == 0 {
			return nil, p.abort(o, f.index[0], CodeOperation,
				"a sequence that may run beside others must begin with set-component-index")
		}
		// A command runs once per selected component, try-each and run-sequence as a whole
		// (draft-ietf-suit-manifest section 6.5).
		for _, c := range f.index {
			if err := p.step(o, c); err != nil {
				return nil, err
			}
			fail, err := p.execute(o, f, c)
			if err != nil {
				if e, ok := err.(*Error); ok && e.Offset == o.offset {
					p.tell(o, f, c, Aborts, e.What)
				}
				return nil, err
			}
			if fail == nil {
				continue
			}
			if !f.fatal() {
				return fail, nil
			}
			p.find(*fail)
		}
	}
	return nil, nil
}

// step counts a command before it is executed.
func (p *processor) step(o *op, c int) error {
	if p.steps++; p.steps > MaxSteps {
		return p.abort(o, c, CodeOperation, fmt.Sprintf("more than %d commands to execute", MaxSteps))
	}
	return nil
}

// selects executes the two commands that change the component index. override-multiple is
// set-component-index and override-parameters for each component that it lists, in their order.
func (p *processor) selects(o *op, f *frame, at int) error {
	if f.isolated && !(f.first && at == 0) {
		return p.abort(o, f.index[0], CodeOperation,
			"a sequence that may run beside others must not change the component index")
	}
	if o.code == suit.CommandMultiple {
		for _, a := range o.multiple {
			if err := p.step(o, a.component); err != nil {
				return err
			}
			f.index, f.single = []int{a.component}, true
			p.components[a.component].chosen = p.components[a.component].chosen || f.depth > 0
			p.tell(o, f, a.component, Done, p.named(a.settings))
			p.set(a.settings, true, f, a.component)
		}
		return nil
	}
	f.index, f.single = o.index.list, o.index.single
	if o.index.all {
		for i := range p.components {
			f.index = append(f.index, i)
		}
	}
	p.tell(o, f, f.index[0], Done, p.names(f.index))
	return nil
}

// abort makes the error of a failed directive.
//
//go:noinline
func (p *processor) abort(o *op, c int, code Code, what string) error {
	return &Error{Code: code, Section: p.section, Offset: o.offset, Component: c,
		What: commands[o.code].name + ": " + what}
}

// execute runs one command for component c.
func (p *processor) execute(o *op, f *frame, c int) (*failure, error) {
	if f.depth > 0 {
		p.components[c].chosen = true
	}
	if commands[o.code].kind == condition {
		p.at = p.place(o, c)
		if o.code == suit.CommandSlot {
			p.components[c].asked = true
			p.asked, p.forSlot = true, p.forSlot || f.depth == 0
		}
		v := p.test(o.code, &p.components[c])
		p.record(o, c, v.holds)
		p.tell(o, f, c, v.outcome(f), v.detail)
		if v.holds {
			return nil, nil
		}
		return p.failed(o, c, v.missing, v.detail), nil
	}
	var err error
	switch o.code {
	case suit.CommandOverride, suit.CommandSetParams:
		p.set(o.settings, o.code == suit.CommandOverride, f, c)
		p.tell(o, f, c, Done, p.named(o.settings))
		return nil, nil
	case suit.CommandTryEach:
		return p.tryEach(o, f, c)
	case suit.CommandRunSequence:
		return p.runSequence(o, f, c)
	case suit.CommandFetch:
		err = p.fetch(o, c)
	case suit.CommandWrite:
		err = p.write(o, c)
	case suit.CommandCopy:
		err = p.copy(o, f, c)
	default:
		panic(fmt.Sprintf("internal error: no execution for %s", commands[o.code].name))
	}
	if err == nil {
		err = p.stores(o, f, c)
	}
	if err == nil {
		p.record(o, c, true)
		if p.trace != nil {
			p.tell(o, f, c, Done, p.components[c].install.brief())
		}
	}
	return nil, err
}

// stores notes that a directive has written component c, which must not be a source too while
// strict-order is false (section 6.7).
func (p *processor) stores(o *op, f *frame, c int) error {
	if !f.loose {
		return nil
	}
	f.targets |= 1 << c
	return p.race(o, f, c)
}

// race fails when a component is both target and source in a sequence without order.
func (p *processor) race(o *op, f *frame, c int) error {
	if both := f.targets & f.sources; both != 0 {
		return p.abort(o, c, CodeOperation, "a component is target and source while strict-order is false")
	}
	return nil
}

func (p *processor) failed(o *op, c int, missing bool, detail string) *failure {
	return &failure{Finding{
		Condition: int(o.code), Component: p.components[c].name,
		Section: p.section, Offset: o.offset, Detail: detail,
	}, missing}
}

// set writes parameters: override always, otherwise where none is set yet.
//
//go:noinline
func (p *processor) set(settings []setting, override bool, f *frame, c int) {
	for _, s := range settings {
		switch s.key {
		case suit.ParameterStrictOrder:
			if f.loose = !s.value.(bool); !f.loose {
				f.targets, f.sources = 0, 0 // all that was begun has completed
			}
		case suit.ParameterSoftFailure:
			f.soft = s.value.(bool)
		default:
			v := p.components[c].values
			if _, set := v[s.key]; set && !override {
				continue
			}
			v[s.key] = s.value
			if s.key == suit.ParameterPriority {
				p.priority = s.value.(int64)
			}
		}
	}
}

// tryEach runs the branches until one completes. A failed condition in a branch starts the next,
// unless the branch has set soft-failure to false: then, and when no branch completes, try-each
// fails as that condition did. Parameters of a failed branch stay set, as the standard has it.
func (p *processor) tryEach(o *op, f *frame, c int) (*failure, error) {
	var failures []*failure
	for i, branch := range o.branches {
		if p.trace != nil {
			p.tell(o, f, c, Enters, fmt.Sprintf("alternative %d of %d", i+1, len(o.branches)))
		}
		inner := f.nested(c)
		inner.soft = true
		fail, err := p.run(branch, inner)
		if fail == nil || !inner.soft {
			return fail, err
		}
		failures = append(failures, fail)
	}
	if o.orElse {
		p.tell(o, f, c, Done, "no alternative applies, which this manifest allows")
		return nil, nil
	}
	// One cause in all branches is the cause; otherwise they are told together.
	all := p.failed(o, c, true, "")
	var details []string
	all.Condition = failures[0].Condition
	for _, x := range failures {
		if x.Condition != all.Condition {
			all.Condition = suit.CommandTryEach
		}
		all.missing = all.missing && x.missing
		details = append(details, x.Detail)
	}
	all.Detail = clip("no alternative applies: " + strings.Join(details, "; "))
	p.tell(o, f, c, verdict{}.outcome(f), "no alternative applies")
	return all, nil
}

// clip bounds a detail: those of nested alternatives add up.
func clip(s string) string {
	if len(s) > MaxShown {
		return s[:MaxShown] + "…"
	}
	return s
}

// runSequence runs the argument once. Soft failure starts false; set true inside, a failed condition
// only ends the sequence (section 8.4.10.8). While strict-order is false the argument may run beside
// others: it gets an order of its own, and its component index is fixed (section 6.7).
func (p *processor) runSequence(o *op, f *frame, c int) (*failure, error) {
	p.tell(o, f, c, Enters, "")
	inner := f.nested(c)
	if f.loose {
		inner.isolated, inner.first = true, f.single
	}
	fail, err := p.run(o.branches[0], inner)
	if inner.soft {
		fail = nil
	}
	return fail, err
}
