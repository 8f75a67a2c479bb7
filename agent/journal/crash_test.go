package journal_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/ratchet-ota/ratchet/agent/journal"
)

// roleCommit commits for ever and says so after each one.
func roleCommit(args []string) error {
	s, err := journal.OpenBolt(args[0], journal.Options{Size: journal.MinSize * 2})
	if err != nil {
		return err
	}
	n, err := content(s)
	for ; err == nil; fmt.Println(n) {
		n++
		err = commit(s, n)
	}
	return err
}

// TestKilled kills a process in the middle of its commits, again and again.
func TestKilled(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	path := filepath.Join(scratch(t), "journal.db")
	last := -1
	for round := range 25 {
		c := child("commit", path)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		// Also before the first commit, while the file is created or opened.
		timer := time.AfterFunc(time.Duration(r.IntN(60))*time.Millisecond, func() { _ = c.Process.Kill() })
		said := last
		for in := bufio.NewScanner(out); in.Scan(); {
			if said, err = strconv.Atoi(in.Text()); err != nil {
				t.Fatalf("child: %s", in.Text())
			}
		}
		_ = c.Wait()
		timer.Stop()
		if _, err := os.Stat(path); err != nil {
			continue // killed before it was created
		}
		if err := journal.Probe(path); err != nil {
			t.Fatalf("round %d, seed %d: %v", round, seed, err)
		}
		if err := bboltCheck(path); err != nil {
			t.Fatalf("round %d, seed %d: bbolt finds what Probe did not: %v", round, seed, err)
		}
		s, err := journal.OpenBolt(path, journal.Options{Size: journal.MinSize * 2})
		if err != nil {
			t.Fatalf("round %d, seed %d: %v", round, seed, err)
		}
		got, err := content(s)
		if err != nil || got < said || got > said+1 {
			t.Fatalf("round %d, seed %d: transaction %d after %d was reported durable, %v", round, seed, got, said, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		last = got
	}
	if last < 10 {
		t.Errorf("only %d commits in all rounds: the test did not reach what it tests", last)
	}
	t.Logf("%d commits", last)
}

// bboltCheck is bbolt's own opinion.
func bboltCheck(path string) error {
	db, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		var all []error
		for err := range tx.Check() {
			all = append(all, err)
		}
		return errors.Join(all...)
	})
}

// TestPowerCut builds the files that a cut in a commit can leave: any part of the data sectors
// with the old meta page, all of them with a torn meta page. All but the last must read as before.
func TestPowerCut(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	dir := scratch(t)
	path, cut := filepath.Join(dir, "journal.db"), filepath.Join(dir, "cut.db")
	s := open(t, path, journal.MinSize)
	for n := range 40 {
		before := read(t, path)
		if err := commit(s, n); err != nil {
			t.Fatal(err)
		}
		after := read(t, path)
		var data, metas []int // sectors that the commit wrote
		for off := 0; off < len(after); off += 512 {
			if !bytes.Equal(before[off:off+512], after[off:off+512]) {
				if off < 2*4096 {
					metas = append(metas, off)
				} else {
					data = append(data, off)
				}
			}
		}
		if len(metas) != 1 {
			t.Fatalf("commit %d wrote %d sectors of meta pages", n, len(metas))
		}
		for range 6 {
			image := bytes.Clone(before)
			whole := r.IntN(2) == 0
			for _, off := range data {
				if whole || r.IntN(2) == 0 {
					copy(image[off:off+512], after[off:])
				}
			}
			landed := false
			if whole { // the meta page is written after all data is synced: torn within, or whole
				if k := r.IntN(80); k < 64 {
					copy(image[metas[0]+16:], after[metas[0]+16:metas[0]+16+k])
				} else {
					copy(image[metas[0]:metas[0]+512], after[metas[0]:])
					landed = true
				}
			}
			if err := os.WriteFile(cut, image, 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := journal.OpenBolt(cut, journal.Options{Size: journal.MinSize})
			if err != nil {
				t.Fatalf("commit %d, seed %d: %v", n, seed, err)
			}
			got, err := content(c)
			// A meta page that is torn so late that nothing differs any more has landed.
			if err != nil || got != n && (landed || got != n-1) {
				t.Fatalf("commit %d, seed %d: reads as %d, %v", n, seed, got, err)
			}
			if err := errors.Join(commit(c, got+1), c.Close(), journal.Probe(cut), bboltCheck(cut)); err != nil {
				t.Fatalf("commit %d, seed %d, going on: %v", n, seed, err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
