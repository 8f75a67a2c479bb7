package manifest

import (
	"fmt"
	"strings"
)

// frame is one running sequence: its component index and its soft-failure value, neither of which
// leaves it.
type frame struct {
	parent *frame // nil at the top
	index  []int  // selected components
	soft   bool   // draft-ietf-suit-manifest section 8.4.8.14
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
		if o.code == cmdSetIndex {
			f.index = o.index.list
			if o.index.all {
				f.index = nil
				for i := range p.components {
					f.index = append(f.index, i)
				}
			}
			continue
		}
		// A command runs once per selected component, try-each and run-sequence as a whole
		// (draft-ietf-suit-manifest section 6.4.1).
		for _, c := range f.index {
			if p.steps++; p.steps > MaxSteps {
				return nil, p.abort(o, CodeOperation, fmt.Sprintf("more than %d commands to execute", MaxSteps))
			}
			fail, err := p.execute(o, f, c)
			if err != nil {
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

// abort makes the error of a failed directive.
func (p *processor) abort(o *op, code Code, what string) error {
	return &Error{Code: code, Section: p.section, Offset: o.offset, What: commands[o.code].name + ": " + what}
}

// execute runs one command for component c.
func (p *processor) execute(o *op, f *frame, c int) (*failure, error) {
	if commands[o.code].kind == condition {
		holds, missing, detail := p.test(o.code, &p.components[c])
		if holds {
			return nil, nil
		}
		return p.failed(o, c, missing, detail), nil
	}
	switch o.code {
	case cmdOverride, cmdSetParams:
		p.set(o, f, c)
		return nil, nil
	case cmdFetch:
		return nil, p.fetch(o, c)
	case cmdWrite:
		return nil, p.write(o, c)
	case cmdTryEach:
		return p.tryEach(o, f, c)
	case cmdRunSequence:
		// Soft failure starts false; set true inside, a failed condition only ends the sequence.
		inner := &frame{parent: f, index: []int{c}}
		fail, err := p.run(o.branches[0], inner)
		if inner.soft {
			fail = nil
		}
		return fail, err
	}
	panic(fmt.Sprintf("internal error: no execution for %s", commands[o.code].name))
}

func (p *processor) failed(o *op, c int, missing bool, detail string) *failure {
	return &failure{Finding{
		Condition: int(o.code), Component: p.components[c].name,
		Section: p.section, Offset: o.offset, Detail: detail,
	}, missing}
}

// set writes parameters: override-parameters always, set-parameters where none is set yet.
func (p *processor) set(o *op, f *frame, c int) {
	for _, s := range o.settings {
		switch s.key {
		case parStrictOrder:
			// This processor is serial, which satisfies either value.
		case parSoftFailure:
			f.soft = s.value.(bool)
		default:
			v := p.components[c].values
			if _, set := v[s.key]; set && o.code == cmdSetParams {
				continue
			}
			v[s.key] = s.value
			if s.key == parPriority {
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
	for _, branch := range o.branches {
		inner := &frame{parent: f, index: []int{c}, soft: true}
		fail, err := p.run(branch, inner)
		if err != nil || fail == nil || !inner.soft {
			return fail, err
		}
		failures = append(failures, fail)
	}
	if o.orElse {
		return nil, nil
	}
	// One cause in all branches is the cause; otherwise they are told together.
	all := p.failed(o, c, true, "")
	var details []string
	all.Condition = failures[0].Condition
	for _, x := range failures {
		if x.Condition != all.Condition {
			all.Condition = cmdTryEach
		}
		all.missing = all.missing && x.missing
		details = append(details, x.Detail)
	}
	all.Detail = "no alternative applies: " + strings.Join(details, "; ")
	return all, nil
}

// fetch notes what to fetch (draft-ietf-suit-manifest section 8.4.10.4).
func (p *processor) fetch(o *op, i int) error {
	c := &p.components[i]
	uri, ok := get[string](c.values, parURI)
	if !ok {
		return p.abort(o, CodeOperation, "uri is not set")
	}
	args, _ := get[fetchArguments](c.values, parFetchArgs)
	in := &Install{Component: c.name, URI: uri, Mirrors: args.mirrors, Encoding: args.encoding, PayloadSize: args.payloadSize}
	c.content = nil
	if payload, ok := p.m.env.integrated[uri]; ok {
		in.Content = payload.content
		if n := int64(len(in.Content)); in.PayloadSize != 0 && in.PayloadSize != n {
			return p.abort(o, CodeOperation, fmt.Sprintf("integrated payload %s has %d bytes, not %d", uri, n, in.PayloadSize))
		} else if n == 0 {
			return p.abort(o, CodeOperation, fmt.Sprintf("integrated payload %s is empty", uri))
		}
		in.PayloadSize = int64(len(in.Content))
		if in.Encoding == EncodingRaw {
			c.content = in.Content
			in.Size = in.PayloadSize
		}
	} else if strings.HasPrefix(uri, "#") {
		return p.abort(o, CodeOperation, fmt.Sprintf("integrated payload %s is not in the envelope", uri))
	}
	p.hold(i, in)
	return nil
}

// write notes content that the manifest itself carries; its digest is known, and bound with it.
func (p *processor) write(o *op, i int) error {
	c := &p.components[i]
	b, ok := get[[]byte](c.values, parContent)
	if !ok {
		return p.abort(o, CodeOperation, "content is not set")
	}
	c.content = b
	n := int64(len(b))
	p.hold(i, &Install{Component: c.name, Content: b, PayloadSize: n, Size: n, Image: p.sum(SHA256, b)})
	return nil
}

// hold makes in what component i holds, in place of any earlier fetch.
func (p *processor) hold(i int, in *Install) {
	c := &p.components[i]
	if c.install == nil {
		p.order = append(p.order, i)
	}
	c.install, c.holds = in, in.Image
}
