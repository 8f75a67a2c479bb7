// Package pair is what `ratchet daemon`, which is root, and `ratchet net`, which holds every connection and may do
// nothing else, say to each other over a pair of sockets: a few bounded messages, and descriptors from the daemon only.
//
// Both are the same program, so that there is one version and no negotiation. The daemon takes nothing of what it is
// told for true: a document is verified, payload bytes are held against a digest that was signed, and the rest is told
// to people as the network's word. What breaks a rule of this package comes from a process that was taken over or is
// broken, and ends it.
package pair

// Version is that of the messages.
const Version = 1

// Limits, in bytes where nothing else is said.
const (
	Max          = 80 << 10 // one message
	MaxBody      = 64 << 10 // a document, a status, a record of evidence (transport.MaxMessage)
	MaxSettings  = 64 << 10
	MaxText      = 1 << 10
	MaxPath      = 4 << 10
	MaxValidator = 4 << 10
	MaxAddresses = 256 // of one payload
	MaxList      = 64  // features, problems
	maxDigest    = 64
	maxSignature = 1 << 10
)

// Code says how something ended, as far as the daemon acts on it.
type Code uint8

// There is no code for an address that is not allowed: that is final, and the daemon finds it out by itself.
const (
	OK       Code = iota
	Failed        // any error that is not one of the others; it may pass
	Offline       // transport.ErrOffline
	Changed       // transport.ErrChanged
	Gone          // transport.ErrGone
	Unusable      // transport.ErrUnusable
	codes
)

// What the daemon sends.
type (
	// Setup is the first message. The process confines itself, and answers with Ready.
	Setup struct {
		Version  uint
		Settings []byte // what connections are made of; no secrets
	}
	// Open asks for a payload from Offset to its end, into the descriptor that comes with it. It is answered by
	// Started and, if that is OK, by Ended.
	Open struct {
		ID           uint32
		Addresses    []string // in order of preference
		Size, Offset int64    // Size 0: not known
		Validator    string
	}
	// Cancel ends an Open that nobody reads any more.
	Cancel struct{ ID uint32 }
	// Send hands a document for the fleet over (Kind: transport.Kind). It is answered by Sent.
	Send struct {
		ID   uint32
		Kind uint8
		Body []byte
	}
	// AskRoot has one version of the trust root delivered by itself.
	AskRoot struct{ Version uint64 }
	// Next allows one more Document.
	Next struct{}
	// Given answers Want. The descriptor comes with it where Error is empty.
	Given struct {
		ID    uint32
		Error string
	}
	// Signed answers Sign.
	Signed struct {
		ID        uint32
		Signature []byte
		Error     string
	}
	// Look asks for a sign of life, and for what cannot be used now. It is answered by Looked.
	Look struct{ ID uint32 }
)

// What the network process sends.
type (
	// Ready answers Setup.
	Ready struct {
		Version  uint
		Features []Feature // by which the process has confined itself
	}
	// Document is a message for the device. There is one at most for each Next.
	Document struct {
		Kind   uint8  // transport.Kind
		Origin string // where it came from
		Body   []byte
	}
	// Started answers Open. With OK the bytes follow in the descriptor.
	Started struct {
		ID        uint32
		Code      Code
		Text      string
		Validator string
	}
	// Ended says why nothing follows in the descriptor; OK: it is the end of the payload.
	Ended struct {
		ID   uint32
		Code Code
		Text string
	}
	// Sent answers Send. OK: the broker has acknowledged the message.
	Sent struct {
		ID   uint32
		Code Code
		Text string
	}
	// State is the connection to the broker.
	State struct {
		Online      bool
		Connections uint64 // made so far
		Trouble     string // why there is none
	}
	// Log is a line for the log. Level is that of log/slog.
	Log struct {
		Level int8
		Text  string
	}
	// Want asks for a file that the configuration names, to be read. It is answered by Given.
	Want struct {
		ID   uint32
		Path string
	}
	// Sign asks for a signature with a client key that no file holds. It is answered by Signed.
	Sign struct {
		ID     uint32
		Name   string // of the key, as the configuration has it
		Hash   uint   // crypto.Hash
		Digest []byte
	}
	// Looked answers Look.
	Looked struct {
		ID       uint32
		Problems []Problem
	}
)

// Feature is one thing by which a process is confined.
type Feature struct {
	Name   string
	On     bool
	Detail string // what it forbids, or why it is off
}

// Problem is something that the configuration names and that cannot be used now.
type Problem struct {
	Key  string // of the configuration
	Text string
}
