package evidence

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/broker"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/fleet"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

const (
	flushEvery = 250 * time.Millisecond
	askEvery   = 20 * time.Second // for the same records
	askTimes   = 3                // then they count as gone
	maxPending = 512              // records of one device between two flushes
	maxShelves = 100_000
	maxForked  = 1 << 20 // bytes of a file of forked records
)

// collector stores what devices send.
type collector struct {
	c       cli.Console
	dir     string
	keys    func(id string) (trust.Keys, bool, error)
	now     func() time.Time
	devices map[string]*source
	skipped int // messages that are not verified
}

// source is a device that evidence comes from.
type source struct {
	shelf   *shelf
	keys    trust.Keys
	status  evidence.Head // newest that a status named
	gone    uint64        // numbers up to this one of the newest chain are not asked for
	chain   [16]byte      // to which gone belongs
	asked   uint64        // the number that was asked for last, 0 = none
	times   int
	at      time.Time
	told    bool // something about it was said already
	written int
	unheard bool // not enrolled, or unusable
}

// Options say what is collected, and where it is stored.
type Options struct {
	Broker broker.Options
	Keys   func(id string) (trust.Keys, bool, error) // enrolled keys of a device
	Dir    string                                    // folder of the files; it is made
	Limit  time.Duration                             // ends after it; 0 = when ctx ends
}

// Collect stores evidence until ctx ends.
func Collect(ctx context.Context, c cli.Console, o Options) error {
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return fmt.Errorf("cannot collect evidence: %w", err)
	}
	if o.Limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Limit)
		defer cancel()
	}
	k := newCollector(c, o.Dir, o.Keys)
	topics := []string{wire.DeviceTopic(wire.Any, wire.Status), wire.DeviceTopic(wire.Any, wire.Evidence)}
	err := broker.Follow(ctx, c, o.Broker, topics, flushEvery, k.take, k.tick)
	k.goodbye()
	return errors.Join(err, k.flush())
}

func newCollector(c cli.Console, dir string, keys func(id string) (trust.Keys, bool, error)) *collector {
	return &collector{c: c, dir: dir, keys: keys, now: time.Now, devices: map[string]*source{}}
}

// take notes one message.
func (k *collector) take(p broker.Post) {
	id, leaf, ok := wire.SplitDevice(p.Topic)
	if !ok || len(p.Body) == 0 {
		return
	}
	s := k.source(id)
	if s == nil || s.unheard {
		k.skipped++
		return
	}
	switch leaf {
	case wire.Status:
		st, _, err := evidence.VerifyStatus(p.Body, s.keys)
		if err != nil || st.Device != id {
			k.doubt(id, s, "a status that is not signed by its enrolled key was ignored")
			return
		}
		s.status, s.times = st.Head, 0
	case wire.Evidence:
		rec, head, err := fleet.VerifyRecord(p.Body, s.keys)
		if err != nil || rec.Device != id {
			k.doubt(id, s, "a record that is not signed by its enrolled key was ignored")
			return
		}
		k.store(id, s, signed{head, p.Body})
	}
}

// store puts a record on the device's shelf.
func (k *collector) store(id string, s *source, r signed) {
	switch s.shelf.put(r) {
	case isNew:
		s.written++
		if len(s.shelf.pending) >= maxPending {
			if err := s.shelf.flush(); err != nil {
				k.doubt(id, s, err.Error())
			}
		}
	case isThere:
		// The device sends in order from the number that was asked for. If it begins with a later one,
		// it does not have what is in between.
		if s.asked > 0 && r.Head.Chain == s.chain && r.Head.Seq > s.asked {
			k.c.Warn("%s: the device does not send records %d to %d of chain %s; they are considered lost",
				id, s.asked, r.Head.Seq-1, hex.EncodeToString(s.chain[:4]))
			s.gone, s.asked = max(s.gone, r.Head.Seq-1), 0
		}
	case isForked:
		k.c.Warn("%s: FORKED: two different records have number %d of chain %s",
			id, r.Head.Seq, hex.EncodeToString(r.Head.Chain[:4]))
		other := &shelf{path: filepath.Join(k.dir, id+".forked")}
		if st, err := os.Stat(other.path); err == nil {
			other.size = st.Size()
		}
		if other.size < maxForked {
			other.put(r)
			if err := other.flush(); err != nil {
				k.c.Warn("%s: %v", id, err)
			}
		}
	}
}

