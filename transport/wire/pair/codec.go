package pair

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"github.com/fxamacker/cbor/v2"
)

// Message is one of the structures of this package.
type Message interface {
	check() error // that no limit is passed
}

// The number of a message is its place here, from 1 on: the first byte of the message. CBOR follows (RFC 8949).
var (
	fromDaemon  = []Message{Setup{}, Open{}, Cancel{}, Send{}, AskRoot{}, Next{}, Given{}, Signed{}, Look{}}
	fromNetwork = []Message{Ready{}, Document{}, Started{}, Ended{}, Sent{}, State{}, Log{}, Want{}, Sign{}, Looked{}}
)

// number is that of a message among those of one end; 0: it is not one of them.
func number(all []Message, m Message) byte {
	for i, x := range all {
		if reflect.TypeOf(x) == reflect.TypeOf(m) {
			return byte(i + 1)
		}
	}
	return 0
}

// mode of decoding: nothing that a Go program would not write.
func mode() (cbor.DecMode, error) {
	return cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden,
		TagsMd: cbor.TagsForbidden, ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, MaxNestedLevels: 4,
		MaxArrayElements: max(MaxAddresses, MaxList), MaxMapPairs: 16,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive}.DecMode()
}

// Codec turns the messages of one end into bytes, and those of the other end into messages. It may be used by several
// goroutines.
type Codec struct {
	sends, takes []Message
	dec          cbor.DecMode
}

// ForDaemon is the codec of the daemon's end.
func ForDaemon() (*Codec, error) { return codec(fromDaemon, fromNetwork) }

// ForNetwork is the codec of the network process' end.
func ForNetwork() (*Codec, error) { return codec(fromNetwork, fromDaemon) }

func codec(sends, takes []Message) (*Codec, error) {
	dec, err := mode()
	if err != nil {
		return nil, fmt.Errorf("internal error: %w", err)
	}
	return &Codec{sends, takes, dec}, nil
}

// Encode is m in bytes. Texts for people are made to fit; anything else that passes a limit is an error.
func (c *Codec) Encode(m Message) ([]byte, error) {
	m = fit(m)
	n := number(c.sends, m)
	if n == 0 {
		return nil, fmt.Errorf("internal error: %T is not a message of this end", m)
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	b, err := cbor.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("internal error: %w", err)
	}
	if len(b)+1 > Max {
		return nil, fmt.Errorf("message of %d bytes, at most %d", len(b)+1, Max)
	}
	return append([]byte{n}, b...), nil
}

// Decode is the message that the other end sent. Any error means that it breaks the rules.
func (c *Codec) Decode(b []byte) (Message, error) {
	if len(b) == 0 || len(b) > Max {
		return nil, fmt.Errorf("message of %d bytes, need 1 to %d", len(b), Max)
	}
	if b[0] == 0 || int(b[0]) > len(c.takes) {
		return nil, fmt.Errorf("message number %d is not known", b[0])
	}
	p := reflect.New(reflect.TypeOf(c.takes[b[0]-1]))
	if err := c.dec.Unmarshal(b[1:], p.Interface()); err != nil {
		return nil, fmt.Errorf("message number %d: %w", b[0], err)
	}
	m, ok := p.Elem().Interface().(Message)
	if !ok {
		return nil, errors.New("internal error: no message")
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("message number %d: %w", b[0], err)
	}
	return m, nil
}

var errLimit = errors.New("a limit is passed")

// within tells whether all hold.
func within(all ...bool) error {
	for _, ok := range all {
		if !ok {
			return errLimit
		}
	}
	return nil
}

func (m Setup) check() error { return within(len(m.Settings) <= MaxSettings) }

func (m Open) check() error {
	ok := len(m.Addresses) > 0 && len(m.Addresses) <= MaxAddresses && m.Size >= 0 && m.Offset >= 0
	return within(ok, len(m.Validator) <= MaxValidator)
}

func (m Cancel) check() error  { return nil }
func (m Send) check() error    { return within(len(m.Body) > 0, len(m.Body) <= MaxBody) }
func (m AskRoot) check() error { return nil }
func (m Next) check() error    { return nil }

func (m Given) check() error { return line(m.Error) }
func (m Signed) check() error {
	return cmp.Or(line(m.Error), within(len(m.Signature) <= maxSignature))
}
func (m Look) check() error { return nil }

func (m Ready) check() error {
	for _, f := range m.Features {
		if err := cmp.Or(line(f.Name), line(f.Detail)); err != nil {
			return err
		}
	}
	return within(len(m.Features) <= MaxList)
}

func (m Document) check() error {
	return cmp.Or(line(m.Origin), within(len(m.Body) <= MaxBody))
}

func (m Started) check() error {
	return cmp.Or(line(m.Text), within(m.Code < codes, len(m.Validator) <= MaxValidator))
}

func (m Ended) check() error { return cmp.Or(line(m.Text), within(m.Code < codes)) }
func (m Sent) check() error  { return cmp.Or(line(m.Text), within(m.Code < codes)) }
func (m State) check() error { return line(m.Trouble) }
func (m Log) check() error   { return line(m.Text) }
func (m Want) check() error  { return within(len(m.Path) > 0, len(m.Path) <= MaxPath) }

func (m Sign) check() error {
	return within(len(m.Name) > 0, len(m.Name) <= MaxPath, len(m.Digest) > 0, len(m.Digest) <= maxDigest)
}

func (m Looked) check() error {
	for _, p := range m.Problems {
		if err := cmp.Or(line(p.Key), line(p.Text)); err != nil {
			return err
		}
	}
	return within(len(m.Problems) <= MaxList)
}

// line accepts a text for people: one line that a terminal and a log may show.
//
//go:noinline
func line(s string) error {
	if len(s) > MaxText || strings.ContainsFunc(s, unprintable) {
		return errors.New("a text is too long, or has characters that nobody should be shown")
	}
	return nil
}

func unprintable(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }

// Line is a text of any origin as line accepts it.
func Line(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unprintable(r):
			return '?'
		}
		return r
	}, s)
	if len(s) <= MaxText {
		return s
	}
	const end = "..."
	s = s[:MaxText-len(end)]
	return strings.ToValidUTF8(s, "") + end
}

// fit makes the texts of a message fit.
func fit(m Message) Message {
	switch m := m.(type) {
	case Given:
		m.Error = Line(m.Error)
		return m
	case Signed:
		m.Error = Line(m.Error)
		return m
	case Ready:
		features := make([]Feature, 0, len(m.Features))
		for _, f := range m.Features[:min(len(m.Features), MaxList)] {
			features = append(features, Feature{Line(f.Name), f.On, Line(f.Detail)})
		}
		m.Features = features
		return m
	case Started:
		m.Text = Line(m.Text)
		return m
	case Ended:
		m.Text = Line(m.Text)
		return m
	case Sent:
		m.Text = Line(m.Text)
		return m
	case State:
		m.Trouble = Line(m.Trouble)
		return m
	case Log:
		m.Text = Line(m.Text)
		return m
	case Looked:
		problems := make([]Problem, 0, len(m.Problems))
		for _, p := range m.Problems[:min(len(m.Problems), MaxList)] {
			problems = append(problems, Problem{Line(p.Key), Line(p.Text)})
		}
		m.Problems = problems
		return m
	}
	return m
}
