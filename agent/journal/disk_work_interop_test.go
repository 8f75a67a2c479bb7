//go:build interop

package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/hal/cutdisk"
)

// keptRecords is how many records of evidence a journal of these tests holds.
const keptRecords = 12

// state is what a journal holds: its number, counted from the first one of a life, and how many
// transactions it has.
type state struct{ epoch, n int }

func (s state) String() string { return fmt.Sprintf("%d/%d", s.epoch, s.n) }

// envelope is larger than a page or smaller, and another one for each state.
func (s state) envelope() []byte {
	return bytes.Repeat(fmt.Append(nil, s, ";"), 1+(s.n*37+s.epoch*11)%60*(s.n%3)*20)
}

// commit makes transaction x.n of a journal: the record and its evidence together, as the agent does.
func (x state) commit(s journal.Store) error {
	return s.Update(func(tx journal.Tx) error {
		var rec []byte
		var err error
		at := evidence.Stamp{Wall: time.Unix(int64(1e9+x.n), 0).UTC()}
		if x.n == 1 {
			rec, _, err = evidence.Begin("device", [16]byte{byte(x.epoch + 1)}, "", nil, at)
		} else {
			var h evidence.Head
			if h, err = evidence.HeadOf(tx.Get(journal.Evidence, number(x.n-1))); err == nil {
				rec, _, err = h.Next("device", evidence.Event{Kind: evidence.KindPhase, Sequence: uint64(x.n)}, at)
			}
		}
		return errors.Join(err,
			tx.Put(journal.State, "record", fmt.Append(nil, x)),
			tx.Put(journal.State, "envelope", x.envelope()),
			tx.Put(journal.Evidence, number(x.n), rec),
			tx.Delete(journal.Evidence, number(x.n-keptRecords)))
	})
}

func number(n int) string { return string(binary.BigEndian.AppendUint64(nil, uint64(n))) }

// stateOf reads everything. What is not exactly one state, with a whole chain of evidence, is an
// error. An empty journal does not know its epoch.
func stateOf(s journal.Store, epoch int) (x state, err error) {
	x.epoch = epoch
	err = s.View(func(tx journal.Tx) error {
		record := tx.Get(journal.State, "record")
		if record != nil {
			if _, err := fmt.Sscanf(string(record), "%d/%d", &x.epoch, &x.n); err != nil {
				return fmt.Errorf("record %q: %w", record, err)
			}
			if !bytes.Equal(tx.Get(journal.State, "envelope"), x.envelope()) {
				return fmt.Errorf("the envelope is not that of %v", x)
			}
		}
		next := max(1, x.n-keptRecords+1)
		var last *evidence.Head
		var broken error
		err := tx.Scan(journal.Evidence, "", func(k string, rec []byte) bool {
			r, err := evidence.Decode(rec)
			if err == nil && (k != number(next) || r.Seq != uint64(next) || r.Chain != [16]byte{byte(x.epoch + 1)} ||
				last != nil && r.Prev != last.Hash) {
				err = fmt.Errorf("record %d is not the next of the chain of %v", r.Seq, x)
			}
			if err == nil {
				var h evidence.Head
				h, err = evidence.HeadOf(rec)
				last = &h
			}
			next++
			broken = err
			return err == nil
		})
		if err == nil && broken == nil && next != x.n+1 {
			broken = fmt.Errorf("the evidence ends with record %d, the journal is at %v", next-1, x)
		}
		return errors.Join(err, broken)
	})
	return x, err
}

// start opens a journal as the daemon does: a corrupt one is set aside.
func start(path string, size int64) (s journal.Store, rotten bool, err error) {
	s, err = journal.OpenBolt(path, journal.Options{Size: size})
	if rotten = errors.Is(err, journal.ErrCorrupt); rotten {
		if _, err = journal.SetAside(path); err == nil {
			s, err = journal.OpenBolt(path, journal.Options{Size: size})
		}
	}
	return s, rotten, err
}

func begin(what any) error { return cutdisk.Say(fmt.Sprint("begin ", what)) }
func done(what any) error  { return cutdisk.Say(fmt.Sprint("done ", what)) }

// advance makes transactions x.n+1 to last.
func (x state) advance(s journal.Store, last int) error {
	for x.n < last {
		x.n++
		if err := begin(x); err != nil {
			return err
		}
		if err := x.commit(s); err != nil {
			return err
		}
		if err := done(x); err != nil {
			return err
		}
	}
	return nil
}

// diskLife is a first start, commits, growth, and three journals that rot and are replaced.
func diskLife(dir string) error {
	at, err := cutdisk.Attach(dir)
	if err != nil {
		return err
	}
	path := filepath.Join(at, "journal.db")
	size := int64(firstSize)
	for epoch := range 4 {
		x := state{epoch, 0}
		if err := begin(x); err != nil {
			return err
		}
		s, rotten, err := start(path, size)
		if err != nil || rotten != (epoch > 0) {
			return fmt.Errorf("start of %v: rotten %v (%v)", x, rotten, err)
		}
		if err := done(x); err != nil {
			return err
		}
		if err := errors.Join(x.advance(s, 16-4*epoch), s.Close()); err != nil {
			return err
		}
		if epoch == 0 {
			size = grownSize
			if err := begin("growth"); err != nil {
				return err
			}
			if s, _, err = start(path, size); err != nil {
				return err
			}
			if err := done("growth"); err != nil {
				return err
			}
			x.n = 16
			if err := errors.Join(x.advance(s, 20), s.Close()); err != nil {
				return err
			}
		}
		if epoch < 3 {
			if err := errors.Join(begin("rotten"), rot(path), done("rotten")); err != nil {
				return err
			}
		}
	}
	return nil
}

