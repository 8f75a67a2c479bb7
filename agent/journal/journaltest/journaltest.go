// Package journaltest is the suite that every journal passes.
package journaltest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/journal"
)

// Run runs the suite. open returns a journal that holds what the one that was closed before it
// held; the first is empty. It is called again within one subtest only after Close.
// bounded tells that the journal fills up.
func Run(t *testing.T, bounded bool, fresh func(t *testing.T) (open func() journal.Store)) {
	run := func(name string, fn func(t *testing.T, s journal.Store, again func() journal.Store)) {
		t.Run(name, func(t *testing.T) {
			open := fresh(t)
			s := open()
			again := func() journal.Store {
				t.Helper()
				must(t, s.Close())
				s = open()
				return s
			}
			fn(t, s, again)
			must(t, s.Close())
		})
	}
	run("put get delete", putGetDelete)
	run("rollback", rollback)
	run("scan", scan)
	run("limits", limits)
	run("ended transaction", ended)
	run("panic of the caller", panics)
	run("closed", closed)
	run("readers beside a writer", readers)
	run("model", model)
	if bounded {
		run("full", full)
	}
}

// other is a bucket that the agent does not have: a journal takes any.
const other = "other"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, s journal.Store, bucket, key, value string) {
	t.Helper()
	must(t, s.Update(func(tx journal.Tx) error { return tx.Put(bucket, key, []byte(value)) }))
}

// get returns the value, or "-" when there is none.
func get(t *testing.T, s journal.Store, bucket, key string) string {
	t.Helper()
	v := "-"
	must(t, s.View(func(tx journal.Tx) error {
		if b := tx.Get(bucket, key); b != nil {
			v = string(b)
		}
		return nil
	}))
	return v
}

func putGetDelete(t *testing.T, s journal.Store, again func() journal.Store) {
	if v := get(t, s, journal.State, "record"); v != "-" {
		t.Fatalf("a new journal holds %q", v)
	}
	big := strings.Repeat("0123456789abcdef", 4096)
	values := map[string]string{"a": "1", "empty": "", "big": big, "edge": big[:1023], "edge2": big[:1024],
		"\xff\x00": "binary key"}
	for k, v := range values {
		put(t, s, journal.State, k, v)
	}
	put(t, s, journal.Evidence, "a", "other bucket")
	for range 2 {
		for k, v := range values {
			if got := get(t, s, journal.State, k); got != v {
				t.Fatalf("key %q: %d bytes, want %d", k, len(got), len(v))
			}
		}
		if got := get(t, s, journal.Evidence, "a"); got != "other bucket" {
			t.Fatalf("buckets are not apart: %q", got)
		}
		s = again()
	}
	// small becomes large and large becomes small
	put(t, s, journal.State, "a", big[:9000])
	put(t, s, journal.State, "big", "small")
	must(t, s.Update(func(tx journal.Tx) error {
		if err := tx.Delete(journal.State, "edge2"); err != nil {
			return err
		}
		return tx.Delete(journal.State, "never there")
	}))
	s = again()
	for k, v := range map[string]string{"a": big[:9000], "big": "small", "edge2": "-", "edge": big[:1023]} {
		if got := get(t, s, journal.State, k); got != v {
			t.Errorf("key %q: %d bytes, want %d", k, len(got), len(v))
		}
	}
}

func rollback(t *testing.T, s journal.Store, again func() journal.Store) {
	put(t, s, journal.State, "record", "old")
	mine := errors.New("mine")
	err := s.Update(func(tx journal.Tx) error {
		must(t, tx.Put(journal.State, "record", []byte("new")))
		must(t, tx.Put(journal.Evidence, "1", []byte("new")))
		if got := string(tx.Get(journal.State, "record")); got != "new" {
			t.Errorf("a transaction does not see its own change: %q", got)
		}
		return mine
	})
	if !errors.Is(err, mine) {
		t.Fatalf("error of the caller is lost: %v", err)
	}
	for range 2 {
		if r, e := get(t, s, journal.State, "record"), get(t, s, journal.Evidence, "1"); r != "old" || e != "-" {
			t.Fatalf("a failed transaction left %q and %q", r, e)
		}
		s = again()
	}
	if err := s.View(func(journal.Tx) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("View lost the error: %v", err)
	}
}

