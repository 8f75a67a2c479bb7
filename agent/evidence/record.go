package evidence

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// Format is the version of records and of the status. A reader ignores keys that it does not know
// and refuses a higher number.
const Format = 1

// Protected typ and external_aad of the signed documents.
const (
	TypeEvidence = "ratchet-evidence"
	TypeStatus   = "ratchet-status"
	aadEvidence  = "ratchet/evidence/v1"
	aadStatus    = "ratchet/status/v1"
)

// ErrMalformed: the bytes are no record, or none that this version can read.
var ErrMalformed = errors.New("malformed evidence")

// wire is a record as it is encoded: a CBOR map (RFC 8949 section 4.2.1, deterministic) whose keys
// are these numbers. Empty texts, zero numbers and empty maps are left out. docs/formats/evidence.md has them.
type wire struct {
	Format    uint64            `cbor:"1,keyasint"`
	Chain     []byte            `cbor:"2,keyasint"` // 16 bytes
	Seq       uint64            `cbor:"3,keyasint"`
	Prev      []byte            `cbor:"4,keyasint,omitempty"` // 32 bytes, absent in the first
	Device    string            `cbor:"5,keyasint"`
	Wall      uint64            `cbor:"6,keyasint,omitempty"` // ms since 1970 UTC
	Quality   string            `cbor:"7,keyasint,omitempty"`
	Uptime    uint64            `cbor:"8,keyasint,omitempty"` // ms since the boot
	Boot      string            `cbor:"9,keyasint,omitempty"`
	Agent     string            `cbor:"10,keyasint,omitempty"`
	Kind      string            `cbor:"11,keyasint"`
	Reason    string            `cbor:"12,keyasint,omitempty"`
	From      string            `cbor:"13,keyasint,omitempty"`
	To        string            `cbor:"14,keyasint,omitempty"`
	Slot      string            `cbor:"15,keyasint,omitempty"`
	Component string            `cbor:"16,keyasint,omitempty"`
	Manifest  string            `cbor:"17,keyasint,omitempty"`
	Image     string            `cbor:"18,keyasint,omitempty"`
	Sequence  uint64            `cbor:"19,keyasint,omitempty"`
	Actor     string            `cbor:"20,keyasint,omitempty"`
	Detail    map[string]string `cbor:"21,keyasint,omitempty"`
	Last      *wireHead         `cbor:"22,keyasint,omitempty"` // in the first record only
	Root      uint64            `cbor:"23,keyasint,omitempty"`
	Newest    uint64            `cbor:"24,keyasint,omitempty"`
	Plan      uint64            `cbor:"25,keyasint,omitempty"`
	Pulse     uint64            `cbor:"26,keyasint,omitempty"`
}

// wireHead is [chain, seq, hash].
type wireHead struct {
	_     struct{} `cbor:",toarray"`
	Chain []byte
	Seq   uint64
	Hash  []byte
}

func (h Head) wire() *wireHead { return &wireHead{Chain: h.Chain[:], Seq: h.Seq, Hash: h.Hash[:]} }

func (w wireHead) head() (h Head, err error) {
	if len(w.Chain) != len(h.Chain) || len(w.Hash) != len(h.Hash) || w.Seq == 0 {
		return Head{}, errors.New("head is not [16 bytes, sequence, 32 bytes]")
	}
	h.Seq = w.Seq
	copy(h.Chain[:], w.Chain)
	copy(h.Hash[:], w.Hash)
	return h, nil
}

func encode(v any) ([]byte, error) {
	m, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return nil, fmt.Errorf("internal error: %w", err)
	}
	return m.Marshal(v)
}

func decoder() (cbor.DecMode, error) {
	return cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden,
		MaxNestedLevels: 8, MaxMapPairs: 64, MaxArrayElements: 64,
	}.DecMode()
}

// Begin makes the first record of a chain. why is empty for a new device, or says what became of
// the chain before; last is the last head that is still known of it. chain is 16 random bytes.
func Begin(device string, chain [16]byte, why reason.Reason, last *Head, s Stamp) (rec []byte, h Head, err error) {
	r := Record{Chain: chain, Seq: 1, Device: device, Stamp: s, Event: Event{Kind: KindChain, Reason: why}, Last: last}
	if last != nil && (last.Chain == chain || last.Seq == 0) {
		return nil, Head{}, errors.New("cannot begin a chain: the last known head is not the head of another chain")
	}
	return r.seal()
}

