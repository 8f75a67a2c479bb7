package fleet

import (
	"bytes"
	"errors"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/evidence/export"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
)

var errNoMessage = errors.New("not a signed message of a device")

// VerifyRecord verifies one signed record by itself.
func VerifyRecord(msg []byte, keys trust.Keys) (rec evidence.Record, head evidence.Head, err error) {
	s, err := export.Verify(bytes.NewReader(msg), keys, func(r evidence.Record) error {
		rec = r
		return nil
	})
	if err == nil && s.Records != 1 {
		err = errNoMessage
	}
	if err != nil {
		return evidence.Record{}, evidence.Head{}, err
	}
	return rec, s.Chains[0].Head, nil
}

// content takes the payload out of a COSE_Sign1 without asking who signed it. What it returns may be
// shown as unverified, and nothing else.
func content(msg []byte) ([]byte, error) {
	if len(msg) > evidence.MaxSigned {
		return nil, errNoMessage
	}
	var m struct {
		_           struct{} `cbor:",toarray"`
		Protected   []byte
		Unprotected cbor.RawMessage
		Payload     []byte
		Signature   []byte
	}
	var tag cbor.RawTag
	mode, err := LooseMode()
	if err != nil {
		return nil, err
	}
	if mode.Unmarshal(msg, &tag) != nil || tag.Number != 18 || mode.Unmarshal(tag.Content, &m) != nil ||
		m.Payload == nil {
		return nil, errNoMessage
	}
	return m.Payload, nil
}

// LooseMode reads CBOR of any shape within bounds, keys once each.
func LooseMode() (cbor.DecMode, error) {
	return cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden,
		MaxNestedLevels: 8, MaxArrayElements: 64, MaxMapPairs: 64,
	}.DecMode()
}

// UnverifiedRecord reads a record whose signer is not known.
func UnverifiedRecord(msg []byte) (evidence.Record, evidence.Head, error) {
	b, err := content(msg)
	if err != nil {
		return evidence.Record{}, evidence.Head{}, err
	}
	rec, err := evidence.Decode(b)
	if err != nil {
		return evidence.Record{}, evidence.Head{}, err
	}
	head, err := evidence.HeadOf(b)
	return rec, head, err
}

// unverifiedStatus reads what the table shows of a status whose signer is not known (docs/formats/messages.md,
// Status). Texts are made safe to show.
func unverifiedStatus(msg []byte) (evidence.Status, error) {
	b, err := content(msg)
	if err != nil {
		return evidence.Status{}, err
	}
	var w struct {
		Device   string          `cbor:"2,keyasint"`
		Running  string          `cbor:"3,keyasint"`
		Version  string          `cbor:"4,keyasint"`
		Phase    string          `cbor:"5,keyasint"`
		Target   string          `cbor:"6,keyasint"`
		Manifest string          `cbor:"7,keyasint"`
		Sequence uint64          `cbor:"8,keyasint"`
		Progress uint64          `cbor:"9,keyasint"`
		Last     cbor.RawMessage `cbor:"10,keyasint"`
		Problem  string          `cbor:"11,keyasint"`
		Head     cbor.RawMessage `cbor:"12,keyasint"`
		Wall     uint64          `cbor:"13,keyasint"`
		Quality  string          `cbor:"14,keyasint"`
		Agent    string          `cbor:"17,keyasint"`
		Root     uint64          `cbor:"19,keyasint"`
		Newest   uint64          `cbor:"20,keyasint"`
		Plan     uint64          `cbor:"21,keyasint"`
		Pulse    uint64          `cbor:"22,keyasint"`
	}
	mode, err := LooseMode()
	if err != nil || mode.Unmarshal(b, &w) != nil {
		return evidence.Status{}, errors.Join(errNoMessage, err)
	}
	text := func(s string) string { return screen.Cut(manifest.Printable(s), evidence.MaxText) }
	st := evidence.Status{
		Device: text(w.Device), Running: text(w.Running), Version: text(w.Version), Phase: text(w.Phase),
		Target: text(w.Target), Manifest: text(w.Manifest), Sequence: w.Sequence, Progress: int(min(w.Progress, 100)),
		Problem: reason.Reason(text(w.Problem)),
	}
	st.Wall, st.Quality, st.Agent = millis(w.Wall), text(w.Quality), text(w.Agent)
	st.Under = evidence.Under{Root: w.Root, Newest: w.Newest, Plan: w.Plan, Pulse: w.Pulse}
	var last struct {
		_        struct{} `cbor:",toarray"`
		Result   string
		Reason   string
		Sequence uint64
		Time     uint64
	}
	if w.Last != nil && mode.Unmarshal(w.Last, &last) == nil {
		st.Last = evidence.Outcome{Result: text(last.Result), Reason: reason.Reason(text(last.Reason)),
			Sequence: last.Sequence, Time: millis(last.Time)}
	}
	var head struct {
		_     struct{} `cbor:",toarray"`
		Chain []byte
		Seq   uint64
		Hash  []byte
	}
	if w.Head != nil && mode.Unmarshal(w.Head, &head) == nil && len(head.Chain) == len(st.Head.Chain) {
		st.Head = evidence.Head{Chain: [16]byte(head.Chain), Seq: head.Seq}
	}
	return st, nil
}

// millis reads a time in milliseconds since 1970, 0 = not known.
func millis(ms uint64) time.Time {
	if ms == 0 || ms > 253402300799999 { // the year 9999
		return time.Time{}
	}
	return time.UnixMilli(int64(ms)).UTC()
}
