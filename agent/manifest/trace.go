package manifest

import "strings"

// Outcome is what became of an executed command.
type Outcome string

// Outcomes of commands. What would be done with images is only noted: Done says that nothing in the
// manifest is against it.
const (
	Holds   Outcome = "holds"   // condition
	Binds   Outcome = "binds"   // image-match after a fetch: the payload must prove it
	Fails   Outcome = "fails"   // condition, in a sequence around which that is taken softly
	Refuses Outcome = "refuses" // condition whose failing is the end; what follows is only to find the others
	Done    Outcome = "done"    // directive
	Enters  Outcome = "enters"  // try-each or run-sequence begins a sequence
	Aborts  Outcome = "aborts"  // directive that failed: the end
	Needed  Outcome = "severed" // the section is needed and not there: the end
)

// Step is one command as it was executed for one component.
type Step struct {
	Section, Offset int // as in Error
	Depth           int // 0 in the section itself
	Command         int // 0 when the section is severed
	Name            string
	Index           int
	Component       string
	Outcome         Outcome
	Detail          string
}

// Trace is Resolve, and tells every command to step in the order of execution. Details hold text of
// the manifest's; print them with Printable.
func (m Manifest) Trace(d Device, step func(Step)) (Update, error) {
	p, err := m.process(d, func(p *processor) { p.trace = step })
	return p.outcome(err)
}

// SectionName is the name of a section in Error, Finding and Step.
func SectionName(section int) string {
	if section == SectionShared {
		return "shared-sequence"
	}
	return elements[int64(section)]
}

// CommandName is the name of a command in Finding and Step, "" when there is none of this number.
func CommandName(code int) string { return commands[int64(code)].name }

// ParameterName names a parameter, those too that the profile refuses; "" where SUIT has none.
func ParameterName(key int64) string { return parameters[key].name }

// ElementName names an element of the manifest, those too that the profile refuses; "" where SUIT has none.
func ElementName(key int64) string { return elements[key] }

// tell reports one step. It costs nothing when nobody listens, if detail is cheap.
func (p *processor) tell(o *op, f *frame, c int, out Outcome, detail string) {
	if p.trace == nil {
		return
	}
	p.trace(Step{
		Section: p.section, Offset: o.offset, Depth: f.depth, Command: int(o.code), Name: commands[o.code].name,
		Index: c, Component: p.components[c].name, Outcome: out, Detail: detail,
	})
}

// named lists the names of parameters.
func (p *processor) named(settings []setting) string {
	if p.trace == nil {
		return ""
	}
	var list []string
	for _, s := range settings {
		list = append(list, parameters[s.key].name)
	}
	return strings.Join(list, ", ")
}

// names lists the components of an index.
func (p *processor) names(index []int) string {
	if p.trace == nil {
		return ""
	}
	var list []string
	for _, i := range index {
		list = append(list, p.components[i].name)
	}
	return strings.Join(list, ", ")
}
