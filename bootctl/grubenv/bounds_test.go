package grubenv_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/grubenv"
	"github.com/ratchet-ota/ratchet/hal"
)

func pad(s string) []byte {
	return append([]byte(s), bytes.Repeat([]byte("#"), grubenv.Size-len(s))...)
}

// board is a machine whose block holds these variables.
func board(t *testing.T, d *boottest.Disk, vars ...string) *grubenv.Backend {
	t.Helper()
	raw, err := grubenv.Encode(vars)
	if err != nil {
		t.Fatal(err)
	}
	d.Put(file, raw)
	return machines[0].backend(t, d)
}

// TestEncode: the bytes of a new block, and what none is made of; Decode gives back what went in.
func TestEncode(t *testing.T) {
	vars := []string{"a=b", "path=C:\\x\ny", "empty=", "eq=="}
	raw, err := grubenv.Encode(vars)
	want := pad("# GRUB Environment Block\na=b\npath=C:\\\\x\\\ny\nempty=\neq==\n")
	if err != nil || !bytes.Equal(raw, want) {
		t.Errorf("%q, %v, want %q", raw, err, want)
	}
	if got, err := grubenv.Decode(raw); err != nil || !slices.Equal(got, vars) {
		t.Errorf("%q, %v", got, err)
	}
	got, err := grubenv.Decode(pad("# GRUB Environment Block\n#a=b\nc=d\\e\\\\\n"))
	if err != nil || !slices.Equal(got, []string{"c=de\\"}) {
		t.Errorf("with a comment and needless escapes: %q, %v", got, err)
	}
	if got, err := grubenv.Decode(raw[1:]); err == nil || got != nil {
		t.Errorf("half a block: %q, %v", got, err)
	}
	const room = grubenv.Size - len("# GRUB Environment Block\n") - len("a=\n")
	for _, c := range []struct {
		v    string
		says string
	}{
		{"a", "is not name=value"}, {"=b", "is not name=value"}, {"#a=b", "is not name=value"}, {"a\nb=c",
			"is not name=value"},
		{"a\\b=c", "is not name=value"}, {"a=" + strings.Repeat("x", room), ""},
		{"a=" + strings.Repeat("x", room+1), "the variables need 1025 bytes, the environment block has 1024"},
	} {
		raw, err := grubenv.Encode([]string{c.v})
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) || err == nil &&
			len(raw) != grubenv.Size {
			t.Errorf("%.20q: %d bytes, %v, want %q", c.v, len(raw), err, c.says)
		}
	}
}

// TestLines: values end at a newline that is not escaped, names at the first '='.
func TestLines(t *testing.T) {
	for content, next := range map[string]bootctl.Slot{ // "": not valid
		"ORDER=B A\n": "B", "ORDER=\\B\n": "B", "#ORDER=B\n": "A", "x=\\\nORDER=B\n": "A", "x=\\\\\nORDER=B\n": "B",
		"ORDER=A\nORDER=B\n": "B", "\nORDER=B\n": "A", "=\n": "A", "x=": "", "x=\\": "", "\n": "",
		"A_OK=0\nORDER=B\n": "B", "A_OK=\n": "B", "A_TRY=1\n": "B", "A_TRY=\n": "B", "A_TRY=0\n": "A",
		"A_OK=1\\\n1\n": "B", "#x_OK=0\nORDER=#x A B\n": "#x",
	} {
		d := &boottest.Disk{}
		d.Put(file, pad("# GRUB Environment Block\n"+content))
		s, err := machines[0].backend(t, d).State(t.Context())
		if s.Next != next || (next == "") != errors.Is(err, bootctl.ErrInvalid) {
			t.Errorf("%q: next is %q, %v; want %q", content, s.Next, err, next)
		}
	}
}

// TestStates: what the variables say of a slot, by our script and by RAUC's.
func TestStates(t *testing.T) {
	for _, c := range []struct {
		vars       string
		ours, rauc bootctl.SlotState // of B
	}{
		{"", bootctl.SlotState{Bootable: true, Tries: 1}, bootctl.SlotState{}},
		{"B_OK=1", bootctl.SlotState{Bootable: true, Tries: 1}, bootctl.SlotState{Bootable: true, Tries: 1}},
		{"B_OK=1 B_TRY=0 B_GOOD=1", bootctl.SlotState{Bootable: true, Tries: 1, Confirmed: true},
			bootctl.SlotState{Bootable: true, Tries: 1, Confirmed: true}},
		{"B_OK=1 B_TRY=1 B_GOOD=0", bootctl.SlotState{Exhausted: true}, bootctl.SlotState{Exhausted: true}},
		{"B_OK=0 B_TRY=1 B_GOOD=0", bootctl.SlotState{}, bootctl.SlotState{}},
		{"B_OK=yes B_GOOD=yes", bootctl.SlotState{}, bootctl.SlotState{}},
	} {
		for i, m := range []machine{machines[0], machines[2]} {
			raw, err := grubenv.Encode(append(strings.Fields(c.vars), "A_OK=1", "A_GOOD=1", "ORDER=A B"))
			if err != nil {
				t.Fatal(err)
			}
			d := &boottest.Disk{}
			d.Put(file, raw)
			s, err := m.backend(t, d).State(t.Context())
			if want := []bootctl.SlotState{c.ours, c.rauc}[i]; err != nil || s.Slots["B"] != want {
				t.Errorf("%s, %q: %+v, %v; want %+v", m.name, c.vars, s.Slots["B"], err, want)
			}
		}
	}
}

