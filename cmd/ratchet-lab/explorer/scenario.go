package explorer

import (
	"bytes"
	"io"
	"slices"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/transport"
)

// Scenario is one story, without the cuts.
type Scenario struct {
	Name   string
	Says   string // in one line
	Bricks []int  // the hazards that it plays, by their number in docs/hazards.md
	Needs  string // not playable yet: what it needs

	Offers []Release // what the broker retains, handed over at each start
	Once   bool      // handed over once only
	// OffersNow, where set, is asked at each start instead.
	OffersNow func(*Device) []Release
	Sick      []byte // images whose health check fails
	Mended    bool   // until a person has it tried again
	Dies      []byte // images whose kernel panics or hangs until the watchdog
	Unloads   []byte // images whose kernel the loader cannot load
	Factory   made   // how the metadata leaves the factory, with no agent run yet; "": one has
	Blank     bool   // slot B is empty and disabled in the beginning
	Both      bool   // slots have the components rootfs and boot
	Carries   bool   // with Both: releases leave boot out, so that each image of rootfs goes with the first of boot
	Rooted    bool   // the device has a trust root, and follows the plan and the pulse of fleet.go
	Broker    bool   // the broker is one of the health checks
	Tells     bool   // the machine tells whether the power had gone

	Setup   func(*Device)
	Options func(*Device, *agent.Options)
	Events  []Event
	Serve   func(d *Device, uri string, off int64) (io.ReadCloser, error)
	OnBoot  func(*Device) // after the loader, before the agent
	OnOpen  func(d *Device, path string, a hal.Access) error
	OnPhase func(d *Device, from, to life.Phase)
	Bypass  func(*Device) string // a slot that starts past the loader, "" for none

	Nameless bool          // there is no boot id
	Slow     bool          // boots take time, see slow
	Ruined   bool          // the metadata is nonsense: what is built into the loader must boot the device
	Waits    time.Duration // the longest wait that is played; 0: three hours
	Clocked  bool          // what happens depends on the time of day

	Divided bool // a network process holds the connections, and is killed at each of its messages in turn

	Wrong  bool // the loader's marker names the other slot
	Report bool // the agent reports, and what it reports to takes nothing
	Alone  bool // in the end no slot is confirmed, and the alarm says so

	NoReboot   bool // the machine does not reboot when it is told to
	Unwritable bool // the journal cannot be written: the exception to I5
	Rots       bool // the medium of the slot loses or changes bytes
	Endless    bool // does without the bound of I8 on reboots: somebody else reboots the machine
	Ends       []End
	// Blames are causes that the evidence may name although nothing but power was cut.
	Blames []reason.Reason
	// MustSay are reasons that the evidence must name.
	MustSay []reason.Reason
	// Resting phases besides idle.
	Rests []life.Phase
	// Deep: pairs of cuts are enumerated in full by the exhaustive mode.
	Deep bool
	// Quick: part of the fixed subset that planted defects are tried on.
	Quick bool
	// Apart: the state is on a medium of its own, which loses its cache on its own.
	Apart bool
	// Few: it is about the agent more than about the loader, and explored on three of the main loaders without Full.
	Few bool
	// Asked: a person asks for something, and does not ask again who was told that there is no room for it.
	Asked bool
}

// Event is something that happens to the device once (or Times) when it is due, looked at whenever
// the device has nothing left to do at this moment.
type Event struct {
	Name  string
	Times int
	When  func(*Device) bool
	Do    func(*Device)
}

// End is one way in which a device may come to rest.
type End struct {
	Image  byte // that runs, confirmed
	Result string
	Reason reason.Reason
	Cut    bool // only where the power was cut
	OneTry bool // only with loaders that count one try
	Faulty bool // only where an operation failed
}

// sick tells whether the health check of image n fails now: not any more where somebody has mended what it asks.
func (d *Device) sick(n byte) bool { return d.s.sick(n) && (!d.s.Mended || d.fired[retryEvent] == 0) }

func (s *Scenario) sick(n byte) bool { return slices.Contains(s.Sick, n) }
func (s *Scenario) dies(n byte) bool { return slices.Contains(s.Dies, n) }

func (s *Scenario) unloads(n byte) bool { return slices.Contains(s.Unloads, n) }

func (s *Scenario) serve(d *Device, uri string, off int64) (io.ReadCloser, error) {
	if s.Serve != nil {
		return s.Serve(d, uri, off)
	}
	return serve(d, uri, off)
}

// serve is an image server without faults.
func serve(d *Device, uri string, off int64) (io.ReadCloser, error) {
	b := d.p.payload(uri)
	if b == nil || off > int64(len(b)) {
		return nil, transport.ErrGone
	}
	return io.NopCloser(bytes.NewReader(b[off:])), nil
}

// FindScenario returns the scenario of a name.
func FindScenario(name string) (Scenario, bool) {
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, true
		}
	}
	return Scenario{}, false
}
