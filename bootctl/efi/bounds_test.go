package efi_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/efi"
)

// A and B are the numbers of the slots' options.
const A, B = 0x10, 0x1A

// firmware is a machine with these variables; B's option may be switched off, or not there.
func firmware(bootOrder, bootNext []uint16, b string) *boottest.Disk {
	d := &boottest.Disk{}
	v := d.Variables()
	v.Put(boot(0), 7, load("UEFI DVD", true))
	v.Put(boot(A), 7, load("ratchet A", true))
	if b != "gone" {
		v.Put(boot(B), 7, load("ratchet B", b != "off"))
	}
	v.Put(order, 7, words(bootOrder...))
	v.Put(next, 7, words(bootNext...))
	return d
}

func get(d *boottest.Disk, name string) (n []uint16) {
	_, raw, _ := d.Variables().Get(name)
	for ; len(raw) >= 2; raw = raw[2:] {
		n = append(n, binary.LittleEndian.Uint16(raw))
	}
	return n
}

// TestStates: what the variables say, by the rule of the firmware: BootNext once, then BootOrder.
func TestStates(t *testing.T) {
	confirmed := bootctl.SlotState{Bootable: true, Confirmed: true, Tries: -1}
	trial := bootctl.SlotState{Bootable: true, Tries: 1}
	none := bootctl.SlotState{}
	for _, c := range []struct {
		what        string
		order, next []uint16
		b           string
		a, bIs      bootctl.SlotState
		boots       bootctl.Slot
	}{
		{"both", []uint16{0, A, B}, nil, "", confirmed, confirmed, "A"},
		{"the other first", []uint16{B, 0, A}, nil, "", confirmed, confirmed, "B"},
		{"twice", []uint16{A, A, B, A}, nil, "", confirmed, confirmed, "A"},
		{"one", []uint16{A}, nil, "", confirmed, none, "A"},
		{"armed", []uint16{A}, []uint16{B}, "", confirmed, trial, "B"},
		{"armed and in order", []uint16{A, B}, []uint16{B}, "", confirmed, trial, "B"},
		{"what is first is confirmed with BootNext, too", []uint16{A, B}, []uint16{A}, "", confirmed, confirmed, "A"},
		{"what is off is not first", []uint16{B, A}, []uint16{A}, "off", confirmed, none, "A"},
		{"off", []uint16{B, A}, nil, "off", confirmed, none, "A"},
		{"no option", []uint16{B, A}, nil, "gone", confirmed, none, "A"},
		{"no option, and the number 0 is another's", []uint16{0, A}, nil, "gone", confirmed, none, "A"},
		{"somebody else's BootNext", []uint16{A}, []uint16{0}, "", confirmed, none, ""},
		{"somebody else's BootNext, and no option", []uint16{A}, []uint16{0}, "gone", confirmed, none, ""},
		{"a BootNext of nothing", []uint16{A}, []uint16{0x77}, "", confirmed, none, ""},
	} {
		d := firmware(c.order, c.next, c.b)
		s, err := backend(t, d).State(t.Context())
		if err != nil || s.Slots["A"] != c.a || s.Slots["B"] != c.bIs || s.Next != c.boots {
			t.Errorf("%s: %+v, %v", c.what, s, err)
		}
	}
	for _, raw := range [][]byte{{B}, {B, 0, 0}, {B, 0, 0, 0}} { // no number
		d := firmware([]uint16{A}, nil, "")
		d.Variables().Put(next, 7, raw)
		if s, err := backend(t, d).State(t.Context()); err != nil || s.Next != "A" {
			t.Errorf("BootNext %x: %+v, %v", raw, s, err)
		}
	}
}