func scan(t *testing.T, s journal.Store, _ func() journal.Store) {
	seq := func(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }
	must(t, s.Update(func(tx journal.Tx) error {
		for _, n := range []uint64{300, 1, 255, 256, 2} {
			must(t, tx.Put(journal.Evidence, seq(n), fmt.Append(nil, n)))
		}
		return nil
	}))
	keys := func(tx journal.Tx, from string, stop int) []string {
		var got []string
		must(t, tx.Scan(journal.Evidence, from, func(k string, v []byte) bool {
			got = append(got, string(v))
			return len(got) != stop
		}))
		return got
	}
	must(t, s.View(func(tx journal.Tx) error {
		for _, c := range []struct {
			from string
			stop int
			want []string
		}{
			{"", 0, []string{"1", "2", "255", "256", "300"}},
			{seq(3), 0, []string{"255", "256", "300"}},
			{seq(255), 2, []string{"255", "256"}},
			{seq(301), 0, nil},
		} {
			if got := keys(tx, c.from, c.stop); !slices.Equal(got, c.want) {
				t.Errorf("scan from %x: %v, want %v", c.from, got, c.want)
			}
		}
		return tx.Scan("nothing", "", func(string, []byte) bool {
			t.Error("a bucket that is not there has keys")
			return true
		})
	}))
	err := s.Update(func(tx journal.Tx) error {
		must(t, tx.Delete(journal.Evidence, seq(255)))
		must(t, tx.Put(journal.Evidence, seq(257), []byte("257")))
		if got := keys(tx, "", 0); !slices.Equal(got, []string{"1", "2", "256", "257", "300"}) {
			t.Errorf("scan of changed bucket: %v", got)
		}
		var inside error
		must(t, tx.Scan(journal.Evidence, "", func(k string, _ []byte) bool {
			inside = tx.Delete(journal.Evidence, k)
			must(t, tx.Put(other, k, []byte("another bucket may change")))
			return false
		}))
		if inside == nil {
			t.Error("a bucket was changed while it was scanned")
		}
		return tx.Delete(journal.Evidence, seq(1))
	})
	must(t, err)
}

