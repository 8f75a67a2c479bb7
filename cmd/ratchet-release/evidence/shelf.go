package evidence

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/cmd/internal/fleet"
)

// shelf is the collected evidence of one device: a CBOR sequence of signed records, sorted, each
// once, as evidence verify wants to read it.
type shelf struct {
	path    string
	chains  []*stored // in the order in which they began to be collected
	pending []signed  // not written yet
	size    int64     // of the file
}

// stored is one chain in the file, by number.
type stored struct {
	id      [16]byte
	records []place
}

// place is where a record is.
type place struct {
	seq    uint64
	hash   [32]byte
	offset int64
	length int
}

// signed is a verified record.
type signed struct {
	Head evidence.Head
	Msg  []byte
}

// openShelf reads what was collected before. A record that a crash cut short at the end is dropped:
// its device is asked for it again.
func openShelf(path string) (*shelf, error) {
	s := &shelf{path: path}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 64<<10)
	for {
		msg, err := item(in)
		if err == io.EOF {
			return s, nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return s, errors.Join(f.Truncate(s.size), f.Sync())
		}
		if err == nil {
			var head evidence.Head
			if _, head, err = fleet.UnverifiedRecord(msg); err == nil {
				s.note(head, s.size, len(msg))
				s.size += int64(len(msg))
				continue
			}
		}
		return nil, fmt.Errorf("cannot go on with %s: no record at byte %d (%w); move the file away, "+
			"or give another directory", path, s.size, err)
	}
}

// item reads one CBOR item of a sequence (RFC 8742); io.ErrUnexpectedEOF when it is cut short.
func item(in *bufio.Reader) ([]byte, error) {
	b, err := in.Peek(evidence.MaxSigned)
	if len(b) == 0 {
		return nil, err
	}
	mode, merr := fleet.LooseMode()
	if merr != nil {
		return nil, merr
	}
	var raw cbor.RawMessage
	if _, err := mode.UnmarshalFirst(b, &raw); err != nil {
		return nil, err
	}
	msg := slices.Clone([]byte(raw))
	_, err = in.Discard(len(msg))
	return msg, err
}

// note remembers a record that is in the file.
func (s *shelf) note(h evidence.Head, offset int64, length int) {
	c := s.chain(h.Chain)
	if c == nil {
		c = &stored{id: h.Chain}
		s.chains = append(s.chains, c)
	}
	i, found := c.find(h.Seq)
	if !found {
		c.records = slices.Insert(c.records, i, place{h.Seq, h.Hash, offset, length})
	}
}

func (s *shelf) chain(id [16]byte) *stored {
	for _, c := range s.chains {
		if c.id == id {
			return c
		}
	}
	return nil
}

func (c *stored) find(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(c.records, seq, func(p place, seq uint64) int { return cmp.Compare(p.seq, seq) })
}

// What put found.
type found int

const (
	isNew found = iota
	isThere
	isForked // another record has this number
)

// put takes a verified record in; flush writes it.
func (s *shelf) put(r signed) found {
	var hash [32]byte
	known := false
	if c := s.chain(r.Head.Chain); c != nil {
		if i, ok := c.find(r.Head.Seq); ok {
			hash, known = c.records[i].hash, true
		}
	}
	for _, p := range s.pending {
		if p.Head.Chain == r.Head.Chain && p.Head.Seq == r.Head.Seq {
			hash, known = p.Head.Hash, true
		}
	}
	switch {
	case !known:
		s.pending = append(s.pending, r)
		return isNew
	case hash == r.Head.Hash:
		return isThere
	}
	return isForked
}

