package agent

import (
	"errors"
	"log/slog"
	"time"

	"github.com/ratchet-ota/ratchet/agent/cipher"
	"github.com/ratchet-ota/ratchet/agent/health"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// SlotDef is one slot of the table: what the bootloader calls it, its number in SUIT's
// component-slot condition, and the device or file of each component.
type SlotDef struct {
	Name  bootctl.Slot
	Index int
	Parts map[string]string // component -> path
}

// Options are the parts of the machine and the rules that an Agent works with.
type Options struct {
	Device  string // id, [A-Za-z0-9._-]{1,64}
	Version string // of this program
	Running string // version of the running system, for people

	Facts         manifest.Device // vendor, class and device ids, version
	Slots         [2]SlotDef
	RootComponent string // the component that is mounted at "/"
	NeedMarker    bool   // the bootloader's marker must be there and agree with the root device

	Boot     bootctl.Backend
	Blocks   hal.Blocks
	FS       hal.FS
	Counter  hal.Counter
	Watchdog hal.Watchdog // nil: none
	Power    hal.Power
	Clock    hal.Clock
	Stepped  <-chan struct{}       // gets a value when the clock or its zone was set; nil: nobody tells
	Zone     func() *time.Location // of windows that name none, asked at each decision; nil: UTC
	Identity hal.Identity
	Reset    hal.ResetCause // why this boot began; zero: not known

	Journal     journal.Store // nil: none could be opened; see Safe
	JournalLost reason.Reason // why a journal that was there is gone; "" when it is whole
	StateDir    string
	Authority   manifest.Authority // nil: anchors are bad; see Safe
	Root        []byte             // the trust root that the running image brings (a bundle); nil: flat anchors
	RootVersion uint64             // with flat anchors: what the counter is raised to after a confirmed update
	Channel     string             // of the campaign plans that this device follows
	Decrypt     cipher.Keys        // of this device, for encrypted payloads; zero: none
	Sequence    uint64             // of the manifest that the running image was released under, 0: unknown
	Signer      *trust.Signer      // nil: evidence is kept unsigned, and says so
	EvidenceMax int64              // bytes of evidence kept; 0 is 1 MiB

	Inbox   transport.Inbox          // nil: no network
	Outbox  transport.Outbox         // nil: evidence waits
	Online  func() (bool, time.Time) // nil: never
	Offline func() error             // why it is not, for people; nil: not known
	AskRoot func(version uint64)     // has one version of the trust root delivered by itself; nil: nobody is asked
	Fetch   func(urls []string, size int64) (slots.Source, error)
	Metered func() bool
	Unpack  func() (slots.Unpacker, error) // starts what decodes zstd in place of this process; nil: it does itself

	Rules      policy.Rules
	Health     health.Plan
	Tries      int           // boots that the loader may try the target, default 3
	MaxBoots   int           // trial boots that the agent allows, default Tries+1
	Checkpoint int64         // bytes, default slots.DefaultCheckpoint
	Serial     bool          // write, flush and checkpoint one after the other: slower, and the same order in every run
	RetryMax   time.Duration // longest back-off of a failed download, default 1 h
	GiveBack   time.Duration // well for so long, the old system gives back what may have met power cuts, default 7 d
	ForceAfter time.Duration // a reboot that did not happen is forced, default 60 s

	Safe []string // reasons for boot-safe mode; empty: normal

	// Problems are what is missing or cannot be used now, beyond what Safe says: shown, and in no one's way. It may be
	// called from any goroutine, often; nil: none.
	Problems func() []reason.Problem
	// StateMoved tells whether another directory is at StateDir than when the journal was opened: nothing is begun or
	// armed then, and no trial has an end. From any goroutine; nil: never.
	StateMoved func() bool

	Log *slog.Logger
}

func (o *Options) defaults() {
	if o.Tries == 0 {
		o.Tries = 3
	}
	if o.MaxBoots == 0 {
		o.MaxBoots = o.Tries + 1
	}
	if o.EvidenceMax <= 0 {
		o.EvidenceMax = 1 << 20
	}
	if o.RetryMax == 0 {
		o.RetryMax = time.Hour
	}
	if o.GiveBack == 0 {
		o.GiveBack = 7 * 24 * time.Hour
	}
	if o.ForceAfter == 0 {
		o.ForceAfter = time.Minute
	}
	if o.Online == nil {
		o.Online = func() (bool, time.Time) { return false, time.Time{} }
	}
	if o.Offline == nil {
		o.Offline = func() error { return nil }
	}
	if o.Metered == nil {
		o.Metered = func() bool { return false }
	}
	if o.Problems == nil {
		o.Problems = func() []reason.Problem { return nil }
	}
	if o.StateMoved == nil {
		o.StateMoved = func() bool { return false }
	}
	if o.RootComponent == "" {
		o.RootComponent = "rootfs"
	}
}

// maxPartName keeps the keys of the journal that have a component's name in them within their bound.
const maxPartName = 200

// Validate says what is wrong with the options, for people.
func (o Options) Validate() error {
	switch {
	case o.Device == "":
		return errors.New("device id is missing")
	case o.Slots[0].Name == "" || o.Slots[1].Name == "" || o.Slots[0].Name == o.Slots[1].Name:
		return errors.New("two slots with different names are needed")
	case o.Tries < 0 || o.Tries > bootctl.MaxTries:
		return errorf("tries must be 1 to %d", bootctl.MaxTries)
	case len(o.Root) > 0 && o.Authority != nil:
		return errors.New("a device with a trust root takes no flat anchors")
	case o.Boot == nil, o.Blocks == nil, o.FS == nil, o.Power == nil, o.Clock == nil, o.Identity == nil, o.Log == nil:
		return errors.New("internal error: a part of the machine is missing")
	}
	for _, s := range o.Slots {
		if s.Parts[o.RootComponent] == "" && o.RootComponent != "" {
			return errorf("slot %s has no device for component %q, which is mounted at /", s.Name, o.RootComponent)
		}
		if len(s.Parts) > manifest.MaxComponents {
			return errorf("slot %s has %d components: one release must be able to name all, and names %d at most",
				s.Name, len(s.Parts), manifest.MaxComponents)
		}
		for c := range s.Parts {
			if len(c) > maxPartName {
				return errorf("component %.40q...: a name has %d bytes at most", c, maxPartName)
			}
			if o.Slots[0].Parts[c] == "" || o.Slots[1].Parts[c] == "" {
				return errorf("component %q must be in both slots", c)
			}
		}
	}
	return nil
}