func limits(t *testing.T, s journal.Store, _ func() journal.Store) {
	must(t, s.Update(func(tx journal.Tx) error {
		for name, err := range map[string]error{
			"empty key":       tx.Put(journal.State, "", nil),
			"long key":        tx.Put(journal.State, strings.Repeat("k", journal.MaxKey+1), nil),
			"empty bucket":    tx.Put("", "k", nil),
			"internal bucket": tx.Put("\x00sums", "k", nil),
			"long bucket":     tx.Put(strings.Repeat("b", journal.MaxBucket+1), "k", nil),
			"large value":     tx.Put(journal.State, "k", make([]byte, journal.MaxValue+1)),
		} {
			if err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
		return tx.Put(journal.State, strings.Repeat("k", journal.MaxKey), []byte("longest key"))
	}))
	must(t, s.View(func(tx journal.Tx) error {
		if tx.Put(journal.State, "k", nil) == nil || tx.Delete(journal.State, "k") == nil {
			t.Error("a View changed something")
		}
		return nil
	}))
}

func ended(t *testing.T, s journal.Store, _ func() journal.Store) {
	var kept journal.Tx
	must(t, s.Update(func(tx journal.Tx) error { kept = tx; return tx.Put(journal.State, "k", []byte("v")) }))
	if kept.Get(journal.State, "k") != nil || kept.Put(journal.State, "k", nil) == nil ||
		kept.Delete(journal.State, "k") == nil || kept.Scan(journal.State, "", nil) == nil {
		t.Error("a transaction that has ended still works")
	}
}

func panics(t *testing.T, s journal.Store, _ func() journal.Store) {
	for _, f := range []func(func(journal.Tx) error) error{s.View, s.Update} {
		func() {
			defer func() {
				if p := recover(); p != "mine" {
					t.Errorf("the caller's panic became %v", p)
				}
			}()
			_ = f(func(journal.Tx) error { panic("mine") })
		}()
	}
	put(t, s, journal.State, "k", "the locks were released")
}

func closed(t *testing.T, s journal.Store, again func() journal.Store) {
	put(t, s, journal.State, "k", "v")
	old := s
	s = again()
	if get(t, s, journal.State, "k") != "v" {
		t.Error("lost by Close")
	}
	must(t, s.Close())
	_, ferr := s.Free()
	for name, err := range map[string]error{
		"View":   s.View(func(journal.Tx) error { return nil }),
		"Update": s.Update(func(journal.Tx) error { return nil }),
		"Free":   ferr,
	} {
		if !errors.Is(err, journal.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	must(t, errors.Join(s.Close(), old.Close()))
}

func readers(t *testing.T, s journal.Store, _ func() journal.Store) {
	put(t, s, journal.State, "record", "0")
	put(t, s, journal.Evidence, "record", "0")
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := s.View(func(tx journal.Tx) error {
					if a, b := tx.Get(journal.State, "record"), tx.Get(journal.Evidence, "record"); !bytes.Equal(a, b) {
						return fmt.Errorf("half a transaction is visible: %s and %s", a, b)
					}
					return nil
				}); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	for i := range 40 {
		must(t, s.Update(func(tx journal.Tx) error {
			v := []byte(fmt.Sprint(i))
			return errors.Join(tx.Put(journal.State, "record", v), tx.Put(journal.Evidence, "record", v))
		}))
	}
	close(stop)
	wg.Wait()
}

// model compares random transactions with a map.
func model(t *testing.T, s journal.Store, again func() journal.Store) {
	seed := rand.Uint64()
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	r := rand.New(rand.NewPCG(seed, 1))
	want := map[string]string{}
	for round := range 120 {
		next := maps.Clone(want)
		fail := r.IntN(5) == 0
		err := s.Update(func(tx journal.Tx) error {
			for range r.IntN(6) {
				k := fmt.Sprintf("k%d", r.IntN(30))
				if r.IntN(3) == 0 {
					delete(next, k)
					must(t, tx.Delete(journal.State, k))
					continue
				}
				size := r.IntN(200)
				if r.IntN(5) == 0 {
					size = r.IntN(3000)
				}
				v := bytes.Repeat([]byte{byte(round)}, size)
				next[k] = string(v)
				must(t, tx.Put(journal.State, k, v))
				clear(v) // the journal may not keep the caller's slice
			}
			if fail {
				return errors.New("no")
			}
			return nil
		})
		if fail != (err != nil) {
			t.Fatalf("round %d: %v", round, err)
		}
		if !fail {
			want = next
		}
		if r.IntN(10) == 0 {
			s = again()
		}
		got := map[string]string{}
		must(t, s.View(func(tx journal.Tx) error {
			return tx.Scan(journal.State, "", func(k string, v []byte) bool { got[k] = string(v); return true })
		}))
		if !maps.Equal(got, want) {
			t.Fatalf("round %d: %d keys, want %d", round, len(got), len(want))
		}
	}
}

// full fills the journal, then shows that it can still be emptied and used.
func full(t *testing.T, s journal.Store, again func() journal.Store) {
	seq := func(n int) string { return string(binary.BigEndian.AppendUint64(nil, uint64(n))) }
	record := bytes.Repeat([]byte("e"), 400)
	before, err := s.Free()
	must(t, err)
	n := 0
	for ; ; n++ {
		err := s.Update(func(tx journal.Tx) error {
			must(t, tx.Put(journal.State, "record", fmt.Append(nil, n)))
			return tx.Put(journal.Evidence, seq(n), record)
		})
		if err == nil && n < 100_000 {
			continue
		}
		if !errors.Is(err, journal.ErrFull) {
			t.Fatalf("after %d records: %v, want ErrFull", n, err)
		}
		break
	}
	if n < 50 {
		t.Fatalf("full after %d records of %d bytes in %d bytes", n, len(record), before)
	}
	if free, err := s.Free(); err != nil || free >= before {
		t.Errorf("free: %d after %d, %v", free, before, err)
	}
	s = again()
	if got := get(t, s, journal.State, "record"); got != fmt.Sprint(n-1) {
		t.Errorf("the refused transaction left record %s, want %d", got, n-1)
	}
	// Pruning, with the little that is put to keep the books, must work in a full journal.
	for from := 0; from < n-10; from += 50 {
		must(t, s.Update(func(tx journal.Tx) error {
			for i := from; i < min(from+50, n-10); i++ {
				must(t, tx.Delete(journal.Evidence, seq(i)))
			}
			return tx.Put(journal.State, "first", []byte(seq(from)))
		}))
	}
	free, err := s.Free()
	must(t, err)
	if free < before/2 {
		t.Errorf("pruning left %d free bytes of %d", free, before)
	}
	for i := n; i < n+20; i++ {
		must(t, s.Update(func(tx journal.Tx) error { return tx.Put(journal.Evidence, seq(i), record) }))
	}
}
