package agent_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/transport"
)

// A dump is a device between two instructions: its journal, its files, what its slots hold, its clocks, the keys that
// it trusts and what its broker retains. It is text, a line for each thing; lines that begin with # are for people.
//
//	board u-boot
//	machine seed=501 boot=2 uptime=0s wall=2030-01-01T00:00:00Z runs=A counter=0
//	disk /dev/a 1x50 0x14           blocks of 4096 bytes: of image 1, then of zeros
//	file /env/0 4096 5249...        its size, and its bytes up to the zeros at the end
//	state "record" a501...          a key of the journal's bucket
//	evidence 1 b001...
//	anchor a1b2...                  the release key, or
//	root d28a...                    the trust root
//	retained offer d86b...          what the broker hands over at each start
//	thing old d86b...               what a person has at hand
const blockSize = 4096

// hand is what stands around a device in a story, for its dump.
type hand struct {
	retained []transport.Message
	root     []byte
	things   map[string][]byte
}

// dump writes a device down as it is now.
func (r *rig) dump(h *hand) string {
	var b strings.Builder
	clock := r.w.Clock()
	wall, _ := clock.Wall()
	count := fmt.Sprint(r.w.CounterValue())
	if _, err := r.w.Counter().Read(context.Background()); err != nil {
		count = "none"
	}
	fmt.Fprintf(&b, "board %s\n", boardName(r.board))
	fmt.Fprintf(&b, "machine seed=%d boot=%d uptime=%v wall=%s runs=%s counter=%s\n",
		r.w.Seed(), r.bootNumber(), clock.Uptime(), wall.Format(time.RFC3339Nano), r.runs(), count)
	for _, dev := range []string{"/dev/a", "/dev/b"} {
		fmt.Fprintf(&b, "disk %s %s\n", dev, blocksOf(r.w.Disk(dev, 0, slotSize)))
	}
	for _, name := range r.w.Files() {
		data, _ := r.w.File(name)
		fmt.Fprintf(&b, "file %s %d %x\n", name, len(data), bytes.TrimRight(data, "\x00"))
	}
	err := r.mem.View(func(tx journal.Tx) error {
		err := tx.Scan(journal.State, "", func(k string, v []byte) bool {
			fmt.Fprintf(&b, "state %q %x\n", k, v)
			if text, err := cbor.Diagnose(v); err == nil && k == "record" {
				fmt.Fprintf(&b, "# %s\n", text)
			}
			return true
		})
		if err != nil {
			return err
		}
		return tx.Scan(journal.Evidence, "", func(k string, v []byte) bool {
			fmt.Fprintf(&b, "evidence %d %x\n", binary.BigEndian.Uint64([]byte(k)), v)
			return true
		})
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if h.root != nil {
		fmt.Fprintf(&b, "root %x\n", h.root)
	} else if pem, err := r.signer.Key().MarshalPEM(); err == nil {
		fmt.Fprintf(&b, "anchor %x\n", pem)
	}
	for _, m := range h.retained {
		fmt.Fprintf(&b, "retained %s %x\n", m.Kind, m.Body)
	}
	return b.String()
}

// has tells the things that people have at hand.
func (h *hand) has() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h.things)) {
		fmt.Fprintf(&b, "thing %s %x\n", name, h.things[name])
	}
	return b.String()
}

func boardName(b board) string { return strings.ReplaceAll(b.String(), " ", "-") }