// TestVerbs: which variables each verb sets, to what, and in how many steps.
func TestVerbs(t *testing.T) {
	type verb func(b *efi.Backend) error
	disable := func(s bootctl.Slot) verb { return func(b *efi.Backend) error { return b.Disable(t.Context(), s) } }
	confirm := func(s bootctl.Slot) verb { return func(b *efi.Backend) error { return b.Confirm(t.Context(), s) } }
	refresh := func(s bootctl.Slot) verb { return func(b *efi.Backend) error { return b.Refresh(t.Context(), s) } }
	try := func(b *efi.Backend) error { return b.Try(t.Context(), "B", 1) }
	for _, c := range []struct {
		what        string
		order, next []uint16
		b           string
		do          verb
		says        string // "": no error
		then, armed []uint16
		steps       int
	}{
		{"Disable", []uint16{0, B, 0x77, A}, nil, "", disable("B"), "", []uint16{0, 0x77, A}, nil, 1},
		{"Disable what is disabled", []uint16{0, A}, nil, "", disable("B"), "", []uint16{0, A}, nil, 0},
		{"Disable what is armed", []uint16{0, A}, []uint16{B}, "", disable("B"), "", []uint16{0, A}, nil, 1},
		{"Disable what is armed and in order", []uint16{A, B}, []uint16{B}, "", disable("B"), "", []uint16{A}, nil, 2},
		{"Disable what is first, with BootNext", []uint16{B, A}, []uint16{B}, "", disable("B"), "", []uint16{A}, nil,
			2},
		{"Disable leaves somebody else's BootNext", []uint16{A, B}, []uint16{0}, "", disable("B"), "", []uint16{A},
			[]uint16{0}, 1},
		{"Disable of what has no option", []uint16{0, A}, nil, "gone", disable("B"), "", []uint16{0, A}, nil, 0},
		{"Disable would leave an empty BootOrder", []uint16{B}, []uint16{A}, "off", disable("B"),
			bootctl.ErrNoFallback.Error(), []uint16{B}, []uint16{A}, 0},
		{"Try", []uint16{0, A}, nil, "", try, "", []uint16{0, A}, []uint16{B}, 1},
		{"Try what is confirmed", []uint16{0, B, A}, nil, "", try, "", []uint16{0, A}, []uint16{B}, 2},
		{"Try again", []uint16{0, A}, []uint16{B}, "", try, "", []uint16{0, A}, []uint16{B}, 0},
		{"Try over somebody else's BootNext", []uint16{A}, []uint16{0}, "", try, "", []uint16{A}, []uint16{B}, 1},
		{"Try of what has no option", []uint16{A}, nil, "gone", try,
			`cannot arm slot B: no load option "ratchet B" is there: make it with efibootmgr`, []uint16{A}, nil, 0},
		{"Confirm what is armed", []uint16{0, A}, []uint16{B}, "", confirm("B"), "", []uint16{B, 0, A}, nil, 2},
		{"Confirm what is off", []uint16{A, B}, nil, "off", confirm("B"), "", []uint16{B, A}, nil, 2},
		{"Confirm what is confirmed", []uint16{B, A}, nil, "", confirm("B"), "", []uint16{B, A}, nil, 0},
		{"Confirm leaves somebody else's BootNext", []uint16{A, B}, []uint16{0}, "", confirm("B"), "", []uint16{B, A},
			[]uint16{0}, 1},
		{"Confirm of what has no option", []uint16{A}, nil, "gone", confirm("B"), "no load option", []uint16{A}, nil,
			0},
		{"Refresh", []uint16{0, A}, nil, "gone", refresh("A"), "", []uint16{0, A}, nil, 0},
		{"Refresh of a lost BootOrder", nil, nil, "", refresh("B"), "", []uint16{B}, nil, 1},
		{"Refresh for what has no option", nil, nil, "gone", refresh("B"), "no load option \"ratchet B\"", nil, nil, 0},
	} {
		d := firmware(c.order, c.next, c.b)
		b, err := efi.New(d.Variables(), d, efi.Options{Locks: []string{}, Slots: []bootctl.Slot{"A", "B"}})
		if err != nil {
			t.Fatal(err)
		}
		before := d.Writes()
		err = c.do(b)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.what, err, c.says)
		}
		if got, armed := get(d, order), get(d, next); !slices.Equal(got, c.then) || !slices.Equal(armed, c.armed) ||
			d.Writes()-before != c.steps {
			t.Errorf("%s: BootOrder %x, BootNext %x in %d steps; want %x, %x in %d", c.what, got, armed,
				d.Writes()-before, c.then, c.armed, c.steps)
		}
		want := load("ratchet B", c.b != "off" || c.what == "Confirm what is off")
		if _, raw, _ := d.Variables().Get(boot(B)); c.b != "gone" && !bytes.Equal(raw, want) {
			t.Errorf("%s: the option is %x", c.what, raw)
		}
	}
}

