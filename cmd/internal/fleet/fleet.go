// Package fleet keeps what messages have told about devices, and verifies one signed record or status by
// itself.
//
// A broker may lie: it can make up devices, replay old messages and bring those of one device on the topic
// of another. What a device's enrolled key has signed is believed and never replaced by something older;
// what nobody enrolled is shown as unverified; the rest is counted and dropped. The table holds a bounded
// number of devices.
package fleet

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/broker"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

// maxDevices bounds the table: a broker can make up any number of ids.
const maxDevices = 100_000

// What is known of who signed a device's status.
const (
	TrustVerified   = "verified"      // by the enrolled key
	TrustUnverified = "unverified"    // no key is enrolled
	TrustBad        = "bad-signature" // not by the enrolled key; nothing of it is believed
	trustNone       = "no-status"
)

// Fleet is what messages have told about devices.
type Fleet struct {
	keys    func(id string) (trust.Keys, bool, error) // enrolled keys
	devices map[string]*device
	garbage int // messages that say nothing
	beyond  int // messages of devices for which there is no room
	changed map[string]bool
}

// device is one of them.
type device struct {
	presence string // "online", "offline", "" = not said
	status   evidence.Status
	trust    string
	keys     *trust.Keys   // enrolled, nil = not known yet
	head     evidence.Head // newest record that was seen
	event    string        // what it says
	rejected int           // messages that are garbage, replayed, or not signed by the enrolled key
}

// New knows no device yet. keys gives the enrolled keys of a device; ok is false for one that nobody enrolled.
func New(keys func(id string) (trust.Keys, bool, error)) *Fleet {
	return &Fleet{keys: keys, devices: map[string]*device{}, changed: map[string]bool{}}
}

// Take notes one message. It never fails: what is not understood is counted.
func (f *Fleet) Take(p broker.Post) {
	id, leaf, ok := wire.SplitDevice(p.Topic)
	if !ok {
		f.garbage++
		return
	}
	if len(p.Body) == 0 {
		return // a cleared topic says nothing
	}
	d := f.devices[id]
	if d == nil {
		if len(f.devices) >= maxDevices {
			f.beyond++
			return
		}
		d = &device{trust: trustNone}
		f.devices[id] = d
	}
	good := false
	switch leaf {
	case wire.Presence:
		if s := string(p.Body); s == "online" || s == "offline" {
			d.presence, good = s, true
		}
	case wire.Status:
		good = f.status(id, d, p.Body)
	case wire.Evidence:
		good = f.record(id, d, p.Body)
	}
	if !good {
		f.garbage++
		d.rejected++
	}
	f.changed[id] = true
}

// enrolled looks the device's key up until it is there.
func (f *Fleet) enrolled(id string, d *device) (trust.Keys, bool) {
	if d.keys == nil {
		k, ok, err := f.keys(id)
		if err != nil {
			return trust.Keys{}, true // a key that cannot be read verifies nothing
		}
		if !ok {
			return trust.Keys{}, false
		}
		d.keys = &k
	}
	return *d.keys, true
}

// status takes a status that is verified, or of a device that nobody enrolled. A broker may bring
// an old one again: it does not replace a newer one.
func (f *Fleet) status(id string, d *device, body []byte) bool {
	keys, known := f.enrolled(id, d)
	if !known {
		st, err := unverifiedStatus(body)
		if err != nil || st.Device != id {
			return false
		}
		d.status, d.trust = st, TrustUnverified
		return true
	}
	st, _, err := evidence.VerifyStatus(body, keys)
	if err != nil || st.Device != id {
		if d.trust != TrustVerified {
			d.status, d.trust = evidence.Status{}, TrustBad
		}
		return false
	}
	if d.trust == TrustVerified && older(st, d.status) {
		return false
	}
	d.status, d.trust = st, TrustVerified
	return true
}

// older reports whether a was made before b, as far as the two say.
func older(a, b evidence.Status) bool {
	if a.Head.Chain != b.Head.Chain {
		return false
	}
	if a.Head.Seq == b.Head.Seq && a.BootID == b.BootID {
		return a.Uptime < b.Uptime
	}
	return a.Head.Seq < b.Head.Seq
}

// record takes one record of evidence for what it says of the present.
func (f *Fleet) record(id string, d *device, body []byte) bool {
	var (
		rec  evidence.Record
		head evidence.Head
		err  error
	)
	if keys, known := f.enrolled(id, d); known {
		rec, head, err = VerifyRecord(body, keys)
	} else {
		rec, head, err = UnverifiedRecord(body)
	}
	if err != nil || rec.Device != id {
		return false
	}
	if head.Chain != d.head.Chain || head.Seq > d.head.Seq {
		d.head, d.event = head, Sentence(rec)
	}
	return true
}

