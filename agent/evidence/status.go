package evidence

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// Status is a snapshot of a device, signed and retained by the broker: the newest replaces the
// older. Two of one device are ordered by Head.Seq within a chain, then by Uptime within a boot.
type Status struct {
	Device   string
	Running  string // slot that runs, "other" or "unknown"
	Version  string // of the running system
	Phase    string
	Target   string // slot that is written or on trial
	Manifest string // digest of the manifest in progress
	Sequence uint64 // of the manifest in progress
	Progress int    // per cent of the phase's work, 0..100
	Last     Outcome
	Problem  reason.Reason // what needs a person now, or holds updates up
	Head     Head          // of the evidence
	// highest confirmed sequence number of each component, at most MaxFloors
	Floors map[string]uint64
	Stamp
}

// MaxFloors bounds the components in a status.
const MaxFloors = 16

// Outcome is how the last update ended.
type Outcome struct {
	Result   string // "updated", "reverted", "failed", "refused", "deferred", "stuck"
	Reason   reason.Reason
	Sequence uint64
	Time     time.Time
}

// wireStatus is a status as it is encoded, under the rules of wire.
type wireStatus struct {
	Format   uint64            `cbor:"1,keyasint"`
	Device   string            `cbor:"2,keyasint"`
	Running  string            `cbor:"3,keyasint,omitempty"`
	Version  string            `cbor:"4,keyasint,omitempty"`
	Phase    string            `cbor:"5,keyasint,omitempty"`
	Target   string            `cbor:"6,keyasint,omitempty"`
	Manifest string            `cbor:"7,keyasint,omitempty"`
	Sequence uint64            `cbor:"8,keyasint,omitempty"`
	Progress uint64            `cbor:"9,keyasint,omitempty"`
	Last     *wireOutcome      `cbor:"10,keyasint,omitempty"`
	Problem  string            `cbor:"11,keyasint,omitempty"`
	Head     *wireHead         `cbor:"12,keyasint,omitempty"`
	Wall     uint64            `cbor:"13,keyasint,omitempty"`
	Quality  string            `cbor:"14,keyasint,omitempty"`
	Uptime   uint64            `cbor:"15,keyasint,omitempty"`
	Boot     string            `cbor:"16,keyasint,omitempty"`
	Agent    string            `cbor:"17,keyasint,omitempty"`
	Floors   map[string]uint64 `cbor:"18,keyasint,omitempty"`
	Root     uint64            `cbor:"19,keyasint,omitempty"`
	Newest   uint64            `cbor:"20,keyasint,omitempty"`
	Plan     uint64            `cbor:"21,keyasint,omitempty"`
	Pulse    uint64            `cbor:"22,keyasint,omitempty"`
}

// wireOutcome is [result, reason, sequence, ms since 1970].
type wireOutcome struct {
	_        struct{} `cbor:",toarray"`
	Result   string
	Reason   string
	Sequence uint64
	Time     uint64
}

// SignStatus signs a status: COSE_Sign1 with typ "ratchet-status".
func SignStatus(st Status, s *trust.Signer) ([]byte, error) {
	if !validDevice(st.Device) || !st.Problem.Valid() || !st.Last.Reason.Valid() {
		return nil, fmt.Errorf("cannot sign status of device %q: not a valid device id or reason", st.Device)
	}
	text := func(s string) string { return clean(s, MaxText) }
	w := wireStatus{
		Format: Format, Device: st.Device, Running: text(st.Running), Version: text(st.Version), Phase: text(st.Phase),
		Target: text(st.Target), Manifest: text(st.Manifest), Sequence: st.Sequence,
		Progress: uint64(min(max(st.Progress, 0), 100)), Problem: string(st.Problem), Wall: toMillis(st.Wall),
		Quality: text(st.Quality), Uptime: toUptime(st.Uptime), Boot: text(st.BootID), Agent: text(st.Agent),
		Root: st.Under.Root, Newest: st.Under.Newest, Plan: st.Under.Plan, Pulse: st.Under.Pulse,
	}
	if l := st.Last; l.Result != "" {
		w.Last = &wireOutcome{Result: text(l.Result), Reason: string(l.Reason), Sequence: l.Sequence,
			Time: toMillis(l.Time)}
	}
	if st.Head.Seq != 0 {
		w.Head = st.Head.wire()
	}
	for _, c := range slices.Sorted(maps.Keys(st.Floors)) {
		if w.Floors == nil {
			w.Floors = map[string]uint64{}
		}
		if len(w.Floors) < MaxFloors {
			w.Floors[text(c)] = st.Floors[c]
		}
	}
	b, err := encode(w)
	if err == nil {
		b, err = s.Sign1(b, []byte(aadStatus), TypeStatus)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot sign status: %w", err)
	}
	return b, nil
}

