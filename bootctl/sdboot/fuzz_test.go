package sdboot_test

import (
	"bytes"
	"errors"
	"regexp"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
)

// FuzzEntry puts any bytes where slot A's entry and a file of any name are. Whatever it is: no panic,
// no write to what does not validate, and the backend and systemd-boot's model read the same choice.
func FuzzEntry(f *testing.F) {
	good := entry(f, "A", 2, true)
	f.Add(good, "ratchet-B-7+3-0.conf", entry(f, "B", 7, true))
	f.Add(entry(f, "A", 2, false), "ratchet-B-7+0-3.conf", entry(f, "B", 7, true))
	f.Add(bytes.TrimRight(good, "\n"), "ratchet-A-1+1.conf", []byte("linux x\n"))
	f.Add(bytes.ReplaceAll(good, []byte("\n"), []byte("\r")), "ratchet-A.conf.new", []byte{})
	f.Add(append(bytes.Clone(good), 0, 'x'), "ratchet-B-07+09-00.conf", entry(f, "B", 9, true))
	f.Add([]byte("#- linux x\n\tlinux\ty\nversion \"3\"\nsort-key ratchet"), "x+3.conf",
		[]byte("sort-key ratchet\nversion 9\nlinux z\n"))
	f.Fuzz(func(t *testing.T, a []byte, name string, raw []byte) {
		d := &boottest.Disk{FAT: folder}
		d.Put(folder+"/ratchet-A.conf", a)
		d.Put(folder+"/ratchet-B.conf", entry(t, "B", 1, true))
		if name == "" || bytes.ContainsAny([]byte(name), "/\x00") {
			name = "x"
		}
		d.Put(folder+"/"+name, raw)
		b := backend(t, d)
		before := dump(d)
		s, err := b.State(t.Context())
		if err != nil {
			if !errors.Is(err, bootctl.ErrInvalid) {
				t.Fatalf("State: %v", err)
			}
			if b.Try(t.Context(), "B", 1) == nil || b.Disable(t.Context(), "B") == nil ||
				b.Confirm(t.Context(), "B") == nil {
				t.Error("invalid metadata is changed")
			}
			if !bytes.Equal(dump(d), before) {
				t.Error("invalid metadata is written")
			}
			return
		}
		// Of ours the loader picks the one that the backend says. A stranger's entry may go before where
		// loader.conf names no default; that it names one is the board's matter.
		ids, err := model(d, nil).Entries()
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			slot, live := ours(id)
			if slot == "" {
				continue
			}
			if next := string(s.Next); next != slot && live {
				t.Errorf("the backend says %q is next, the loader boots %q of %q", next, id, ids)
			}
			break
		}
		if err := b.Confirm(t.Context(), "B"); err != nil {
			t.Fatalf("Confirm: %v", err)
		}
		if s, err := b.State(t.Context()); err != nil || s.Next != "B" || !s.Slots["B"].Confirmed {
			t.Errorf("after Confirm(B): %+v, %v", s, err)
		}
	})
}

// ours tells the slot of one of our files by a parser of the test's own.
func ours(file string) (slot string, live bool) {
	m := named.FindStringSubmatch(file)
	if m == nil {
		return "", false
	}
	return m[1], m[2] == "" || len(m[3]) > 0 && bytes.Trim([]byte(m[3]), "0") != nil &&
		len(bytes.Trim([]byte(m[3]), "0")) > 0
}

var named = regexp.MustCompile(`^ratchet-([AB])(-[0-9]{1,12}\+([0-9]{1,2})(-[0-9]{1,2})?)?\.conf$`)
