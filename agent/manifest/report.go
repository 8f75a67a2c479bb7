package manifest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"
)

// ReportType is the COSE typ of a signed report (RFC 9596; a media type of the form
// application/<ReportType>). A report is signed as COSE_Sign1 with empty external data.
const ReportType = "suit-report+cose"

// Report says what a device made of a manifest (draft-ietf-suit-report, "SUIT_Report"): the signed
// outcome of one procedure.
type Report struct {
	URI      string // reference-uri of the manifest, "" when it has none
	Manifest Digest
	Nonce    []byte        // nil = none
	Entries  []Entry       // in the order in which they came about
	Failure  *Failure      // nil = the procedure was completed
	Can      *Capabilities // nil = not said; worth saying when the manifest asked for too much

	steps []int // when each entry came about, as Place counts; unknown in a decoded report
}

// Entry is a *Record or a *Claim.
type Entry interface{ encode(w *suit.Writer) any }

// Record is what became of one command.
type Record struct {
	Manifest   []uint64 // path of dependencies; empty = the root manifest, the only one of this profile
	Section    int      // manifest key of the sequence
	Offset     uint64   // of the command, in bytes of its section's sequence
	Index      uint64   // of the component
	Properties Properties
}

// Claim is what was measured of a component.
type Claim struct {
	Component  ComponentID
	Properties Properties
}

// Failure is why the procedure ended early.
type Failure struct {
	Code   int64 // for debugging: the command that failed, 0 when it was none
	Record Record
	Reason Code
}

// Properties are measured values by the number of the SUIT parameter that would hold them. A value
// is a UUID (1, 2, 24), Digest (3), uint64 (4, 5, 22, 26), int64 (14, 27), VersionCondition (28),
// bool, string or []byte; of parameters below -256 int64, bool, string or []byte.
type Properties map[int64]any

// Capabilities lists what a manifest processor can do ("SUIT_Capability_Report").
type Capabilities struct {
	Components           []ComponentID
	Commands, Parameters []int64
	Algorithms           []int64 // COSE
	Envelope, Manifest   []int64 // elements
	Common               []int64
	Text, ComponentText  []int64
}

// Report runs the procedure as Resolve does and reports it: as completed when nothing in the
// manifest or on the device is against it, otherwise as failed. Commands are recorded as their
// reporting policies ask (draft-ietf-suit-manifest section 8.4.7), up to MaxRecords. What happens to
// the images afterwards is told with Fail.
func (m Manifest) Report(d Device) Report {
	r := Report{URI: m.says().uri, Manifest: m.Digest()}
	p, err := m.process(d, func(p *processor) { p.log = &r })
	u, err := p.outcome(err)
	var e *Error
	switch {
	case len(u.Findings) > 0:
		f := u.Findings[0]
		i := slices.IndexFunc(p.components, func(c component) bool { return c.name == f.Component })
		r = r.Fail(CodeCondition, Place{Section: f.Section, Offset: f.Offset, Index: i},
			p.measure(int64(f.Condition), &p.components[i]))
		r.Failure.Code = int64(f.Condition)
	case errors.As(err, &e):
		r = r.Fail(e.Code, Place{Section: e.Section, Offset: e.Offset, Index: e.Component}, nil)
	}
	return r
}

// Refused reports an envelope that never became a Manifest, with the error of Parse or Verify. The
// digest is the one that it claims or, where it is no envelope, that of its bytes. What the profile
// can do is added where it asked for more.
func Refused(envelope []byte, err error) Report {
	r := Report{Manifest: Sum(envelope)}
	if e, err := Parse(envelope); err == nil {
		r.Manifest = e.claimed
	}
	x := refused(err, CodeParse, "")
	r = r.Fail(x.Code, Place{Section: x.Section, Offset: x.Offset, Index: x.Component}, nil)
	switch x.Code {
	case CodeAlgorithm, CodeCommand, CodeComponent, CodeParameter, CodeSevering:
		c := ProfileCapabilities(nil)
		r.Can = &c
	}
	return r
}