// flush makes what was put durable: by appending where it all comes behind what is there, else by
// writing the file again.
//
// Crash: before -> the file as it was; in the middle of appending -> some of the new records, and
// perhaps a part of one, which openShelf drops; after -> all of them. Devices send again what is
// missing.
func (s *shelf) flush() error {
	if len(s.pending) == 0 {
		return nil
	}
	slices.SortStableFunc(s.pending, func(a, b signed) int {
		if a.Head.Chain == b.Head.Chain {
			return cmp.Compare(a.Head.Seq, b.Head.Seq)
		}
		return cmp.Compare(s.rank(a.Head.Chain), s.rank(b.Head.Chain))
	})
	var err error
	if s.appends() {
		err = s.append()
	} else {
		err = s.rewrite()
	}
	if err != nil {
		return fmt.Errorf("cannot store evidence: %w", err)
	}
	s.pending = nil
	return nil
}

// rank is the place of a chain in the file; new chains follow as they came.
func (s *shelf) rank(id [16]byte) int {
	for i, c := range s.chains {
		if c.id == id {
			return i
		}
	}
	for i, p := range s.pending {
		if p.Head.Chain == id {
			return len(s.chains) + i
		}
	}
	return len(s.chains) + len(s.pending)
}

// appends reports whether all that is pending comes behind all that is there.
func (s *shelf) appends() bool {
	if len(s.chains) == 0 {
		return true
	}
	last := s.chains[len(s.chains)-1]
	for _, p := range s.pending {
		c := s.chain(p.Head.Chain)
		if c != nil && (c != last || p.Head.Seq < c.records[len(c.records)-1].seq) {
			return false
		}
	}
	return true
}

func (s *shelf) append() error {
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	var all []byte
	for _, p := range s.pending {
		all = append(all, p.Msg...)
	}
	if _, err := f.WriteAt(all, s.size); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	for _, p := range s.pending {
		s.note(p.Head, s.size, len(p.Msg))
		s.size += int64(len(p.Msg))
	}
	return f.Close()
}

// rewrite merges what is pending into the file.
func (s *shelf) rewrite() error {
	next := &shelf{path: s.path}
	err := files.Replace(s.path, 0o644, func(w *os.File) error {
		old, err := os.Open(s.path)
		if err != nil {
			return err
		}
		defer old.Close()
		out := bufio.NewWriterSize(w, 64<<10)
		write := func(h evidence.Head, msg []byte) error {
			next.note(h, next.size, len(msg))
			next.size += int64(len(msg))
			_, err := out.Write(msg)
			return err
		}
		pending := s.pending
		for _, c := range s.chains {
			for _, p := range c.records {
				for len(pending) > 0 && pending[0].Head.Chain == c.id && pending[0].Head.Seq < p.seq {
					if err := write(pending[0].Head, pending[0].Msg); err != nil {
						return err
					}
					pending = pending[1:]
				}
				msg := make([]byte, p.length)
				if _, err := old.ReadAt(msg, p.offset); err != nil {
					return err
				}
				if err := write(evidence.Head{Chain: c.id, Seq: p.seq, Hash: p.hash}, msg); err != nil {
					return err
				}
			}
			for len(pending) > 0 && pending[0].Head.Chain == c.id {
				if err := write(pending[0].Head, pending[0].Msg); err != nil {
					return err
				}
				pending = pending[1:]
			}
		}
		for _, p := range pending {
			if err := write(p.Head, p.Msg); err != nil {
				return err
			}
		}
		return out.Flush()
	})
	if err != nil {
		return err
	}
	s.chains, s.size = next.chains, next.size
	return nil
}

// newest is the chain that was begun last, nil when there is none.
func (s *shelf) newest() *stored {
	if len(s.chains) == 0 {
		return nil
	}
	return s.chains[len(s.chains)-1]
}

// hole is the first run of numbers that c lacks between from and its last record; to is 0 when
// there is none.
func (c *stored) hole(from uint64) (first, to uint64) {
	want := from
	i, _ := c.find(from)
	for _, p := range c.records[i:] {
		if p.seq > want {
			return want, p.seq - 1
		}
		want = p.seq + 1
	}
	return want, 0
}
