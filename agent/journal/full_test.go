package journal_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/ratchet-ota/ratchet/agent/journal"
)

// TestFullJournalCanBeEmptied: a commit that only deletes copies pages before it frees any. A journal that was filled
// to the last page by transitions could not even be pruned.
func TestFullJournalCanBeEmptied(t *testing.T) {
	for _, size := range []int{10, 700, 900, 5000, 30000} {
		s := open(t, filepath.Join(scratch(t), fmt.Sprint("j", size)), journal.MinSize)
		n := 0
		var err error
		for ; err == nil && n < 20000; n++ {
			err = s.Update(func(tx journal.Tx) error {
				for i := range max(1, 2000/size) {
					key, value := fmt.Sprintf("%d/%d", n, i), []byte(strings.Repeat("v", size))
					if err := tx.Put(journal.State, key, value); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if !errors.Is(err, journal.ErrFull) {
			t.Errorf("values of %d bytes: after %d transitions %v, want ErrFull", size, n, err)
		}
		for i := range 3 {
			err := s.Update(func(tx journal.Tx) error { return tx.Delete(journal.State, fmt.Sprintf("%d/0", i)) })
			if err != nil {
				t.Errorf("values of %d bytes: deletion %d from a full journal: %v", size, i+1, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestLostKeysDoNotAddUp: what a bucket holds is checked as a whole. A key that is gone, with a file that is whole
// otherwise, is damage.
func TestLostKeysDoNotAddUp(t *testing.T) {
	for name, harm := range map[string]func(b *bbolt.Bucket) error{
		"a key is gone": func(b *bbolt.Bucket) error { return b.Delete([]byte("b")) },
		"all keys are gone": func(b *bbolt.Bucket) error {
			return errors.Join(b.Delete([]byte("a")), b.Delete([]byte("b")))
		},
		"another has its value": func(b *bbolt.Bucket) error {
			return b.Put([]byte("b"), append([]byte(nil), b.Get([]byte("a"))...))
		},
	} {
		path := filepath.Join(scratch(t), "j")
		s := open(t, path, journal.MinSize)
		if err := errors.Join(put(s, journal.State, "a", "1"), put(s, journal.State, "b", "1"), s.Close()); err != nil {
			t.Fatal(err)
		}
		db, err := bbolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error { return harm(tx.Bucket([]byte(journal.State))) })
		if err = errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		if err := journal.Probe(path); !errors.Is(err, journal.ErrCorrupt) {
			t.Errorf("%s: %v, want %v", name, err, journal.ErrCorrupt)
		}
	}
}