// Fail makes the report one of a procedure that ended at a place, of a fetch that could not be done,
// say (Install.Stored with CodeOperation), or of an image that is not the one it should be
// (Install.Matched with CodeCondition). What would have come about from there on is dropped.
func (r Report) Fail(why Code, at Place, measured Properties) Report {
	if at.step > 0 && len(r.steps) == len(r.Entries) {
		n, _ := slices.BinarySearch(r.steps, at.step)
		r.Entries, r.steps = r.Entries[:n:n], r.steps[:n:n]
	}
	r.Failure = &Failure{Reason: why, Record: Record{
		Section: at.Section, Offset: uint64(max(at.Offset, 0)), Index: uint64(max(at.Index, 0)), Properties: measured,
	}}
	return r
}

// Bits of a reporting policy.
const (
	recordSuccess = 1 << iota
	recordFailure
	systemSuccess
	systemFailure
)

// record adds what a command's reporting policy asks for.
func (p *processor) record(o *op, c int, ok bool) {
	if p.log == nil {
		return
	}
	policy := o.policy
	if !ok {
		policy >>= 1
	}
	add := func(e Entry) {
		if len(p.log.Entries) < MaxRecords {
			p.log.Entries, p.log.steps = append(p.log.Entries, e), append(p.log.steps, p.steps)
		}
	}
	var measured Properties
	if policy&(recordSuccess|systemSuccess) != 0 {
		measured = p.measure(o.code, &p.components[c])
	}
	if policy&recordSuccess != 0 {
		add(&Record{Section: p.section, Offset: uint64(o.offset), Index: uint64(c), Properties: measured})
	}
	if policy&systemSuccess != 0 && len(measured) > 0 {
		add(&Claim{Component: p.m.components[c], Properties: measured})
	}
}

// measure is the actual value that a condition compared, as far as it is known.
func (p *processor) measure(code int64, c *component) Properties {
	own := func(key int64, have []UUID) Properties {
		if want, _ := get[UUID](c.values, key); slices.Contains(have, want) {
			return Properties{key: want}
		} else if len(have) > 0 {
			return Properties{key: have[0]}
		}
		return Properties{}
	}
	switch code {
	case suit.CommandVendor:
		return own(suit.ParameterVendor, p.d.Vendors)
	case suit.CommandClass:
		return own(suit.ParameterClass, p.d.Classes)
	case suit.CommandDevice:
		return own(suit.ParameterDevice, p.d.Devices)
	case suit.CommandImageMatch, suit.CommandImageDiffers, suit.CommandCheckContent:
		holds := c.holds
		if c.content != nil {
			holds = p.sum(SHA256, c.content)
		}
		if !holds.IsZero() {
			return Properties{suit.ParameterDigest: holds}
		}
	case suit.CommandSlot:
		if c.slot >= 0 {
			return Properties{suit.ParameterSlot: uint64(c.slot)}
		}
	case suit.CommandUseBefore:
		if now := p.d.Now.Unix(); p.d.TimeKnown && now >= 0 {
			return Properties{suit.ParameterUseBefore: uint64(now)}
		}
	case suit.CommandBattery:
		if p.d.BatteryMWh >= 0 {
			return Properties{suit.ParameterBattery: uint64(p.d.BatteryMWh)}
		}
	case suit.CommandVersion:
		if p.d.Version != nil {
			return Properties{suit.ParameterVersion: VersionCondition{CompareEqual, p.d.Version}}
		}
	}
	return Properties{}
}

// ProfileCapabilities lists what this profile can do, with the components of a device.
func ProfileCapabilities(components []ComponentID) Capabilities {
	c := Capabilities{
		Components: components,
		Algorithms: []int64{SHA512, SHA384, SHA256, A128CTR, A256CTR, ECDHA128KW, A256KW, A128KW, A128GCM,
			A256GCM, -9, -19, -51},
		Envelope: []int64{suit.KeyAuthentication, suit.KeyManifest, suit.KeyCoSWID, suit.KeyFetch, suit.KeyInstall,
			suit.KeyText},
		Common: []int64{2, 4}, Text: []int64{1, 2, 3, 4}, ComponentText: []int64{1, 2, 3, 4, 5, 6, 7, 8},
	}
	slices.Sort(c.Algorithms)
	for k, row := range commands {
		if row.refused == "" {
			c.Commands = append(c.Commands, k)
		}
	}
	for k, row := range parameters {
		if row.refused == "" {
			c.Parameters = append(c.Parameters, k)
		}
	}
	for k := range elements {
		if refusedElements[k] == "" {
			c.Manifest = append(c.Manifest, k)
		}
	}
	slices.Sort(c.Commands)
	slices.Sort(c.Parameters)
	slices.Sort(c.Manifest)
	return c
}

