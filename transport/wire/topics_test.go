package wire_test

import (
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/transport/wire"
)

// The names are a format: brokers' access lists and devices in the field hold them.
func TestTopics(t *testing.T) {
	for got, want := range map[string]string{
		wire.RootTopic():                          "ratchet/v1/root",
		wire.RootVersionTopic(12):                 "ratchet/v1/root/12",
		wire.PlanTopic("stable"):                  "ratchet/v1/plan/stable",
		wire.PulseTopic("stable"):                 "ratchet/v1/pulse/stable",
		wire.ChannelTopic("stable"):               "ratchet/v1/offer/stable",
		wire.DeviceTopic("gw-1", wire.Offer):      "ratchet/v1/device/gw-1/offer",
		wire.DeviceTopic("gw-1", wire.Resend):     "ratchet/v1/device/gw-1/resend",
		wire.DeviceTopic("gw-1", wire.Status):     "ratchet/v1/device/gw-1/status",
		wire.DeviceTopic("gw-1", wire.Evidence):   "ratchet/v1/device/gw-1/evidence",
		wire.DeviceTopic("gw-1", wire.Report):     "ratchet/v1/device/gw-1/report",
		wire.DeviceTopic("gw-1", wire.Presence):   "ratchet/v1/device/gw-1/presence",
		wire.DeviceTopic(wire.Any, wire.Evidence): "ratchet/v1/device/+/evidence",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestSplitDevice(t *testing.T) {
	for topic, want := range map[string]struct {
		id, leaf string
		ok       bool
	}{
		"ratchet/v1/device/gw-1/status":      {"gw-1", "status", true},
		"ratchet/v1/device/gw-1/status/more": {"gw-1", "status/more", true}, // a leaf that nobody knows
		"ratchet/v1/device/gw-1/":            {"gw-1", "", true},
		"ratchet/v1/device/gw-1":             {},
		"ratchet/v1/device//status":          {},
		"ratchet/v1/device/+/status":         {},
		"ratchet/v1/device/a b/status":       {},
		"ratchet/v1/offer/stable":            {},
		"x/ratchet/v1/device/gw-1/status":    {},
		"":                                   {},
	} {
		id, leaf, ok := wire.SplitDevice(topic)
		if ok != want.ok || ok && (id != want.id || leaf != want.leaf) {
			t.Errorf("%q: %q, %q, %v; want %v", topic, id, leaf, ok, want)
		}
	}
	if wire.CheckID(wire.Any) == nil {
		t.Error("the word for every device is an id")
	}
}

// TestCheckID: every byte, and the longest name.
func TestCheckID(t *testing.T) {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	for b := range 256 {
		s := string([]byte{byte(b)})
		if err := wire.CheckID(s); (err == nil) != strings.Contains(allowed, s) {
			t.Errorf("byte %#02x: %v", b, err)
		}
	}
	if err := wire.CheckID(strings.Repeat("x", wire.MaxID)); err != nil {
		t.Error(err)
	}
	if wire.CheckID(strings.Repeat("x", wire.MaxID+1)) == nil || wire.CheckID("") == nil {
		t.Error("a name that is too long, or none, is one")
	}
}
