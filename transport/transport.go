// Package transport is what carries documents to and from a device: the control plane. Images
// (the payload plane) come through transport/http and transport/file by ranged reads.
//
// Nothing here is trusted: a Message is bytes from outside until package manifest has verified it.
package transport

import (
	"context"
	"errors"
	"io"
)

// Kind says what a message is.
type Kind int

const (
	// Offer (in): a SUIT envelope that may be meant for this device. Retained; delivered again after each reconnect.
	Offer Kind = iota + 1
	// Resend (in): the desk asks for evidence again from a sequence number (CBOR uint).
	Resend
	// Status (out): the signed snapshot of the device. Retained; the newest replaces the older.
	Status
	// Evidence (out): one signed record. At least once, in order of Seq.
	Evidence
	// Report (out): the signed SUIT report of the last procedure. Retained.
	Report
	// Root (in): the bundle of all versions of the trust root, or one version by itself. Retained.
	Root
	// Plan (in): a campaign plan for the channel. Retained.
	Plan
	// Pulse (in): whether a plan goes on now. Retained.
	Pulse
)

func (k Kind) String() string {
	switch k {
	case Offer:
		return "offer"
	case Resend:
		return "resend"
	case Status:
		return "status"
	case Evidence:
		return "evidence"
	case Report:
		return "report"
	case Root:
		return "root"
	case Plan:
		return "plan"
	case Pulse:
		return "pulse"
	}
	return "unknown"
}

// MaxMessage is the largest body in bytes that is accepted or sent.
const MaxMessage = 64 << 10

// Message is one document.
type Message struct {
	Kind   Kind
	Origin string // where it came from, for evidence: "mqtt:<topic>", "file:<name>"
	Seq    uint64 // Evidence: the record's sequence number
	Body   []byte
}

var (
	// ErrOffline: the message was not handed over, now or within the context's time. Try again later.
	ErrOffline = errors.New("not connected")
	// ErrChanged: the source no longer serves the content that earlier bytes came from.
	ErrChanged = errors.New("source content has changed")
	// ErrGone: the source says that it has no such content (4xx). It may have it later.
	ErrGone = errors.New("source does not have the content")
	// ErrUnusable: something answers, and not with the content: a portal, a proxy, a resolver that leads
	// elsewhere, a file of another length. That says nothing about the content, and may pass.
	ErrUnusable = errors.New("answer is not the content")
	// ErrForbidden: the address itself is not allowed (scheme, form, size). No answer leads to it.
	ErrForbidden = errors.New("source is not allowed")
)

// Inbox delivers messages. The channel is unbuffered or bounded; a message that the receiver does
// not take is delivered again at the next connection at the latest, never queued without limit.
type Inbox interface {
	Messages() <-chan Message
}

// Outbox hands messages over. Send returns nil once the other side has acknowledged them.
type Outbox interface {
	Send(ctx context.Context, m Message) error
}

// Source is a payload that can be read from any offset. It is the same shape as slots.Source, so
// that neither package needs the other.
type Source interface {
	// Open returns the bytes from off to the end. validator is what an earlier Open returned: when the
	// content is no longer provably the same, ErrChanged. With "" nothing is compared, and the caller
	// judges the bytes by the content's digest. The returned body resumes broken connections by itself,
	// within its limits; its errors wrap the sentinels above.
	Open(ctx context.Context, off int64, validator string) (body io.ReadCloser, newValidator string, err error)
}