// bootNumber is how often the machine was switched on, as its boot id says.
func (r *rig) bootNumber() int {
	id, err := r.w.Identity().BootID()
	if err != nil {
		r.t.Fatal(err)
	}
	n, err := strconv.Atoi(id[strings.LastIndex(id, "-")+1:])
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// blocksOf names the image that each block of a slot is of.
func blocksOf(disk []byte) string {
	images := map[byte][]byte{}
	for n := byte(1); n <= 9; n++ {
		images[n] = image(n)
	}
	var names []string
	var counts []int
	for off := 0; off < len(disk); off += blockSize {
		block, name := disk[off:off+blockSize], "?"
		if len(bytes.Trim(block, "\x00")) == 0 {
			name = "0"
		}
		for n, img := range images {
			if off < len(img) && bytes.Equal(block, img[off:off+blockSize]) {
				name = fmt.Sprint(n)
			}
		}
		if n := len(names); n > 0 && names[n-1] == name {
			counts[n-1]++
			continue
		}
		names, counts = append(names, name), append(counts, 1)
	}
	var out []string
	for i := range names {
		out = append(out, fmt.Sprintf("%sx%d", names[i], counts[i]))
	}
	return strings.Join(out, " ")
}

// takeUp makes a rig of a dump: the same boot goes on. It returns what stands around the device.
func takeUp(t testing.TB, dump string) (*rig, *hand) {
	t.Helper()
	var r *rig
	h := &hand{things: map[string][]byte{}}
	var pick board
	files := map[string]bool{}
	state := map[string][]byte{}
	records := map[string][]byte{}
	for line := range strings.Lines(dump) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, value, _ := strings.Cut(rest, " ")
		switch kind {
		case "#", "":
		case "board":
			for _, b := range boards() {
				if boardName(b) == rest {
					pick = b
				}
			}
		case "machine":
			r = theMachine(t, pick, rest)
		case "disk":
			r.w.Poke(name, 0, diskOf(t, value))
		case "file":
			size, text, _ := strings.Cut(value, " ")
			n, err := strconv.Atoi(size)
			if err != nil {
				t.Fatal(err)
			}
			r.w.PutFile(name, append(unhex(t, text), make([]byte, n-len(text)/2)...))
			files[name] = true
		case "state":
			key, err := strconv.QuotedPrefix(rest)
			if err != nil {
				t.Fatal(err)
			}
			name, err := strconv.Unquote(key)
			if err != nil {
				t.Fatal(err)
			}
			state[name] = unhex(t, strings.TrimSpace(rest[len(key):]))
		case "evidence":
			n, err := strconv.ParseUint(name, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			records[string(binary.BigEndian.AppendUint64(nil, n))] = unhex(t, value)
		case "anchor":
			k, err := trust.ParsePublic(unhex(t, rest))
			if err == nil {
				r.keys, err = trust.NewKeys([]trust.Key{k}, false)
			}
			if err != nil {
				t.Fatal(err)
			}
		case "root":
			h.root = unhex(t, rest)
			r.options = func(o *agent.Options) { rootedBy(o, h.root) }
		case "retained":
			h.retained = append(h.retained, doc(kindOf(t, name), unhex(t, value)))
		case "thing":
			h.things[name] = unhex(t, value)
		default:
			t.Fatalf("a dump with a line %q", kind)
		}
	}
	for _, name := range r.w.Files() {
		if !files[name] {
			t.Fatalf("%s is on the machine and not in the dump", name)
		}
	}
	err := r.mem.Update(func(tx journal.Tx) error {
		for k, v := range state {
			if err := tx.Put(journal.State, k, v); err != nil {
				return err
			}
		}
		for k, v := range records {
			if err := tx.Put(journal.Evidence, k, v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := byte(1); n <= 9; n++ {
		r.images[fmt.Sprintf("https://images.example.com/%d.img", n)] = image(n)
	}
	return r, h
}

// rootedBy makes a device one with a trust root.
func rootedBy(o *agent.Options, root []byte) {
	o.Authority, o.RootVersion = nil, 0
	o.Root, o.Channel, o.Rules.UnknownTimeWaits = root, "stable", true
}

// theMachine is one in the boot, at the time and with the counter that the line says.
func theMachine(t testing.TB, b board, line string) *rig {
	t.Helper()
	is := map[string]string{}
	for _, f := range strings.Fields(line) {
		k, v, _ := strings.Cut(f, "=")
		is[k] = v
	}
	seed, err := strconv.ParseUint(is["seed"], 10, 64)
	if err != nil || b == nil {
		t.Fatalf("board %v, seed %q", b, is["seed"])
	}
	r := newRigOn(t, seed, b)
	boot, err := strconv.Atoi(is["boot"])
	if err != nil {
		t.Fatal(err)
	}
	for r.bootNumber() < boot {
		r.w.Restart()
	}
	up, err := time.ParseDuration(is["uptime"])
	if err != nil {
		t.Fatal(err)
	}
	r.w.Advance(up - r.w.Clock().Uptime())
	wall, err := time.Parse(time.RFC3339Nano, is["wall"])
	if err != nil {
		t.Fatal(err)
	}
	r.w.SetWall(wall, hal.TimeSynced)
	r.w.SetRunning(device(is["runs"]), is["runs"])
	if n, err := strconv.ParseUint(is["counter"], 10, 64); err == nil {
		r.w.SetCounter(n, true)
	} else {
		r.w.SetCounter(0, false)
	}
	return r
}

// diskOf is the reverse of blocksOf.
func diskOf(t testing.TB, text string) []byte {
	t.Helper()
	var disk []byte
	for _, f := range strings.Fields(text) {
		var n byte
		var blocks int
		if _, err := fmt.Sscanf(f, "%dx%d", &n, &blocks); err != nil {
			t.Fatalf("%q: %v", f, err)
		}
		from := len(disk)
		disk = append(disk, make([]byte, blocks*blockSize)...)
		if img := image(n); n > 0 {
			copy(disk[from:], img[min(from, len(img)):])
		}
	}
	return disk
}

func kindOf(t testing.TB, name string) transport.Kind {
	t.Helper()
	for k := transport.Kind(1); k < 64; k++ {
		if k.String() == name {
			return k
		}
	}
	t.Fatalf("no message is called %q", name)
	return 0
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