// View is a device as it is shown, and its JSON form.
type View struct {
	Device   string       `json:"device"`
	Presence string       `json:"presence"` // "online", "offline", "unknown"
	Trust    string       `json:"trust"`
	Running  string       `json:"running,omitempty"`
	Version  string       `json:"version,omitempty"`
	Phase    string       `json:"phase,omitempty"`
	Progress int          `json:"progress,omitempty"` // per cent
	Target   string       `json:"target,omitempty"`
	Sequence uint64       `json:"sequence,omitempty"` // in progress
	Manifest string       `json:"manifest,omitempty"` // in progress
	Last     *OutcomeView `json:"last,omitempty"`
	Problem  string       `json:"problem,omitempty"`
	Root     uint64       `json:"root,omitempty"`     // version of the trust root in force
	Newest   uint64       `json:"newest,omitempty"`   // version of the newest root that the device has verified
	Plan     uint64       `json:"plan,omitempty"`     // sequence of the campaign plan in force
	Pulse    uint64       `json:"pulse,omitempty"`    // sequence of its pulse
	Evidence uint64       `json:"evidence,omitempty"` // number of the newest record
	Event    string       `json:"event,omitempty"`    // what the newest record that was seen says
	Agent    string       `json:"agent,omitempty"`
	Time     *time.Time   `json:"time,omitempty"` // of the status, by the device's clock
	Quality  string       `json:"time-quality,omitempty"`
	Rejected int          `json:"rejected,omitempty"` // messages
}

// OutcomeView is how a device's last update ended.
type OutcomeView struct {
	Result   string     `json:"result"`
	Reason   string     `json:"reason,omitempty"`
	Sequence uint64     `json:"sequence,omitempty"`
	Time     *time.Time `json:"time,omitempty"`
}

func (d *device) view(id string) View {
	st := d.status
	v := View{
		Device: id, Presence: cmp.Or(d.presence, "unknown"), Trust: d.trust,
		Running: st.Running, Version: st.Version, Phase: st.Phase, Progress: st.Progress, Target: st.Target,
		Sequence: st.Sequence, Manifest: st.Manifest, Problem: string(st.Problem), Evidence: st.Head.Seq,
		Event: d.event, Agent: st.Agent, Time: optional(st.Wall), Quality: st.Quality, Rejected: d.rejected,
		Root: st.Under.Root, Newest: st.Under.Newest, Plan: st.Under.Plan, Pulse: st.Under.Pulse,
	}
	if d.head.Chain == st.Head.Chain || st.Head.Seq == 0 {
		v.Evidence = max(v.Evidence, d.head.Seq)
	}
	if st.Last.Result != "" {
		v.Last = &OutcomeView{Result: st.Last.Result, Reason: string(st.Last.Reason), Sequence: st.Last.Sequence,
			Time: optional(st.Last.Time)}
	}
	return v
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Views lists all devices by id.
func (f *Fleet) Views() []View {
	list := make([]View, 0, len(f.devices))
	for _, id := range slices.Sorted(maps.Keys(f.devices)) {
		list = append(list, f.devices[id].view(id))
	}
	return list
}

// News lists the devices that changed since the last call.
func (f *Fleet) News() []View {
	var list []View
	for _, id := range slices.Sorted(maps.Keys(f.changed)) {
		list = append(list, f.devices[id].view(id))
	}
	clear(f.changed)
	return list
}

// Totals counts devices. Those with an update in progress are counted there, the others by how
// their last update ended; silent and unverified ones are counted besides.
type Totals struct {
	Devices    int `json:"devices"`
	InProgress int `json:"in-progress"`
	Updated    int `json:"updated"`
	Failed     int `json:"failed"` // also refused and stuck
	Reverted   int `json:"reverted"`
	Waiting    int `json:"waiting"` // deferred
	Silent     int `json:"silent"`  // not online
	Unverified int `json:"unverified"`
	Garbage    int `json:"garbage"` // messages
}

// Totals counts all devices.
func (f *Fleet) Totals() Totals {
	t := Totals{Devices: len(f.devices), Garbage: f.garbage + f.beyond}
	for _, d := range f.devices {
		switch st := d.status; {
		case st.Phase != "" && st.Phase != "idle":
			t.InProgress++
		case st.Last.Result == "updated":
			t.Updated++
		case st.Last.Result == "reverted":
			t.Reverted++
		case st.Last.Result == "deferred":
			t.Waiting++
		case st.Last.Result != "":
			t.Failed++
		}
		if d.presence != "online" {
			t.Silent++
		}
		if d.trust != TrustVerified {
			t.Unverified++
		}
	}
	return t
}
