package manifest

import (
	"fmt"

	"github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"
)

// SectionShared stands for the shared sequence in Error.Section and Finding.Section: the manifest
// key of "common", which holds it.
const SectionShared = 3

// sequence is a parsed command sequence.
type sequence []op

// op is one command with its argument.
type op struct {
	code     int64
	offset   int    // of the command, in bytes of its section's sequence
	policy   uint64 // reporting policy
	index    index
	branches []sequence // try-each; run-sequence has one
	orElse   bool       // try-each: the last branch is nil and succeeds
	settings []setting
	multiple []assignment // override-multiple
}

// index selects components: by their numbers, or all.
type index struct {
	all    bool
	single bool // an integer, not an array that holds one
	list   []int
}

// assignment is what override-multiple sets for one component.
type assignment struct {
	component int
	settings  []setting
}

// builder parses the sequences of one manifest and counts their commands together.
type builder struct {
	components int
	total      int
}

// section parses a whole sequence; key is its manifest key.
func (p *builder) section(key int, content []byte) (sequence, error) {
	s, err := p.parse(content, 0, 1, key == SectionShared)
	if err != nil {
		e := refused(err, CodeParse, "command sequence is malformed")
		e.Section = key
		return nil, e
	}
	// draft-ietf-suit-manifest section 6.2: with several components the first command says which.
	if p.components > 1 && s[0].code != suit.CommandSetIndex {
		return nil, &Error{Code: CodeParse, Section: key, Offset: 0,
			What: "with several components a sequence must begin with set-component-index"}
	}
	return s, nil
}

// parse reads a sequence whose first byte lies at base within its section.
func (p *builder) parse(content []byte, base, depth int, shared bool) (sequence, error) {
	if depth > MaxDepth {
		return nil,
			&Error{Code: CodeParse, Offset: base, What: fmt.Sprintf("sequences are nested deeper than %d", MaxDepth)}
	}
	r := &reader{b: content}
	n, err := r.array(2, 2*MaxCommands)
	if err != nil {
		return nil, &Error{Code: CodeParse, Offset: base, What: "command sequence is malformed", Err: err}
	}
	if n%2 != 0 {
		return nil, &Error{Code: CodeParse, Offset: base, What: "command sequence has a command without an argument"}
	}
	if p.total += n / 2; p.total > MaxTotal {
		return nil,
			&Error{Code: CodeParse, Offset: base, What: fmt.Sprintf("more than %d commands in one manifest", MaxTotal)}
	}
	seq := make(sequence, 0, n/2)
	for range n / 2 {
		at := base + r.pos
		o, err := p.op(r, base, depth, shared)
		if err != nil {
			e := refused(err, CodeParse, "command is malformed")
			if e.Offset < 0 {
				e.Offset = at
			}
			return nil, e
		}
		o.offset = at
		seq = append(seq, o)
	}
	if err := r.end(); err != nil {
		return nil, &Error{Code: CodeParse, Offset: base, What: "command sequence is malformed", Err: err}
	}
	return seq, nil
}

// op reads one command and its argument.
func (p *builder) op(r *reader, base, depth int, shared bool) (op, error) {
	code, err := r.int()
	if err != nil {
		return op{}, err
	}
	c, e := lookup(code)
	if e != nil {
		return op{}, e
	}
	if shared && !c.shared {
		return op{}, &Error{Code: CodeCommand, Offset: -1, What: c.name + " is not allowed in the shared sequence"}
	}
	o := op{code: code}
	switch c.form {
	case formPolicy:
		o.policy, err = r.uint()
	case formIndex:
		o.index, err = p.index(r)
	case formParams:
		o.settings, err = p.parameters(r, code == suit.CommandSetParams, depth > 1)
	case formMultiple:
		o.multiple, err = p.multiple(r, depth > 1)
	case formSequence:
		var s sequence
		s, err = p.nested(r, base, depth, shared)
		o.branches = []sequence{s}
	case formTryEach:
		o.branches, o.orElse, err = p.tryEach(r, base, depth, shared)
	default:
		panic(fmt.Sprintf("internal error: no reader for the argument of %s", c.name))
	}
	if err != nil {
		return op{}, fmt.Errorf("%s: %w", c.name, err)
	}
	return o, nil
}

// nested reads a sequence wrapped in a byte string.
func (p *builder) nested(r *reader, base, depth int, shared bool) (sequence, error) {
	b, err := r.bytes(MaxEnvelope)
	if err != nil {
		return nil, err
	}
	return p.parse(b, base+r.pos-len(b), depth+1, shared)
}

// tryEach reads [2* sequence, ? nil] (draft-ietf-suit-manifest section 8.4.10.2). One sequence with
// nil is taken too, which the section's text describes.
func (p *builder) tryEach(r *reader, base, depth int, shared bool) (branches []sequence, orElse bool, err error) {
	n, err := r.array(2, MaxBranches)
	if err != nil {
		return nil, false, err
	}
	for i := range n {
		if i == n-1 && r.null() {
			return branches, true, nil
		}
		s, err := p.nested(r, base, depth, shared)
		if err != nil {
			return nil, false, err
		}
		branches = append(branches, s)
	}
	return branches, false, nil
}

// index reads the argument of set-component-index and checks it against the components there are.
func (p *builder) index(r *reader) (index, error) {
	switch r.peek() {
	case suit.MajorOther:
		all, err := r.bool()
		if err == nil && !all {
			return index{}, &Error{Code: CodeParse, Offset: -1, What: "component index false selects nothing"}
		}
		return index{all: true}, err
	case suit.MajorArray:
		n, err := r.array(1, MaxComponents)
		if err != nil {
			return index{}, err
		}
		list := make([]int, n)
		for i := range list {
			if list[i], err = p.number(r); err != nil {
				return index{}, err
			}
		}
		return index{list: list}, nil
	}
	i, err := p.number(r)
	return index{single: true, list: []int{i}}, err
}

// multiple reads the argument of override-multiple (draft-ietf-suit-update-management,
// "suit-directive-override-multiple"): parameters by component index.
func (p *builder) multiple(r *reader, nested bool) (list []assignment, err error) {
	err = r.pairs(1, MaxComponents, func(key []byte) error {
		i, err := p.number(&reader{b: key})
		if err != nil {
			return err
		}
		s, err := p.parameters(r, false, nested)
		list = append(list, assignment{i, s})
		return err
	})
	return list, err
}

// parameters reads the argument of override-parameters and set-parameters, and checks what only the
// whole manifest can tell.
func (p *builder) parameters(r *reader, set, nested bool) ([]setting, error) {
	list, err := r.parameters(set, nested)
	for _, s := range list {
		switch v := s.value.(type) {
		case uint64:
			if s.key == suit.ParameterSource && v >= uint64(p.components) {
				return nil, &Error{Code: CodeComponent, Offset: -1,
					What: fmt.Sprintf("source component %d, the manifest has %d components", v, p.components)}
			}
		}
	}
	return list, err
}

func (p *builder) number(r *reader) (int, error) {
	n, err := r.uint()
	if err != nil {
		return 0, err
	}
	if n >= uint64(p.components) {
		return 0, &Error{Code: CodeComponent, Offset: -1,
			What: fmt.Sprintf("component index %d, the manifest has %d components", n, p.components)}
	}
	return int(n), nil
}