// TestCaps: variables that just fit into the first sector are power-safe where Ratchet's script boots; one byte
// more is not, and neither is a script that counts confirmed slots.
func TestCaps(t *testing.T) {
	const room = 512 - len("# GRUB Environment Block\n") - len("a=\n")
	for more, want := range map[int]string{0: "environment block in one sector, which the medium must write whole",
		1: "environment block in two sectors"} {
		d := &boottest.Disk{}
		raw, err := grubenv.Encode([]string{"a=" + strings.Repeat("x", room+more)})
		if err != nil {
			t.Fatal(err)
		}
		d.Put(file, raw)
		for _, watchdog := range []bool{true, false} {
			b, err := grubenv.New(d, grubenv.Options{Path: file, Locks: []string{}, Slots: []bootctl.Slot{"A", "B"},
				Watchdog:        watchdog,
				CountsConfirmed: !watchdog})
			if err != nil {
				t.Fatal(err)
			}
			s, err := b.State(t.Context())
			got := s.Caps
			weak := ""
			switch {
			case more > 0:
				weak = "tear apart"
			case !watchdog:
				weak = "counts the confirmed slot too"
			}
			if !strings.Contains(got.Weakness, weak) || (got.Weakness == "") != (weak == "") {
				t.Errorf("%d bytes more: weakness %q", more, got.Weakness)
			}
			got.Weakness = ""
			if c := (bootctl.Caps{Backend: "grub", Layout: want, PowerSafe: weak == "", MaxTries: 1, Watchdog: watchdog,
				CountsConfirmed: !watchdog}); err != nil || got != c {
				t.Errorf("%d bytes more: %+v, %v", more, got, err)
			}
		}
	}
}

// TestLeastIsWritten: what a verb does not change is not written, and what is there already is not written again.
func TestLeastIsWritten(t *testing.T) {
	d := &boottest.Disk{}
	b := board(t, d, "ORDER=A  B A", "A_GOOD=1", "A_TRY=1", "x=y")
	if err := b.Refresh(t.Context(), "A"); err != nil {
		t.Fatal(err)
	}
	vars, err := grubenv.Decode(d.Get(file))
	if want := "ORDER=A  B A|A_GOOD=1|A_TRY=0|x=y|A_OK=1"; err != nil || strings.Join(vars, "|") != want {
		t.Errorf("%q, %v; want %s", vars, err, want)
	}
	for _, verb := range []func() error{
		func() error { return b.Refresh(t.Context(), "A") }, func() error { return b.Disable(t.Context(), "B") },
		func() error { return b.Try(t.Context(), "B", 1) }, func() error { return b.Confirm(t.Context(), "B") },
	} {
		if err := verb(); err != nil {
			t.Fatal(err)
		}
		before := d.Writes()
		if err := verb(); err != nil || d.Writes() != before {
			t.Errorf("the same verb again: %v, %d writes", err, d.Writes()-before)
		}
	}
}

// TestShadowHoldsOthers: the shadow copy has the lines of other programs and none of ours, and they are what comes
// back.
func TestShadowHoldsOthers(t *testing.T) {
	d := &boottest.Disk{}
	b := board(t, d, "x=y", "ORDER=A B", "A_OK=1", "A_TRY=0", "A_GOOD=1", "B_OK=1", "B_TRY=0", "B_GOOD=0", "z=1")
	if err := b.Refresh(t.Context(), "A"); err != nil {
		t.Fatal(err)
	}
	if shadow := d.Get("/var/shadow"); !bytes.HasSuffix(shadow, pad("# GRUB Environment Block\nx=y\nz=1\n")) {
		t.Errorf("the shadow copy is %q", shadow)
	}
	for what, shadow := range map[string][]byte{"x=y|z=1|": d.Get("/var/shadow"), "": []byte("no shadow copy")} {
		d.Put(file, nil)
		d.Put("/var/shadow", shadow)
		if err := b.Refresh(t.Context(), "B"); err != nil {
			t.Fatal(err)
		}
		vars, err := grubenv.Decode(d.Get(file))
		if want := what + "ORDER=B|A_OK=0|A_TRY=0|A_GOOD=0|B_OK=1|B_TRY=0|B_GOOD=1"; err != nil || strings.Join(vars,
			"|") != want {
			t.Errorf("%q, %v; want %s", vars, err, want)
		}
	}
}