// Next makes the record after h. It fails only on what a program gets wrong: a device id, kind or
// reason that is none.
func (h Head) Next(device string, e Event, s Stamp) (rec []byte, next Head, err error) {
	if h.Seq == 0 || h.Seq == math.MaxUint64 || e.Kind == KindChain {
		return nil, Head{}, fmt.Errorf("cannot record %s after record %d of a chain", e.Kind, h.Seq)
	}
	r := Record{Chain: h.Chain, Seq: h.Seq + 1, Prev: h.Hash, Device: device, Stamp: s, Event: e}
	return r.seal()
}

// seal encodes a record within the limits.
func (r Record) seal() ([]byte, Head, error) {
	if !validDevice(r.Device) || !validKind(r.Kind) || !r.Reason.Valid() {
		return nil, Head{}, fmt.Errorf("cannot record %q of device %q for %q: not a valid kind, device id and reason",
			r.Kind, r.Device, r.Reason)
	}
	for limit := MaxDetail; ; limit /= 2 {
		b, err := encode(r.wire(limit))
		if err != nil {
			return nil, Head{}, fmt.Errorf("cannot encode record: %w", err)
		}
		if len(b) <= MaxRecord {
			return b, Head{Chain: r.Chain, Seq: r.Seq, Hash: sha256.Sum256(b)}, nil
		}
		if limit < 32 {
			return nil, Head{}, fmt.Errorf("internal error: a record of %d bytes", len(b))
		}
	}
}

func (r Record) wire(detail int) wire {
	text := func(s string) string { return clean(s, MaxText) }
	w := wire{
		Format: Format, Chain: r.Chain[:], Seq: r.Seq, Device: r.Device,
		Wall: toMillis(r.Wall), Quality: text(r.Quality), Uptime: toUptime(r.Uptime), Boot: text(r.BootID),
		Agent: text(r.Agent), Kind: string(r.Kind), Reason: string(r.Reason), From: text(r.From), To: text(r.To),
		Slot: text(r.Slot), Component: text(r.Component), Manifest: text(r.Manifest), Image: text(r.Image),
		Sequence: r.Sequence, Actor: text(r.Actor),
		Detail: cleanDetail(r.Detail, detail),
		Root:   r.Under.Root, Newest: r.Under.Newest, Plan: r.Under.Plan, Pulse: r.Under.Pulse,
	}
	if r.Seq > 1 {
		w.Prev = r.Prev[:]
	}
	if r.Last != nil {
		w.Last = r.Last.wire()
	}
	return w
}

// Decode reads one record. Keys that it does not know are ignored (a newer agent wrote them); texts
// are made printable. Errors wrap ErrMalformed.
func Decode(b []byte) (Record, error) {
	r, err := decode(b)
	if err != nil {
		return Record{}, fmt.Errorf("cannot decode record: %w: %w", ErrMalformed, err)
	}
	return r, nil
}