// doubt says something about a device, once.
func (k *collector) doubt(id string, s *source, text string) {
	k.skipped++
	if !s.told {
		s.told = true
		k.c.Warn("%s: %s", id, screen.Lines(text))
	}
}

// source finds a device, nil when there are too many. A device that is not enrolled is looked up
// again once a minute.
func (k *collector) source(id string) *source {
	s := k.devices[id]
	if s != nil && (!s.unheard || k.now().Sub(s.at) < time.Minute) {
		return s
	}
	if s == nil {
		if len(k.devices) >= maxShelves {
			return nil
		}
		s = &source{}
		k.devices[id] = s
	}
	s.at = k.now()
	keys, ok, err := k.keys(id)
	switch {
	case err != nil:
		s.unheard = true
		k.doubt(id, s, "its enrolled key cannot be used: "+err.Error())
		return s
	case !ok:
		s.unheard = true
		k.doubt(id, s, "not enrolled, its evidence is not collected; see `ratchet-release help enroll`")
		return s
	}
	sh, err := openShelf(filepath.Join(k.dir, id+".evidence"))
	if err != nil {
		s.unheard = true
		k.doubt(id, s, err.Error())
		return s
	}
	*s = source{shelf: sh, keys: keys}
	if c := sh.newest(); c != nil && len(c.records) > 0 {
		// What an earlier run did not get at the beginning, the device did not have.
		s.chain, s.gone = c.id, c.records[0].seq-1
	}
	return s
}

// flush writes everything that is pending.
func (k *collector) flush() error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(k.devices)) {
		s := k.devices[id]
		if s.shelf == nil || len(s.shelf.pending) == 0 {
			continue
		}
		if err := s.shelf.flush(); err != nil {
			errs = append(errs, err)
			continue
		}
		if c := s.shelf.newest(); c != nil && len(c.records) > 0 {
			k.c.Say("%s: stored up to %d (%d in this run)", id, c.records[len(c.records)-1].seq, s.written)
		}
	}
	return errors.Join(errs...)
}

// tick writes, and asks for what is missing.
func (k *collector) tick(b *broker.Conn) error {
	if err := k.flush(); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(k.devices)) {
		from := k.missing(id, k.devices[id])
		if from == 0 {
			continue
		}
		body, err := cbor.Marshal(from)
		if err != nil {
			return fmt.Errorf("internal error: %w", err)
		}
		k.c.Say("%s: asking for the records from %d on", id, from)
		b.Send(wire.DeviceTopic(id, wire.Resend), body)
	}
	return nil
}

// missing returns the number to ask a device for, 0 for none or not now.
func (k *collector) missing(id string, s *source) uint64 {
	if s.shelf == nil {
		return 0
	}
	c := s.shelf.newest()
	if s.status.Seq > 0 && (c == nil || c.id != s.status.Chain) {
		if s.shelf.chain(s.status.Chain) != nil {
			return 0 // a status of the time before the newest chain
		}
		c = &stored{id: s.status.Chain}
	}
	if c == nil {
		return 0
	}
	if c.id != s.chain {
		s.chain, s.gone, s.asked = c.id, 0, 0
	}
	from, to := c.hole(s.gone + 1)
	if to == 0 && (s.status.Chain != c.id || s.status.Seq < from) {
		s.asked = 0
		return 0
	}
	now := k.now()
	switch {
	case from != s.asked:
		s.asked, s.times, s.at = from, 1, now
		return from
	case now.Sub(s.at) < askEvery:
		return 0
	case s.times >= askTimes:
		if to == 0 {
			return 0 // the newest ones: the device may be off; its next status starts anew
		}
		k.c.Warn("%s: the device does not send records %d to %d of chain %s; they are considered lost",
			id, from, to, hex.EncodeToString(c.id[:4]))
		s.gone, s.asked = to, 0
		return 0
	}
	s.times++
	s.at = now
	return from
}

// goodbye says what was not taken.
func (k *collector) goodbye() {
	if k.skipped > 0 {
		k.c.Warn("%s not verified and ignored", screen.Plural(k.skipped, "message"))
	}
}