// TestAttributes: bits of an option that are not ours stay when it is switched on.
func TestAttributes(t *testing.T) {
	d := firmware([]uint16{A}, nil, "")
	hidden := load("ratchet B", false)
	hidden[0], hidden[1] = 8, 1 // hidden, and of a category
	d.Variables().Put(boot(B), 7, hidden)
	if err := backend(t, d).Confirm(t.Context(), "B"); err != nil {
		t.Fatal(err)
	}
	hidden[0] |= 1
	if _, raw, _ := d.Variables().Get(boot(B)); !bytes.Equal(raw, hidden) {
		t.Errorf("%x, want %x", raw, hidden)
	}
}

// TestOtherVariables: what only looks like a load option of ours is none.
func TestOtherVariables(t *testing.T) {
	cut := load("ratchet B", true)
	for name, data := range map[string][]byte{
		"Boot0001-00000000-0000-0000-0000-000000000000": load("ratchet B", true), // another vendor's
		"Boot1" + global:     load("ratchet B", true),
		"Boot00001" + global: load("ratchet B", true),
		"Boot00g1" + global:  load("ratchet B", true),
		"0001" + global:      load("ratchet B", true),
		"boot0001" + global:  load("ratchet B", true),
		"Key0001" + global:   load("ratchet B", true),
		boot(1):              load("ratchet b", true),
		boot(2):              load("ratchet B ", true),
		boot(3):              cut[:len(cut)-1][:6+2*len("ratchet B")],                     // no end of the description
		boot(4):              append([]byte{1, 0, 0, 0, 1, 0}, utf("ratchet B")...),       // no device path
		boot(5):              {1, 0, 0, 0, 0, 0},                                          // nothing
		boot(6):              {1, 0, 0, 0, 0, 0, 0},                                       // half a NUL
		boot(7):              append([]byte{1, 0, 0, 0, 0xff, 0xff}, utf("ratchet B")...), // device paths beyond
	} {
		d := firmware([]uint16{A, B}, nil, "")
		d.Variables().Put(name, 7, data)
		if s, err := backend(t, d).State(t.Context()); err != nil || !s.Slots["B"].Confirmed {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	d := firmware([]uint16{A, 1}, nil, "gone")
	d.Variables().Put(boot(1), 7, append([]byte{1, 0, 0, 0, 0, 0}, utf("ratchet B")...)) // the least option of ours
	if s, err := backend(t, d).State(t.Context()); err != nil || !s.Slots["B"].Confirmed {
		t.Errorf("an option without device paths: %+v, %v", s, err)
	}
	d.Variables().Put(boot(2), 7, load("ratchet B", true))
	_, err := backend(t, d).State(t.Context())
	if err == nil || !strings.Contains(err.Error(), "slot B has two load options, 0001 and 0002") {
		t.Errorf("two options: %v", err)
	}
}

// kept is a shadow file of options: name, number and bytes of each.
func kept(payload ...[]byte) []byte {
	p := slices.Concat(payload...)
	b := binary.LittleEndian.AppendUint32([]byte("RTSHADW1"), uint32(len(p)))
	return append(binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(p)), p...)
}

func item(name string, number uint16, option []byte) []byte {
	b := binary.LittleEndian.AppendUint16(append([]byte(name), 0), number)
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(option))), option...)
}