// TestNames: slots that GRUB's variables can begin with.
func TestNames(t *testing.T) {
	for name, ok := range map[bootctl.Slot]bool{"0A": false, "9": false, "A0": true, "_A": true, "a": true} {
		_, err := grubenv.New(&boottest.Disk{}, grubenv.Options{Path: file, Slots: []bootctl.Slot{name}})
		if (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// sick is a disk whose file fails to open or to read, and which tells what is locked and closed.
type sick struct {
	*boottest.Disk
	open, write, read error
	eof               bool // it says so with the last byte
	locked            []string
	opened            int
}

type sickMedium struct {
	hal.Medium
	s *sick
}

func (s *sick) Open(path string, a hal.Access) (hal.Medium, error) {
	if path == file && a == hal.ReadOnly && s.open != nil {
		return nil, s.open
	}
	if path == file && a == hal.InPlace && s.write != nil {
		return nil, s.write
	}
	m, err := s.Disk.Open(path, a)
	if err != nil || path != file {
		return m, err
	}
	s.opened++
	return sickMedium{m, s}, nil
}

func (s *sick) Lock(ctx context.Context, path string) (func(), error) {
	s.locked = append(s.locked, path)
	return s.Disk.Lock(ctx, path)
}

func (m sickMedium) ReadAt(p []byte, off int64) (int, error) {
	if m.s.read != nil {
		return len(p), m.s.read
	}
	n, err := m.Medium.ReadAt(p, off)
	if m.s.eof && err == nil {
		err = io.EOF
	}
	return n, err
}

func (m sickMedium) Close() error {
	m.s.opened--
	return m.Medium.Close()
}

// TestSick: what cannot be read is not taken for lost, and nothing is restored over it.
func TestSick(t *testing.T) {
	errIO := errors.New("input/output error")
	for _, c := range []struct {
		what string
		set  func(s *sick)
		want error
		say  string
	}{
		{"nothing", func(*sick) {}, nil, ""},
		{"the end comes with the last byte", func(s *sick) { s.eof = true }, nil, ""},
		{"it cannot be opened", func(s *sick) { s.open = errIO }, errIO, "cannot read the environment block: "},
		{"it cannot be read", func(s *sick) { s.read = errIO }, errIO, "cannot read the environment block: "},
		{"it cannot be opened for writing", func(s *sick) { s.write = fs.ErrPermission }, fs.ErrPermission,
			"cannot write " + file},
	} {
		s := &sick{Disk: &boottest.Disk{}}
		board(t, s.Disk, "ORDER=A B", "A_GOOD=1", "A_TRY=1")
		before := bytes.Clone(s.Get(file))
		c.set(s)
		b, err := grubenv.New(s, grubenv.Options{Path: file, Slots: []bootctl.Slot{"A", "B"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.State(t.Context()); errors.Is(err, bootctl.ErrInvalid) {
			t.Errorf("%s: State: %v", c.what, err)
		}
		s.locked = nil
		err = b.Refresh(t.Context(), "A")
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || errors.Is(err, bootctl.ErrInvalid) ||
			err != nil && !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v", c.what, err)
		}
		if bytes.Equal(s.Get(file), before) != (c.want != nil) {
			t.Errorf("%s: written: %v", c.what, c.want != nil)
		}
		if s.opened != 0 || !slices.Equal(s.locked, []string{"/run/ratchet/lock/grubenv.lock"}) {
			t.Errorf("%s: %d files stay open, locks %q", c.what, s.opened, s.locked)
		}
	}
}

// TestMissingSays: which file it is that is not there.
func TestMissingSays(t *testing.T) {
	_, err := machines[0].backend(t, &boottest.Disk{}).State(t.Context())
	if !errors.Is(err, bootctl.ErrInvalid) || !strings.Contains(err.Error(), "there is no "+file) {
		t.Errorf("%v", err)
	}
}

// TestFaults: an error of the file system is told, and the verb can be called again.
func TestFaults(t *testing.T) {
	for _, m := range machines {
		d := m.disk(t)
		boottest.Faults(t, boottest.Board{
			Slots: [2]bootctl.Slot{"A", "B"}, Factory: d,
			Backend: func(d *boottest.Disk) bootctl.Backend { return m.backend(t, d) },
		}, func(d *boottest.Disk) { d.Put(file, nil) })
	}
}
