package boottest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/medium"
)

// sector is what a medium writes as one. What a cut leaves of writes is defined in package medium.
const sector = medium.Sector

// Disk is a hal.FS in memory that knows what of it is durable, and every medium that a power cut may
// leave behind. It is stricter than hardware: nothing but Sync makes a write durable, nothing but
// SyncDir a name, a write that was not synced may be lost, be there, or be torn at any byte or be
// there in any set of its sectors; and what the loader wrote waits in the drive's cache until any
// Sync flushes it. The zero value is an empty disk.
type Disk struct {
	names   map[string]*inode // as programs see them
	durable map[string]*inode // as they are after a cut
	locked  map[string]bool
	writes  int // operations that change anything

	// Before, when not nil, is called before each operation that changes something, with its number
	// from 1; an error it returns is returned instead of doing it.
	Before func(op int) error
	// Opened, when not nil, is called before a file is opened, to let somebody else write in between.
	Opened func(path string, a hal.Access)
	// Sectors: a sector is written as a whole or not at all, as GRUB's block relies on. Else a write
	// may also end at any byte.
	Sectors bool
	// Spoils: a write that is cut may leave garbage, in what it writes and in all of the blocks of so many bytes
	// around it. 0: it leaves neither.
	Spoils int64
	// FAT is a folder whose names are entries in one sector without a journal. A cut leaves the sector as
	// it was after any of the changes since SyncDir, so that two changes are not one. "" for none.
	FAT     string
	changes []change // of names, on FAT, since SyncDir
	// trace collects what a power cut at each operation may leave.
	trace func(op string, images []*Disk)
}

// inode is a file. data is durable; pending came since, in this order.
type inode struct {
	data    []byte
	pending []write
}

type write struct {
	off    int64
	data   []byte // nil truncates to nothing
	cached bool   // by the loader: in the drive's cache
}

// change is one change of a name that is not durable on FAT; nil removes the name.
type change struct {
	name string
	n    *inode
}

var _ hal.Tree = (*Disk)(nil)

// Writes is how many operations changed the disk.
func (d *Disk) Writes() int { return d.writes }

// Put makes a durable file.
func (d *Disk) Put(name string, data []byte) {
	d.init()
	n := &inode{data: bytes.Clone(data)}
	d.names[name], d.durable[name] = n, n
}

// Get returns a file as programs see it, nil when it is not there.
func (d *Disk) Get(name string) []byte {
	if n := d.names[name]; n != nil {
		return n.view()
	}
	return nil
}

func (d *Disk) init() {
	if d.names == nil {
		d.names, d.durable, d.locked = map[string]*inode{}, map[string]*inode{}, map[string]bool{}
	}
}

func (n *inode) view() []byte {
	b := bytes.Clone(n.data)
	for _, w := range n.pending {
		b = w.apply(b)
	}
	return b
}

func (w write) apply(b []byte) []byte {
	if w.data == nil {
		return nil
	}
	if end := w.off + int64(len(w.data)); end > int64(len(b)) {
		b = append(b, make([]byte, end-int64(len(b)))...)
	}
	copy(b[w.off:], w.data)
	return b
}

// Clone is a disk of its own in the same state, without hooks.
func (d *Disk) Clone() *Disk {
	c := &Disk{Sectors: d.Sectors, FAT: d.FAT, Spoils: d.Spoils}
	c.init()
	twin := map[*inode]*inode{}
	for from, to := range map[*map[string]*inode]map[string]*inode{&d.names: c.names, &d.durable: c.durable} {
		for name, n := range *from {
			if twin[n] == nil {
				twin[n] = &inode{data: n.data, pending: slices.Clone(n.pending)}
			}
			to[name] = twin[n]
		}
	}
	for _, x := range d.changes {
		if n := x.n; n != nil && twin[n] == nil {
			twin[n] = &inode{data: n.data, pending: slices.Clone(n.pending)}
		}
		c.changes = append(c.changes, change{x.name, twin[x.n]})
	}
	return c
}

// PowerOn is the disk as the loader finds it after an orderly end: all of it is there, and what is
// written from now on is the loader's.
func (d *Disk) PowerOn() *Disk {
	c := &Disk{Sectors: d.Sectors, FAT: d.FAT, Spoils: d.Spoils}
	for name, n := range d.names {
		c.Put(name, n.view())
	}
	return c
}

// Cache puts what is not durable into the drive's cache: the loader is done, the system starts.
func (d *Disk) Cache() {
	for _, n := range d.names {
		for i := range n.pending {
			n.pending[i].cached = true
		}
	}
}

func (d *Disk) step(op string) error {
	d.writes++
	if d.Before != nil {
		return d.Before(d.writes)
	}
	return nil
}

func (d *Disk) traced(op string) {
	if d.trace != nil {
		d.trace(op, d.Cut())
	}
}

// Cut returns every disk that a power cut now may leave behind, each once.
func (d *Disk) Cut() []*Disk {
	base := []map[string][]byte{{}}
	seen := map[uint64]bool{}
	for _, names := range d.folders() {
		images := []map[string][]byte{{}}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			var next []map[string][]byte
			for _, content := range names[name].cut(d, temporary(name)) {
				for _, image := range images {
					with := maps.Clone(image)
					with[name] = content
					next = append(next, with)
				}
			}
			images = next
		}
		base = append(base, images...)
	}
	var out []*Disk
	for _, image := range base[1:] {
		c := &Disk{Sectors: d.Sectors, FAT: d.FAT, Spoils: d.Spoils}
		for name, content := range image {
			c.Put(name, content)
		}
		if h := c.Hash(); !seen[h] {
			seen[h] = true
			out = append(out, c)
		}
	}
	return out
}