// TestRevive: an option that the firmware dropped comes back as it was, and nothing else does.
func TestRevive(t *testing.T) {
	a, b := load("ratchet A", true), load("ratchet B", true)
	for _, c := range []struct {
		what   string
		shadow []byte
		back   bool // B is there again
	}{
		{"none", nil, false},
		{"both", kept(item("A", A, a), item("B", B, b)), true},
		{"the other way round", kept(item("B", B, b), item("A", A, a)), true},
		{"a slot that is not ours", kept(item("C", 0x33, load("ratchet C", true)), item("B", B, b)), true},
		{"the number is another's now", kept(item("B", 0, b)), false},
		{"the number is the other slot's now", kept(item("B", A, b)), false},
		{"no load option", kept(item("B", B, []byte("nonsense")), item("A", A, a)), false},
		{"nothing in it", kept(), false},
		{"a name alone", kept([]byte("B")), false},
		{"a name and its NUL", kept([]byte("B\x00")), false},
		{"no length", kept(item("B", B, b)[:2+5]), false},
		{"cut off", kept(item("B", B, b)[:2+6+len(b)-1]), false},
		{"no bytes", kept(item("B", B, nil)), false},
		{"damaged", append(kept(item("B", B, b)), 0), false},
	} {
		d := firmware([]uint16{0, A, B}, nil, "gone")
		if c.shadow != nil {
			d.Put("/var/shadow", c.shadow)
		}
		before := d.Variables().Dump()
		if err := backend(t, d).Refresh(t.Context(), "A"); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
		attr, raw, _ := d.Variables().Get(boot(B))
		if c.back != (raw != nil) || c.back && (attr != 7 || !bytes.Equal(raw, b)) {
			t.Errorf("%s: B's option is %x, attributes %d", c.what, raw, attr)
		}
		d.Variables().Put(boot(B), 7, nil)
		if !bytes.Equal(d.Variables().Dump(), before) {
			t.Errorf("%s: other variables changed", c.what)
		}
		if after := d.Get("/var/shadow"); !c.back && !bytes.Equal(after, c.shadow) {
			t.Errorf("%s: the shadow copy became %x", c.what, after)
		}
	}
}

// TestShadowFile: what is kept of the options, after a Refresh and after a restore.
func TestShadowFile(t *testing.T) {
	want := kept(item("A", A, load("ratchet A", true)), item("B", B, load("ratchet B", true)))
	for _, bootOrder := range [][]uint16{{A, B}, nil} {
		d := firmware(bootOrder, nil, "")
		if err := backend(t, d).Refresh(t.Context(), "A"); err != nil || !bytes.Equal(d.Get("/var/shadow"), want) {
			t.Errorf("BootOrder %x: %v, the shadow copy is %x, want %x", bootOrder, err, d.Get("/var/shadow"), want)
		}
	}
}

// locked tells which locks are taken.
type locked struct {
	*boottest.Disk
	taken *[]string
}

func (l locked) Lock(ctx context.Context, path string) (func(), error) {
	*l.taken = append(*l.taken, path)
	return l.Disk.Lock(ctx, path)
}

// unlisted are variables that cannot be listed.
type unlisted struct{ boottest.Variables }

func (unlisted) Names() ([]string, error) { return nil, errIO }

