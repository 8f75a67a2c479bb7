package life

import (
	"bytes"
	"slices"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// State is all that the next step depends on. It is a value: Step returns a new one, and shares
// slices with the old one that neither changes.
type State struct {
	Stored
	Live
	Dev Device
}

// Device is what does not change while the program runs.
type Device struct {
	Slots    [2]bootctl.Slot
	Parts    []string      // the components of a slot, sorted
	Running  string        // version of the running system, for people
	Tries    int           // boots that the loader may try the target
	MaxBoots int           // trial boots that are allowed
	RetryMax time.Duration // longest back-off
	Deadline time.Duration // of a trial
	GiveBack time.Duration // for how long the old system must be well before an image is given back; 0: never
	Counter  bool          // there is a rollback counter
	Inbox    bool          // there is a network to hear from
}

// Stored is what is durable: the journal and, where it is said, the quarantine file. What differs in
// it after a step is what the step commits.
type Stored struct {
	Have      bool // the journal has a record
	Frozen    bool // the journal's record is another version's: it is never overwritten
	Foreign   bool // all of the journal is: what is stored now is gone with the process
	Rec       Record
	Budget    Budget // of the update in progress
	Waiting   Waiting
	Left      []Budget // of offers that failed, and whose place another one took: the oldest first
	Barred    Barred
	Wear      int // thousandths of an image that were written in vain, see wear.go
	Floors    Floors
	Slots     [2]Content    // what each slot of Device.Slots is known to hold
	Counter   string        // origin of the hardware counter that guards the device
	Permitted string        // manifest that a permit allows, "" for none
	Noted     reason.Reason // why the newest offer that was not taken was not, "" for none
	Seen      [][]byte      // unverifiable offers that are on record
	Tally     Tally         // the quarantine file's count
}

// Waiting is an offer that waits: it was deferred, or an attempt failed and it is tried again.
type Waiting struct {
	Envelope   []byte
	Digest     string // "" when none waits
	Sequence   uint64
	Components []string // that it would write; nil: not known
	Reason     reason.Reason
	Said       string // what it waits for, for people
	Rules      string // the reasons that are on record, so that they are recorded once per change
	Budget     Budget
}

// Barred is the offer of the network that was quarantined last. It is kept, so that it is taken again when it
// is given back, whether or not anybody offers it again.
type Barred struct {
	Envelope   []byte   `cbor:"1,keyasint"`
	Digest     string   `cbor:"2,keyasint"` // "" for none
	Sequence   uint64   `cbor:"3,keyasint"`
	Components []string `cbor:"4,keyasint,omitempty"` // that it would write; nil: not known
}

// Content is what the agent knows a slot to hold. It is dropped before the slot is written. Key 6 was
// a cause, and is not used again.
type Content struct {
	Manifest  string      `cbor:"1,keyasint"`
	Sequence  uint64      `cbor:"2,keyasint"`
	Version   string      `cbor:"3,keyasint"`
	Images    []SlotImage `cbor:"4,keyasint"`
	Confirmed bool        `cbor:"5,keyasint"`
}

// there is images in which those that are carried, and that this slot holds for certain, are marked.
func (c Content) there(images []SlotImage) []SlotImage {
	out := slices.Clone(images)
	for n := range out {
		_, held := c.Holds(out[n])
		out[n].There = held && c.Confirmed && out[n].Carried
	}
	return out
}

// stillCarried is images of a record that an agent of the version before has written again, without what it does
// not know. What was carried shows all the same: it is what the slot that it came from is on record to hold. An
// image that was released once more unchanged looks alike, and keeps the number that it had.
func (s *Stored) stillCarried(images []SlotImage) []SlotImage {
	out := slices.Clone(images)
	for n, i := range out {
		for _, c := range s.Slots {
			if from, ok := c.Holds(i); ok && c.Confirmed && !i.Carried {
				out[n].Sequence, out[n].Manifest = from.Of(c.Sequence, c.Manifest)
				out[n].Carried, out[n].Anywhere = true, from.Anywhere
			}
		}
	}
	return out
}

// Holds finds an image in what a slot is known to hold.
//
//go:noinline
func (c Content) Holds(image SlotImage) (SlotImage, bool) {
	at := slices.IndexFunc(c.Images, func(i SlotImage) bool {
		return i.Component == image.Component && i.Alg == image.Alg && bytes.Equal(i.Digest, image.Digest)
	})
	if at < 0 {
		return SlotImage{}, false
	}
	return c.Images[at], true
}

// lacks names a part of the slot that is not on record, although others are; "" for none.
func (c Content) lacks(parts []string) string {
	for _, p := range parts {
		if len(c.Images) > 0 && !slices.ContainsFunc(c.Images, func(i SlotImage) bool { return i.Component == p }) {
			return p
		}
	}
	return ""
}

// Tally is what the quarantine file counts: the boots of one trial, and what may be given back.
type Tally struct {
	Key   string // manifest digest, or "synthetic:<slot>"; "" for none
	Boots int
	Dirty bool // the file is older than this
	Held  []Held
	Given []string // manifests that were quarantined and given back
}

// Held is a manifest that is quarantined for a cause that may have been the power.
type Held struct {
	Digest string
	Times  int           // that it was quarantined
	Served time.Duration // how long the old system has been well since
}

func (t Tally) boots(key string) int {
	if t.Key != key {
		return 0
	}
	return t.Boots
}

// Waits tells whether the update in progress is the offer that waits.
func (s *Stored) Waits() bool { return s.Waiting.Digest != "" && s.Waiting.Digest == s.Rec.Digest }

// Live is what a power cut or the end of the daemon takes away.
type Live struct {
	BootID   string
	Run      bootctl.Slot // proven running slot, "" when unproven
	Safe     []string     // reasons for boot-safe mode; empty: normal
	Hold     reason.Reason
	Retake   bool          // the start is taken again in a while; it does not wait for a new boot
	RetakeAt time.Duration // uptime at which it is
	Stayed   bool          // in this boot a trial failed that could not be left: it does not begin again

	Starting bool          // the outcome of the start is not durable yet
	Found    Started       // what the start found
	Tending  bool          // idle is looking after the boot metadata
	First    bool          // the first look in this stay in idle
	Invalid  bool          // the metadata was invalid when the look began
	Bail     bool          // the trial cannot be made durable
	BailWhy  string        // what the journal said
	TendAt   time.Duration // uptime at which idle looks after the boot metadata; 0: now
	RetryAt  time.Duration // uptime at which the waiting offer is decided again; 0: none
	ServedAt time.Duration // uptime up to which Tally.Held is settled
	WearAt   time.Duration // uptime up to which Wear is settled
	Lapses   int           // looks in a row that failed
	Failed   int           // commits in a row that failed
	Tried    int           // confirmations in a row that failed, or readings of the metadata

	Most      int           // tries that the loader can count, 0: no limit or not known yet
	Held      bool          // the target was read back in this boot and is held since
	CheckedAt time.Duration // uptime at which it was
	Rules     string        // ready: the reasons that are on record
	Known     bool          // in this process it is on record which counter there is
	Garbage   Rate
	Genuine   Rate // of offers that are genuine, and not installed
}

// index is where a slot stands in Device.Slots.
func (s *State) index(name bootctl.Slot) int {
	if s.Dev.Slots[1] == name {
		return 1
	}
	return 0
}

// other is the slot that is not name.
//
//go:noinline
func (s *State) other(name bootctl.Slot) bootctl.Slot { return s.Dev.Slots[1-s.index(name)] }

func (s *State) limits() Limits {
	return Limits{MaxBoots: s.Dev.MaxBoots, Reverting: s.Rec.Phase == Reverting}
}

// Rate bounds records of offers that nobody vouches for: each body once while it is remembered, over
// restarts too, for brokers hand retained ones in again and again; and no more than garbageRate in an
// hour of uptime.
type Rate struct {
	Times   []time.Duration
	Dropped int
}

const (
	garbageRate = 20 // records in an hour
	genuineRate = 20 // verdicts in an hour
	maxSeen     = 64 // bodies that are remembered
)

// allowGarbage tells whether an offer may go on record, and how many were dropped since the last one
// that did. A nil key counts for the rate alone.
func (s *State) allowGarbage(key []byte, now time.Duration) (dropped int, ok bool) {
	if key != nil && slices.ContainsFunc(s.Seen, func(k []byte) bool { return bytes.Equal(k, key) }) {
		return 0, false
	}
	g := &s.Garbage
	times := slices.DeleteFunc(slices.Clone(g.Times), func(t time.Duration) bool { return now-t >= time.Hour })
	if len(times) >= garbageRate {
		g.Times, g.Dropped = times, g.Dropped+1
		return 0, false
	}
	if key != nil {
		seen := append(slices.Clone(s.Seen), bytes.Clone(key))
		s.Seen = seen[max(len(seen)-maxSeen, 0):]
	}
	dropped = g.Dropped
	g.Times, g.Dropped = append(times, now), 0
	return dropped, true
}

// allowGenuine tells whether a verdict on a genuine offer may become durable. Whoever can publish can hand in such
// offers by turns for ever, older ones and ones that wait; beyond genuineRate in an hour of uptime they are not
// remembered, and decided again when they come again.
func (s *State) allowGenuine(now time.Duration) bool {
	if s.genuineAgain(now) > 0 {
		return false
	}
	times := slices.DeleteFunc(slices.Clone(s.Genuine.Times), func(t time.Duration) bool { return now-t >= time.Hour })
	s.Genuine.Times = append(times, now)
	return true
}

// genuineAgain is the uptime at which the next verdict may become durable; 0: now.
func (s *State) genuineAgain(now time.Duration) time.Duration {
	recent, first := 0, time.Duration(0)
	for _, t := range s.Genuine.Times {
		if now-t < time.Hour {
			if recent++; recent == 1 {
				first = t
			}
		}
	}
	if recent < genuineRate {
		return 0
	}
	return first + time.Hour
}

// Recorded is the state in which an offer or a document that nobody vouches for is on record; false
// when it is not to be, because it is already, or there were too many.
func (s State) Recorded(key []byte, now time.Duration) (State, bool) {
	_, ok := s.allowGarbage(key, now)
	return s, ok
}

// Ending says how an update ended, or what became of an offer.
type Ending struct {
	Result   string // updated, reverted, failed, refused, deferred, stuck
	Reason   reason.Reason
	Detail   string
	Sequence uint64
	Manifest string
	Slot     bootctl.Slot
	Version  string
}

// Commit is what must become durable, in one transaction (I6). What changed in Stored is part of it.
type Commit struct {
	Record *Record          // nil: unchanged
	Events []evidence.Event // in this order
	Ops    []Op
	Quar   []QuarOp // go into the quarantine file first, and hold also when the commit fails
	// Optional: where it fails, it is reported, what it would have changed in Stored is dropped, and
	// the action is performed all the same.
	Optional string
}

// Empty tells whether there is nothing for the journal.
func (c Commit) Empty() bool { return c.Record == nil && len(c.Events) == 0 && len(c.Ops) == 0 }

// Op is one change in the journal; nil pointers and empty values delete. The machine gives the ones
// below; who executes it may have others of its own.
type Op interface{ Operation() }

type (
	// PutWaiting replaces the offer that waits.
	PutWaiting struct{ Waiting Waiting }
	// PutEnvelope keeps the envelope of the update in progress; nil drops it.
	PutEnvelope struct{ Envelope []byte }
	// PutOutcome makes how an update ended the last outcome.
	PutOutcome struct{ Ending Ending }
	// PutNoted remembers the newest offer that was not taken; nil forgets it. It stands beside the
	// outcome of the last update and never replaces it.
	PutNoted struct{ Ending *Ending }
	// PutContent says what a slot holds; nil: not known.
	PutContent struct {
		Slot    bootctl.Slot
		Content *Content
	}
	// PutFloors replaces the floors.
	PutFloors struct{ Floors Floors }
	// Bind remembers under which sequence a digest was confirmed for some components, for a bounded number
	// of sequences.
	Bind struct {
		Sequence   uint64
		Digest     string
		Components []string
	}
	// PutFinal remembers a final verdict, for a bounded number of digests.
	PutFinal struct {
		Digest string
		Why    reason.Reason
		Next   bool // it stands with the next record of evidence, which this commit adds
	}
	// DropFinal forgets a final verdict.
	DropFinal struct{ Digest string }
	// PutBarred keeps the offer that was quarantined last or, with no digest, forgets it.
	PutBarred struct{ Barred Barred }
	// PutWear says how much was written in vain.
	PutWear struct{ Wear int }
	// PutCounter remembers which counter guards the device.
	PutCounter struct{ Origin string }
	// PutSeen replaces the list of unverifiable offers on record.
	PutSeen struct{ Seen [][]byte }
	// PutApproved remembers the manifest that a person approved.
	PutApproved struct{ Digest string }
	// DropBlame forgets the final verdicts that hold because an image is quarantined. Those that hold still are
	// given again.
	DropBlame struct{}
	// DropPermit forgets the permit.
	DropPermit struct{}
	// DropCheckpoints forgets how far writing came.
	DropCheckpoints struct{}
	// KeepReport keeps the SUIT report on an update that ended, or on the offer that was refused.
	KeepReport struct {
		Rec    *Record // nil: of the offer
		Result string
		Why    reason.Reason
	}
)

func (PutWaiting) Operation()      {}
func (PutEnvelope) Operation()     {}
func (PutOutcome) Operation()      {}
func (PutNoted) Operation()        {}
func (PutContent) Operation()      {}
func (PutFloors) Operation()       {}
func (Bind) Operation()            {}
func (PutFinal) Operation()        {}
func (DropFinal) Operation()       {}
func (PutBarred) Operation()       {}
func (PutWear) Operation()         {}
func (PutCounter) Operation()      {}
func (PutSeen) Operation()         {}
func (PutApproved) Operation()     {}
func (DropBlame) Operation()       {}
func (DropPermit) Operation()      {}
func (DropCheckpoints) Operation() {}
func (KeepReport) Operation()      {}

// QuarOp is one change in the quarantine file. The set is closed.
type QuarOp interface{ quarOp() }

type (
	// Count keeps the boots of one trial; zero boots: of none.
	Count struct {
		Key   string
		Boots int
	}
	// Bar quarantines a manifest and its images.
	Bar struct {
		Digest string
		Images []string
		Cause  reason.Reason
	}
	// Clear takes a manifest out of the quarantine.
	Clear struct{ Digest string }
	// Serve counts how long the old system was well, for all that may be given back.
	Serve struct{ For time.Duration }
	// GiveBack takes a manifest out of the quarantine, and remembers that it was in there.
	GiveBack struct{ Digest string }
	// Save writes the file.
	Save struct{}
)

func (Count) quarOp()    {}
func (Bar) quarOp()      {}
func (Clear) quarOp()    {}
func (Serve) quarOp()    {}
func (GiveBack) quarOp() {}
func (Save) quarOp()     {}

// Effects are what a step asks for: first the commit, then the one action.
type Effects struct {
	Commit Commit
	Do     Action
	Tell   Tell
}

// Tell is what others are told. Nothing comes back from it (I7).
type Tell struct {
	Answer  *Answer // to the person who asked, after the commit
	Failed  *Failed // what could not be done, for status and log
	Well    string  // a Failed.What that is over
	Waits   reason.Reason
	WaitFor string // for people: what the update waits for
	Missed  bool   // the offer that came is kept until the update in progress has ended
	Entered bool   // a phase was entered: earlier failures are over
}

// Answer is what became of a request or of an offer. The zero value: it was done.
type Answer struct {
	Refused  reason.Reason
	Detail   string
	Deferred bool // it may be taken later
	Reboots  bool
	Says     string
}

// Failed is a thing that could not be done, and that is tried again.
type Failed struct{ What, Text string }