// cut returns what may be left of the file.
func (n *inode) cut(d *Disk, temp bool) [][]byte {
	left := [][]byte{n.data}
	for _, w := range n.pending {
		for _, b := range slices.Clone(left) {
			ways := append(w.torn(b, d.Sectors), w.spoilt(b, d.Spoils)...)
			if temp && len(ways) > 2 {
				ways = ways[:2] // nobody reads it: all, or a part
			}
			for _, torn := range ways {
				left = append(left, torn.apply(bytes.Clone(b)))
			}
		}
	}
	return left
}

// torn is what may be left of a write over old, besides nothing of it: all of it, every prefix that
// differs, every set of its sectors that differ (of up to 8).
func (w write) torn(old []byte, whole bool) []write {
	if w.data == nil {
		return []write{w}
	}
	was := make([]byte, len(w.data))
	if w.off < int64(len(old)) {
		copy(was, old[w.off:])
	}
	out := []write{w}
	var sectors []int
	last := -1
	for i := range w.data {
		if w.data[i] == was[i] {
			continue
		}
		if last >= 0 && !whole {
			out = append(out, write{off: w.off, data: w.data[:last+1]})
		}
		if last = i; len(sectors) == 0 || sectors[len(sectors)-1] != i/sector {
			sectors = append(sectors, i/sector)
		}
	}
	if len(sectors) > 8 {
		sectors = sectors[:8]
	}
	for set := 1; set < 1<<len(sectors)-1; set++ {
		mix := bytes.Clone(was)
		for bit, s := range sectors {
			if set&(1<<bit) != 0 {
				copy(mix[s*sector:min((s+1)*sector, len(mix))], w.data[s*sector:])
			}
		}
		out = append(out, write{off: w.off, data: mix})
	}
	return out
}

// spoilt is what a medium that spoils blocks may leave of a write over old: garbage of it, of what is beside it in its
// blocks, and of all of them.
func (w write) spoilt(old []byte, erase int64) []write {
	if w.data == nil || erase == 0 {
		return nil
	}
	end := w.off + int64(len(w.data))
	from := w.off / erase * erase
	to := min((end+erase-1)/erase*erase, max(end, int64(len(old))))
	beside := bytes.Repeat([]byte{0xff}, int(to-from))
	copy(beside[w.off-from:], w.data)
	return []write{{off: w.off, data: bytes.Repeat([]byte{0xff}, len(w.data))}, {off: from, data: beside},
		{off: from, data: bytes.Repeat([]byte{0xff}, len(beside))}}
}

// temporary tells a file that is being written beside the one it replaces.
func temporary(name string) bool { return strings.HasSuffix(name, ".new") }

var seed = maphash.MakeSeed()

// Hash identifies the durable and the visible content. The content of temporary files (".new") is
// left out: nothing reads them.
func (d *Disk) Hash() uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, names := range []map[string]*inode{d.durable, d.names} {
		for _, name := range slices.Sorted(maps.Keys(names)) {
			h.WriteString(name + "\x00")
			if temporary(name) {
				continue
			}
			h.Write(names[name].data)
			for _, w := range names[name].pending {
				fmt.Fprintf(&h, "\x01%d\x00%v", w.off, w.cached)
				h.Write(w.data)
			}
		}
	}
	return h.Sum64()
}

// Open implements hal.FS.
func (d *Disk) Open(name string, a hal.Access) (hal.Medium, error) {
	d.init()
	if d.Opened != nil {
		d.Opened(name, a)
	}
	n := d.names[name]
	if a == hal.Create {
		if err := d.step("create " + name); err != nil {
			return nil, err
		}
		if n == nil {
			n = &inode{}
			d.names[name] = n
			d.changed(name, n)
		}
		n.pending = append(n.pending, write{})
		d.traced("create " + name)
	} else if n == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &handle{d: d, n: n, name: name, size: int64(len(n.view())), write: a != hal.ReadOnly}, nil
}

// Lock implements hal.FS without waiting: a lock that is held is an error that ends like ctx.
func (d *Disk) Lock(ctx context.Context, name string) (func(), error) {
	d.init()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if d.locked[name] {
		return nil, fmt.Errorf("cannot lock %s, held by another program: %w", name, context.DeadlineExceeded)
	}
	d.locked[name] = true
	return func() { delete(d.locked, name) }, nil
}

// handle is an open file.
type handle struct {
	d     *Disk
	n     *inode
	name  string
	size  int64
	write bool
}

var errReadOnly = errors.New("opened for reading")

func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	b := h.n.view()
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	if n := copy(p, b[off:]); n < len(p) {
		return n, io.ErrUnexpectedEOF
	}
	return len(p), nil
}

func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	if !h.write {
		return 0, errReadOnly
	}
	if err := h.d.step("write " + h.name); err != nil {
		return 0, err
	}
	h.n.pending = append(h.n.pending, write{off: off, data: bytes.Clone(p)})
	h.d.traced("write " + h.name)
	return len(p), nil
}

func (h *handle) Sync() error {
	if err := h.d.step("sync " + h.name); err != nil {
		return err
	}
	for _, n := range h.d.names {
		var keep []write
		for _, w := range n.pending {
			if n == h.n || w.cached {
				n.data = w.apply(bytes.Clone(n.data))
			} else {
				keep = append(keep, w)
			}
		}
		n.pending = keep
	}
	h.d.traced("sync " + h.name)
	return nil
}

func (h *handle) Size() int64  { return h.size }
func (h *handle) Close() error { return nil }
