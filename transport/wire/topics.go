package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MaxID is the longest device id and channel name, in bytes.
const MaxID = 64

// Any stands for every device, or every channel, in a topic to subscribe to (MQTT 3.1.1, section
// 4.7.1.3). It is no id: CheckID refuses it.
const Any = "+"

// The last levels of a device's topics, as SplitDevice returns them.
const (
	Offer    = "offer"
	Resend   = "resend"
	Status   = "status"
	Evidence = "evidence"
	Report   = "report"
	Presence = "presence"
)

const (
	root   = "ratchet/v1/"
	device = root + "device/"
)

// RootTopic carries the bundle of all versions of the trust root. In, retained.
func RootTopic() string { return root + "root" }

// RootVersionTopic carries one version of the trust root by itself: a bundle of all of them may be larger than a
// message. A device follows the one after the version that it trusts. In, retained.
func RootVersionTopic(version uint64) string { return root + "root/" + strconv.FormatUint(version, 10) }

// PlanTopic carries the campaign plan of a channel. In, retained.
func PlanTopic(channel string) string { return root + "plan/" + channel }

// PulseTopic tells whether the plan of a channel goes on. In, retained.
func PulseTopic(channel string) string { return root + "pulse/" + channel }

// ChannelTopic carries an envelope for everybody on a channel. In, retained.
func ChannelTopic(channel string) string { return root + "offer/" + channel }

// DeviceTopic is one of a device's own topics; leaf is Offer, Resend, Status, Evidence, Report or
// Presence.
func DeviceTopic(id, leaf string) string { return device + id + "/" + leaf }

// SplitDevice takes a device's topic apart. ok is false for every other topic, and for one with a
// name in it that is no device id.
func SplitDevice(topic string) (id, leaf string, ok bool) {
	rest, ok := strings.CutPrefix(topic, device)
	id, leaf, two := strings.Cut(rest, "/")
	return id, leaf, ok && two && CheckID(id) == nil
}

// CheckID reports whether s may stand as one level of a topic: [A-Za-z0-9._-]{1,64}. Nothing that
// could widen a topic (/, +, #, $, NUL, spaces, other scripts) passes.
func CheckID(s string) error {
	if s == "" {
		return errors.New("is empty")
	}
	if len(s) > MaxID {
		return fmt.Errorf("has %d bytes, at most %d are allowed", len(s), MaxID)
	}
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '.', b == '_', b == '-':
		default:
			return fmt.Errorf("has byte %#02x at position %d, allowed are A-Z a-z 0-9 . _ -", b, i)
		}
	}
	return nil
}