// VerifyStatus checks the signature, then reads the status. signer is the id of the key. That the
// status is of the device under whose topic it was found is for the caller to compare.
func VerifyStatus(msg []byte, keys trust.Keys) (st Status, signer string, err error) {
	if len(msg) > MaxSigned {
		return Status{}, "", fmt.Errorf("cannot read status: %w: %d bytes, at most %d are allowed",
			ErrMalformed, len(msg), MaxSigned)
	}
	b, signer, err := keys.Verify1(msg, []byte(aadStatus), TypeStatus)
	if err != nil {
		return Status{}, "", fmt.Errorf("cannot verify status: %w", err)
	}
	if st, err = decodeStatus(b); err != nil {
		return Status{}, "", fmt.Errorf("cannot read status: %w: %w", ErrMalformed, err)
	}
	return st, signer, nil
}

func decodeStatus(b []byte) (Status, error) {
	var w wireStatus
	if err := unmarshal(b, &w, &w.Format); err != nil {
		return Status{}, err
	}
	st := Status{
		Device: w.Device, Sequence: w.Sequence, Progress: int(min(w.Progress, 100)), Problem: reason.Reason(w.Problem),
		Stamp: Stamp{Wall: fromMillis(w.Wall), Uptime: fromUptime(w.Uptime),
			Under: Under{Root: w.Root, Newest: w.Newest, Plan: w.Plan, Pulse: w.Pulse}},
	}
	texts := map[*string]string{
		&st.Running: w.Running, &st.Version: w.Version, &st.Phase: w.Phase, &st.Target: w.Target,
		&st.Manifest: w.Manifest, &st.Quality: w.Quality, &st.BootID: w.Boot, &st.Agent: w.Agent,
	}
	if l := w.Last; l != nil {
		st.Last = Outcome{Reason: reason.Reason(l.Reason), Sequence: l.Sequence, Time: fromMillis(l.Time)}
		texts[&st.Last.Result] = l.Result
	}
	if !validDevice(st.Device) || !st.Problem.Valid() || !st.Last.Reason.Valid() {
		return Status{}, errors.New("device or reason is none")
	}
	for to, text := range texts {
		if len(text) > MaxText {
			return Status{}, fmt.Errorf("text of %d bytes, at most %d are allowed", len(text), MaxText)
		}
		*to = clean(text, MaxText)
	}
	if len(w.Floors) > MaxFloors {
		return Status{}, fmt.Errorf("floors of %d components, at most %d are allowed", len(w.Floors), MaxFloors)
	}
	for c, n := range w.Floors {
		if len(c) > MaxText {
			return Status{}, fmt.Errorf("text of %d bytes, at most %d are allowed", len(c), MaxText)
		}
		if st.Floors == nil {
			st.Floors = map[string]uint64{}
		}
		st.Floors[clean(c, MaxText)] = n
	}
	if w.Head != nil {
		h, err := w.Head.head()
		if err != nil {
			return Status{}, err
		}
		st.Head = h
	}
	return st, nil
}
