package evidence

import (
	"errors"
	"io"
	"time"

	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

var errStub = errors.New("stub")

func Begin(device string, chain [16]byte, why reason.Reason, last *Head, s Stamp) (rec []byte, h Head, err error) {
	return nil, Head{}, errStub
}

func (h Head) Next(device string, e Event, s Stamp) (rec []byte, next Head, err error) {
	return nil, Head{}, errStub
}

func Decode(b []byte) (Record, error)                  { return Record{}, errStub }
func Sign(rec []byte, s *trust.Signer) ([]byte, error) { return nil, errStub }

// Summary is what VerifyExport found.
type Summary struct {
	Device  string
	Signer  string
	Records int
	Chains  []Chain
	Reasons map[reason.Reason]int
}

// Chain is one chain of an export.
type Chain struct {
	ID          [16]byte
	Why         reason.Reason
	First, Last uint64
	Head        Head
	Known       *Head
	Gaps        []Gap
}

// Gap is a run of records that are missing.
type Gap struct{ From, To uint64 }

func VerifyExport(r io.Reader, keys trust.Keys, fn func(Record) error) (Summary, error) {
	return Summary{}, errStub
}

// Status is the device's signed snapshot.
type Status struct {
	Device   string
	Running  string
	Version  string
	Phase    string
	Target   string
	Manifest string
	Sequence uint64
	Progress int
	Last     Outcome
	Problem  reason.Reason
	Head     Head
	Stamp
}

// Outcome is how the last update ended.
type Outcome struct {
	Result   string
	Reason   reason.Reason
	Sequence uint64
	Time     time.Time
}

func SignStatus(st Status, s *trust.Signer) ([]byte, error) { return nil, errStub }
func VerifyStatus(msg []byte, keys trust.Keys) (st Status, signer string, err error) {
	return Status{}, "", errStub
}