func decode(b []byte) (Record, error) {
	if len(b) > MaxRecord {
		return Record{}, fmt.Errorf("%d bytes, at most %d are allowed", len(b), MaxRecord)
	}
	var w wire
	if err := unmarshal(b, &w, &w.Format); err != nil {
		return Record{}, err
	}
	r := Record{
		Seq: w.Seq, Device: w.Device,
		Stamp: Stamp{Wall: fromMillis(w.Wall), Uptime: fromUptime(w.Uptime),
			Under: Under{Root: w.Root, Newest: w.Newest, Plan: w.Plan, Pulse: w.Pulse}},
		Event: Event{Kind: Kind(w.Kind), Reason: reason.Reason(w.Reason), Sequence: w.Sequence},
	}
	first := w.Seq == 1
	switch {
	case len(w.Chain) != len(r.Chain) || w.Seq == 0:
		return Record{}, errors.New("no chain or no number")
	case first != (w.Kind == string(KindChain)) || first != (len(w.Prev) == 0) || !first && len(w.Prev) != len(r.Prev):
		return Record{}, errors.New("a record is the first of its chain, or it names the one before")
	case w.Last != nil && !first:
		return Record{}, errors.New("only the first record names the head of another chain")
	case !validDevice(w.Device) || !validKind(r.Kind) || !r.Reason.Valid():
		return Record{}, errors.New("device, kind or reason is none")
	case len(w.Detail) > MaxDetails:
		return Record{}, fmt.Errorf("%d details, at most %d are allowed", len(w.Detail), MaxDetails)
	}
	copy(r.Chain[:], w.Chain)
	copy(r.Prev[:], w.Prev)
	for _, t := range []struct {
		to   *string
		text string
	}{
		{&r.Quality, w.Quality}, {&r.BootID, w.Boot}, {&r.Agent, w.Agent}, {&r.From, w.From}, {&r.To, w.To},
		{&r.Slot, w.Slot}, {&r.Component, w.Component}, {&r.Manifest, w.Manifest}, {&r.Image, w.Image},
		{&r.Actor, w.Actor},
	} {
		if len(t.text) > MaxText {
			return Record{}, fmt.Errorf("text of %d bytes, at most %d are allowed", len(t.text), MaxText)
		}
		*t.to = clean(t.text, MaxText)
	}
	for k, v := range w.Detail {
		if len(k) > MaxName || len(v) > MaxDetail {
			return Record{}, fmt.Errorf("detail of %d bytes, at most %d are allowed", len(v), MaxDetail)
		}
	}
	r.Detail = cleanDetail(w.Detail, MaxDetail)
	if w.Last != nil {
		last, err := w.Last.head()
		if err != nil || last.Chain == r.Chain {
			return Record{}, errors.New("the last known head is not the head of another chain")
		}
		r.Last = &last
	}
	return r, nil
}

// unmarshal decodes a document of ours and checks its format number.
func unmarshal(b []byte, v any, format *uint64) error {
	m, err := decoder()
	if err != nil {
		return fmt.Errorf("internal error: %w", err)
	}
	if err := m.Unmarshal(b, v); err != nil {
		return err
	}
	if *format != Format {
		return fmt.Errorf("format %d, this version reads format %d", *format, Format)
	}
	return nil
}

// HeadOf returns the head that an encoded record is.
func HeadOf(rec []byte) (Head, error) {
	r, err := Decode(rec)
	return Head{Chain: r.Chain, Seq: r.Seq, Hash: sha256.Sum256(rec)}, err
}

// Sign signs a record: COSE_Sign1 with typ "ratchet-evidence". It signs nothing that is no record.
func Sign(rec []byte, s *trust.Signer) ([]byte, error) {
	if _, err := Decode(rec); err != nil {
		return nil, fmt.Errorf("cannot sign evidence: %w", err)
	}
	b, err := s.Sign1(rec, []byte(aadEvidence), TypeEvidence)
	if err == nil && len(b) > MaxSigned {
		err = fmt.Errorf("%d bytes, at most %d are allowed", len(b), MaxSigned)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot sign evidence: %w", err)
	}
	return b, nil
}

// Verify checks the signature of one record, then reads it. h is the head that it is, signer the id of
// the key. Whether it continues a chain is for package export to say.
func Verify(msg []byte, keys trust.Keys) (r Record, h Head, signer string, err error) {
	payload, signer, err := keys.Verify1(msg, []byte(aadEvidence), TypeEvidence)
	if err != nil {
		return Record{}, Head{}, "", err
	}
	if r, err = Decode(payload); err != nil {
		return Record{}, Head{}, "", err
	}
	return r, Head{Chain: r.Chain, Seq: r.Seq, Hash: sha256.Sum256(payload)}, signer, nil
}

// First returns the first item of a CBOR sequence, as it stands: io.ErrUnexpectedEOF within the error
// says that b ends within it. What is too deep or too wide for a record is ErrMalformed.
func First(b []byte) (item []byte, err error) {
	m, err := decoder()
	if err != nil {
		return nil, fmt.Errorf("internal error: %w", err)
	}
	var raw cbor.RawMessage
	if _, err := m.UnmarshalFirst(b, &raw); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return raw, nil
}