// EncodeReport encodes a report deterministically, for the payload of a COSE_Sign1. The last entries
// are left out where all would make more than MaxReport bytes: what a manifest asks to be recorded
// must not keep the outcome from being told.
func EncodeReport(r Report) ([]byte, error) {
	b, err := r.encode()
	for len(b) > MaxReport && len(r.Entries) > 0 {
		r.Entries = r.Entries[:len(r.Entries)*3/4]
		b, err = r.encode()
	}
	if err == nil {
		if _, derr := DecodeReport(b); derr != nil {
			err = fmt.Errorf("nobody could read it: %w", derr)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot encode report: %w", err)
	}
	return b, nil
}

func (r Report) encode() ([]byte, error) {
	w := &suit.Writer{}
	if len(r.Entries) > MaxRecords || len(r.Nonce) > MaxNonce {
		return nil, fmt.Errorf("%d entries and a nonce of %d bytes, at most %d and %d",
			len(r.Entries), len(r.Nonce), MaxRecords, MaxNonce)
	}
	if r.Manifest.IsZero() {
		return nil, errors.New("it names no manifest")
	}
	entries := make([]any, len(r.Entries))
	for i, e := range r.Entries {
		entries[i] = e.encode(w)
	}
	m := map[int64]any{
		suit.ReportReference: []any{r.URI, digested(w, r.Manifest)},
		suit.ReportRecords:   entries,
		suit.ReportResult:    true,
	}
	if r.Nonce != nil {
		m[suit.ReportNonce] = r.Nonce
	}
	if f := r.Failure; f != nil {
		m[suit.ReportResult] = map[int64]any{suit.ReportCode: f.Code, suit.ReportRecord: f.Record.encode(w),
			suit.ReportReason: int(f.Reason)}
	}
	if r.Can != nil {
		m[suit.ReportCapability] = r.Can.encode()
	}
	b := w.Wrap(m)
	return b, w.Err
}

func (r *Record) encode(w *suit.Writer) any {
	path := r.Manifest
	if path == nil {
		path = []uint64{}
	}
	return []any{path, r.Section, r.Offset, r.Index, r.Properties.encode(w)}
}

func (c *Claim) encode(w *suit.Writer) any {
	m := c.Properties.encode(w)
	m[0] = c.Component
	return m
}

func (p Properties) encode(w *suit.Writer) map[int64]any {
	m := map[int64]any{}
	for k, v := range p {
		switch v := v.(type) {
		case UUID:
			m[k] = v[:]
		case Digest:
			m[k] = w.Wrap(digested(w, v))
		case VersionCondition:
			m[k] = w.Wrap([]any{v.Compare, v.Version})
		default:
			m[k] = v
		}
	}
	return m
}

func (c *Capabilities) encode() map[int64]any {
	m := map[int64]any{}
	for k, list := range c.lists() {
		if len(*list) > 0 {
			m[k] = *list
		}
	}
	if len(c.Components) > 0 {
		m[1] = c.Components
	}
	return m
}

// lists has the lists of integers by their keys.
//
//go:noinline
func (c *Capabilities) lists() map[int64]*[]int64 {
	return map[int64]*[]int64{2: &c.Commands, 3: &c.Parameters, 4: &c.Algorithms, 5: &c.Envelope,
		6: &c.Manifest, 7: &c.Common, 8: &c.Text, 9: &c.ComponentText}
}

// String says in a line what the report says.
func (r Report) String() string {
	s := "completed"
	if f := r.Failure; f != nil {
		s = fmt.Sprintf("failed: %s in %s at offset %d, component %d",
			f.Reason, sectionOr(f.Record.Section), f.Record.Offset, f.Record.Index)
	}
	return fmt.Sprintf("manifest %s %s", r.Manifest, s)
}

func sectionOr(key int) string {
	if n := SectionName(key); n != "" {
		return n
	}
	return fmt.Sprintf("section %d", key)
}