// TestCaps: what the firmware is said to be capable of, under which lock; and that it must be readable.
func TestCaps(t *testing.T) {
	d := firmware([]uint16{A, B}, nil, "")
	for _, watchdog := range []bool{true, false} {
		var taken []string
		b, err := efi.New(d.Variables(), locked{d, &taken}, efi.Options{Slots: []bootctl.Slot{"A", "B"},
			Watchdog: watchdog})
		if err != nil {
			t.Fatal(err)
		}
		s, err := b.State(t.Context())
		want := bootctl.Caps{Backend: "uefi", Layout: "BootOrder and BootNext", PowerSafe: true, MaxTries: 1,
			Watchdog: watchdog}
		if err != nil || s.Caps != want || fmt.Sprint(taken) != "[/run/ratchet/lock/efi.lock]" {
			t.Errorf("%+v, %v, locks %q", s.Caps, err, taken)
		}
	}
	b, err := efi.New(unlisted{d.Variables()}, d, efi.Options{Locks: []string{}, Slots: []bootctl.Slot{"A", "B"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.State(t.Context()); !errors.Is(err, errIO) || errors.Is(err, bootctl.ErrInvalid) {
		t.Errorf("variables that cannot be listed: %v", err)
	}
}

// TestBrokenOrder: of a BootOrder that is no list others' numbers stay, and of ours the running one's, in front.
func TestBrokenOrder(t *testing.T) {
	d := firmware(nil, nil, "off")
	d.Variables().Put(order, 7, append(words(A, 0, B, 0x77), 1))
	if err := backend(t, d).Refresh(t.Context(), "B"); err != nil {
		t.Fatal(err)
	}
	if got := get(d, order); !slices.Equal(got, []uint16{B, 0, 0x77}) {
		t.Errorf("BootOrder is %x", got)
	}
	want := kept(item("A", A, load("ratchet A", true)), item("B", B, load("ratchet B", true)))
	if !bytes.Equal(d.Get("/var/shadow"), want) {
		t.Errorf("the shadow copy is %x, want %x", d.Get("/var/shadow"), want)
	}
}

// TestMoved: a slot whose option has another number now gets no second one.
func TestMoved(t *testing.T) {
	d := firmware([]uint16{5}, nil, "gone")
	d.Variables().Put(boot(A), 7, nil)
	d.Variables().Put(boot(5), 7, load("ratchet A", true))
	d.Put("/var/shadow", kept(item("A", A, load("ratchet A", true)), item("B", B, load("ratchet B", true))))
	if err := backend(t, d).Refresh(t.Context(), "A"); err != nil {
		t.Fatal(err)
	}
	if s, err := backend(t, d).State(t.Context()); err != nil || s.Next != "A" || len(get(d, boot(A))) > 0 || len(get(d,
		boot(B))) == 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestNumberTwice: somebody put a slot's number into BootOrder twice. Taken out once, it would still boot.
func TestNumberTwice(t *testing.T) {
	for what, c := range map[string]struct {
		do   func(b *efi.Backend) error
		want []uint16
	}{
		"Disable": {func(b *efi.Backend) error { return b.Disable(t.Context(), "B") }, []uint16{A, 0}},
		"Try":     {func(b *efi.Backend) error { return b.Try(t.Context(), "B", 1) }, []uint16{A, 0}},
		"Confirm": {func(b *efi.Backend) error { return b.Confirm(t.Context(), "B") }, []uint16{B, A, 0}},
	} {
		d := firmware([]uint16{A, B, 0, B}, nil, "")
		if err := c.do(backend(t, d)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got := get(d, order); !slices.Equal(got, c.want) {
			t.Errorf("%s leaves BootOrder %04X, want %04X", what, got, c.want)
		}
	}
}

// TestFirstStepFails: where the first of two steps fails, the second is not taken.
func TestFirstStepFails(t *testing.T) {
	for what, c := range map[string]struct {
		order, next []uint16
		b           string
		do          func(b *efi.Backend) error
	}{
		"Disable": {[]uint16{B, A}, []uint16{B}, "",
			func(b *efi.Backend) error { return b.Disable(t.Context(), "B") }},
		"Confirm": {[]uint16{A}, nil, "off", func(b *efi.Backend) error {
			return b.Confirm(t.Context(),
				"B")
		}},
		"Refresh, a revival": {[]uint16{A}, nil, "gone", func(b *efi.Backend) error {
			return b.Refresh(t.Context(),
				"A")
		}},
	} {
		d := firmware(c.order, c.next, c.b)
		d.Put("/var/shadow", kept(item("B", B, load("ratchet B", true))))
		before := d.Variables().Dump()
		steps := 0
		d.Before = func(int) error {
			if steps++; steps == 1 {
				return errIO
			}
			return nil
		}
		if err := c.do(backend(t, d)); !errors.Is(err, errIO) || steps != 1 || !bytes.Equal(d.Variables().Dump(),
			before) {
			t.Errorf("%s: %v, %d steps", what, err, steps)
		}
	}
}

// TestNumberedOptions: a number says enough, where there is a load option at all.
func TestNumberedOptions(t *testing.T) {
	d := firmware([]uint16{A, 5}, nil, "gone")
	b, err := efi.New(d.Variables(), d, efi.Options{Locks: []string{}, Slots: []bootctl.Slot{"A", "B"},
		Numbers: map[bootctl.Slot]uint16{"B": 5}})
	if err != nil {
		t.Fatal(err)
	}
	d.Variables().Put(boot(5), 7, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // without a description
	if s, err := b.State(t.Context()); err != nil || !s.Slots["B"].Confirmed {
		t.Errorf("the least option: %+v, %v", s, err)
	}
	d.Variables().Put(boot(5), 7, []byte{1, 0, 0, 0, 0, 0, 0, 1})
	if err := b.Try(t.Context(), "B", 1); err == nil || !strings.Contains(err.Error(), "no load option") {
		t.Errorf("no option: %v", err)
	}
}
