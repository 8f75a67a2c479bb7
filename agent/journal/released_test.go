package journal_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/journal"
)

// writeReleased makes the file of a version:
// go test ./agent/journal -run Released -ratchet.released testdata/journal-0.2.db.gz
var writeReleased = flag.String("ratchet.released", "", "write the journal of this version into this file")

// contents are what a journal of a released version holds, by bucket and key: small and large values, keys of bytes.
func contents() map[[2]string][]byte {
	seq := func(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }
	out := map[[2]string][]byte{
		{journal.State, "schema"}:          {1},
		{journal.State, "record"}:          bytes.Repeat([]byte("record "), 30),
		{journal.State, "envelope"}:        bytes.Repeat([]byte("envelope "), 2000),
		{journal.State, "bound/" + seq(7)}: []byte("digest"),
		{journal.State, "slot/A"}:          {},
		{journal.State, "final/sha256:00"}: []byte("final"),
		{journal.State, "check/app/x"}:     bytes.Repeat([]byte{0}, 300),
	}
	for n := uint64(1); n <= 40; n++ {
		out[[2]string{journal.Evidence, seq(n)}] = []byte(fmt.Sprintf("record %d of the evidence", n))
	}
	return out
}

// TestReleasedJournal: the file that version 0.1 has written is read whole, and goes on. It is never written again: a
// device in the field has one like it.
func TestReleasedJournal(t *testing.T) {
	if *writeReleased != "" {
		writeJournal(t, *writeReleased)
	}
	f, err := os.Open("testdata/journal-0.1.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "journal.db")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for n := range 2 { // as it was left, and as this version leaves it
		s, err := journal.OpenBolt(path, journal.Options{Size: journal.MinSize})
		if err != nil {
			t.Fatal(err)
		}
		want := contents()
		if n > 0 {
			want[[2]string{journal.State, "record"}] = []byte("new")
		}
		err = s.View(func(tx journal.Tx) error {
			for k, v := range want {
				if got := tx.Get(k[0], k[1]); got == nil || !bytes.Equal(got, v) {
					t.Errorf("%s %q holds %.40q, want %.40q", k[0], k[1], got, v)
				}
			}
			for _, bucket := range []string{journal.State, journal.Evidence} {
				if err := tx.Scan(bucket, "", func(k string, _ []byte) bool {
					if _, ok := want[[2]string{bucket, k}]; !ok {
						t.Errorf("%s has %q", bucket, k)
					}
					return true
				}); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			err = s.Update(func(tx journal.Tx) error { return tx.Put(journal.State, "record", []byte("new")) })
		}
		if err == nil {
			err = s.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func writeJournal(t *testing.T, path string) {
	t.Helper()
	db := filepath.Join(t.TempDir(), "journal.db")
	s, err := journal.OpenBolt(db, journal.Options{Size: journal.MinSize})
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range contents() {
		if err := s.Update(func(tx journal.Tx) error { return tx.Put(k[0], k[1], v) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err == nil {
		_, err = z.Write(b)
	}
	if err == nil {
		err = z.Close()
	}
	if err == nil {
		err = os.WriteFile(path, out.Bytes(), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