// rot destroys both meta pages.
func rot(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(bytes.Repeat([]byte("rot "), 2048), 0)
	return errors.Join(err, f.Sync(), f.Close())
}

// diskFault does one thing on a disk that is broken when it says "arm". On an error it looks at the
// journal that it has, closes it, and starts anew, once.
func diskFault(what, dir string) error {
	at, err := cutdisk.Attach(dir)
	if err != nil {
		return err
	}
	path, size, x := filepath.Join(at, "journal.db"), int64(firstSize), state{}
	var s journal.Store
	if what == "commit" {
		if s, _, err = start(path, size); err != nil {
			return err
		}
	}
	if what != "create" {
		x.n = 3
		if err := done(x); err != nil {
			return err
		}
	}
	if err := cutdisk.Say("arm"); err != nil {
		return err
	}
	if what == "grow" {
		size = grownSize
	}
	for try := 0; ; try++ {
		err := x.work(what, path, size, &s)
		if err == nil {
			break
		}
		if strings.Contains(err.Error(), journal.ErrCorrupt.Error()) {
			return fmt.Errorf("a fault is taken for rot: %w", err)
		}
		if err := cutdisk.Say("failed " + strings.ReplaceAll(err.Error(), "\n", "; ")); err != nil {
			return err
		}
		if s != nil {
			// Old, or unusable until it is opened again: never new, which is not known to be there.
			if y, err := stateOf(s, 0); err == nil && y != x {
				return fmt.Errorf("after an error the journal shows %v, not %v", y, x)
			}
			_ = s.Close()
			s = nil
		}
		if try == 1 {
			break
		}
		if what == "commit" {
			if s, _, err = start(path, size); err != nil {
				continue
			}
			y, err := stateOf(s, 0)
			if err != nil || y.n < x.n || y.n > x.n+1 {
				return fmt.Errorf("opened again after an error, the journal is %v, it was %v (%v)", y, x, err)
			}
			x = y
			if err := done(x); err != nil {
				return err
			}
		}
	}
	if s != nil {
		_ = s.Close()
	}
	return cutdisk.Say("end")
}

// work is what the fault comes upon. x is as far as it got.
func (x *state) work(what, path string, size int64, s *journal.Store) (err error) {
	say := func(word string) {
		if err == nil {
			err = cutdisk.Say(word)
		}
	}
	if *s == nil {
		if what == "grow" {
			say("begin growth")
		} else if x.n == 0 {
			say("begin 0/0")
		}
		if err != nil {
			return err
		}
		if *s, err = journal.OpenBolt(path, journal.Options{Size: size}); err != nil {
			*s = nil
			return err
		}
		if what == "grow" {
			say("done growth")
		} else if x.n == 0 {
			say("done 0/0")
		}
	}
	for last := x.n + 3; err == nil && x.n < min(last, 6); {
		next := state{0, x.n + 1}
		if say("begin " + next.String()); err != nil {
			return err
		}
		if err = next.commit(*s); err == nil {
			*x = next
			say("done " + next.String())
		}
	}
	return err
}

// diskFull fills the file system: a journal that is there goes on, growth does without, creation is refused.
func diskFull(dir string) error {
	at, err := cutdisk.Attach(dir)
	if err != nil {
		return err
	}
	path, x := filepath.Join(at, "journal.db"), state{}
	s, _, err := start(path, firstSize)
	if err != nil {
		return err
	}
	if err := errors.Join(done(x), x.advance(s, 3)); err != nil {
		return err
	}
	fill, err := os.Create(filepath.Join(at, "other"))
	if err != nil {
		return err
	}
	block := make([]byte, 4096)
	for err == nil {
		_, err = fill.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	if err := errors.Join(fill.Sync(), fill.Close(), cutdisk.Say("full")); err != nil {
		return err
	}
	x.n = 3
	if err := errors.Join(x.advance(s, 8), s.Close()); err != nil {
		return err
	}
	x.n = 8
	large, err := journal.OpenBolt(path, journal.Options{Size: diskSize})
	if err != nil {
		return fmt.Errorf("growth on a full disk takes the journal away: %w", err)
	}
	if err := large.Close(); err != nil {
		return err
	}
	if info, err := os.Stat(path); err != nil || info.Size() != firstSize {
		return fmt.Errorf("growth on a full disk leaves another size (%v)", err)
	}
	if _, err := journal.OpenBolt(filepath.Join(at, "second.db"),
		journal.Options{Size: firstSize}); !errors.Is(err, journal.ErrFull) {
		return fmt.Errorf("creation on a full disk: %v", err)
	}
	if s, _, err = start(path, firstSize); err != nil {
		return err
	}
	if got, err := stateOf(s, 0); err != nil || got != x {
		return fmt.Errorf("the journal is %v after a refused growth, it was %v (%v)", got, x, err)
	}
	return errors.Join(x.advance(s, 10), s.Close(), cutdisk.Say("end"))
}
