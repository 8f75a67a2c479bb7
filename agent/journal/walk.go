package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"syscall"
)

// The layout of a bbolt file, version 2, in the byte order of the machine.
//
//	page    id u64, flags u16, count u16, overflow u32, then the elements
//	meta    magic u32, version u32, page size u32, flags u32, root u64 (page), root sequence u64,
//	        free list u64 (page), pages u64, transaction u64, FNV-1a u64 of the 56 bytes before it
//	branch  elements of pos u32, key size u32, page u64
//	leaf    elements of flags u32, pos u32, key size u32, value size u32
//	bucket  a leaf value with flag 1: root u64, sequence u64, and the page itself when root is 0
//
// pos counts from the element that it stands in.
const (
	pageSize   = 4096
	pageHeader = 16
	element    = 16
	metaSize   = 64
	bucketHead = 16

	magic   = 0xED0CDAED
	version = 2

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10
	flagBucket   = 0x01

	maxDepth = 24 // pages from a root to a leaf; a tree of two keys a page would fill 64 GiB
)

type meta struct {
	root, freelist, pages, txid uint64
	at                          int64 // offset of the page
}

// walker reads a whole journal with plain reads: an I/O error is an error and not a SIGBUS, and
// no byte of the file is believed before it is checked. What has passed it, bbolt can map.
type walker struct {
	r    io.ReaderAt
	size int64
	m    meta
	seen []bool // by page: reached from the root, or free
	add  func(bucket, key string, stored []byte) error
}

func corrupt(format string, args ...any) error {
	return errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// walk checks the structure of the file and calls add with every key of every bucket, in order.
func walk(r io.ReaderAt, size int64, add func(bucket, key string, stored []byte) error) error {
	w := &walker{r: r, size: size, add: add}
	if err := w.pickMeta(); err != nil {
		return err
	}
	w.seen = make([]bool, w.m.pages)
	w.seen[0], w.seen[1] = true, true
	if err := w.freelist(); err != nil {
		return err
	}
	if err := w.tree(w.m.root, nil, nil, 0, w.bucket); err != nil {
		return err
	}
	for id, ok := range w.seen {
		if !ok {
			return corrupt("page %d is neither used nor free", id)
		}
	}
	return nil
}

// pickMeta takes the valid meta page with the highest transaction, as bbolt does.
func (w *walker) pickMeta() error {
	found := false
	for i := int64(0); i < 2; i++ {
		b := make([]byte, metaSize)
		if w.size < (i+1)*pageSize {
			return corrupt("file has only %d bytes", w.size)
		}
		if err := w.read(b, i*pageSize+pageHeader); err != nil {
			return err
		}
		n := binary.NativeEndian
		h := fnv.New64a()
		h.Write(b[:56])
		if n.Uint32(b) != magic || n.Uint32(b[4:]) != version || n.Uint32(b[8:]) != pageSize ||
			n.Uint64(b[56:]) != h.Sum64() {
			continue
		}
		m := meta{root: n.Uint64(b[16:]), freelist: n.Uint64(b[32:]), pages: n.Uint64(b[40:]), txid: n.Uint64(b[48:]),
			at: i * pageSize}
		if !found || m.txid > w.m.txid {
			w.m, found = m, true
		}
	}
	if !found {
		return corrupt("no valid meta page")
	}
	if w.m.pages < 4 || w.m.pages > uint64(w.size/pageSize) {
		return corrupt("meta page claims %d pages in %d bytes", w.m.pages, w.size)
	}
	return nil
}

// read reads all of b. A medium that fails at the same place three times has lost what stood there:
// the file is of no more use than one with other bytes.
func (w *walker) read(b []byte, off int64) error {
	for try := 1; ; try++ {
		_, err := w.r.ReadAt(b, off)
		switch {
		case err == nil:
			return nil
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return corrupt("file ends within offset %d", off)
		case !errors.Is(err, syscall.EIO):
			return errorf("cannot read journal at offset %d: %w", off, err)
		case try == 3:
			return errorf("%w: offset %d cannot be read: %w", ErrCorrupt, off, err)
		}
	}
}

// page reads a page with its overflow, marks it as used, and returns it with its kind.
func (w *walker) page(id uint64) ([]byte, uint16, error) {
	if id < 2 || id >= w.m.pages {
		return nil, 0, corrupt("page %d does not exist", id)
	}
	b := make([]byte, pageSize)
	if err := w.read(b, int64(id)*pageSize); err != nil {
		return nil, 0, err
	}
	over := uint64(binary.NativeEndian.Uint32(b[12:]))
	if got := binary.NativeEndian.Uint64(b); got != id || over >= w.m.pages-id {
		return nil, 0, corrupt("page %d says that it is page %d with %d more", id, got, over)
	}
	for i := id; i <= id+over; i++ {
		if w.seen[i] {
			return nil, 0, corrupt("page %d is used twice", i)
		}
		w.seen[i] = true
	}
	if over > 0 {
		b = append(b, make([]byte, over*pageSize)...)
		if err := w.read(b[pageSize:], int64(id+1)*pageSize); err != nil {
			return nil, 0, err
		}
	}
	return b, binary.NativeEndian.Uint16(b[8:]), nil
}

func (w *walker) freelist() error {
	b, kind, err := w.page(w.m.freelist)
	if err != nil {
		return err
	}
	if kind != flagFreelist {
		return corrupt("page %d is no free list", w.m.freelist)
	}
	n, at := uint64(binary.NativeEndian.Uint16(b[10:])), pageHeader
	if n == 0xFFFF { // then the first element is the count
		n, at = binary.NativeEndian.Uint64(b[at:]), at+8
	}
	if n > uint64(len(b)-at)/8 {
		return corrupt("free list of %d pages in %d bytes", n, len(b))
	}
	for i := range int(n) {
		id := binary.NativeEndian.Uint64(b[at+8*i:])
		if id < 2 || id >= w.m.pages || w.seen[id] {
			return corrupt("page %d cannot be free", id)
		}
		w.seen[id] = true
	}
	return nil
}

type leafFunc func(flags uint32, key, value []byte) error

// tree walks the pages below id, whose keys are in [low, high).
func (w *walker) tree(id uint64, low, high []byte, depth int, leaf leafFunc) error {
	if depth > maxDepth {
		return corrupt("tree is deeper than %d pages", maxDepth)
	}
	b, kind, err := w.page(id)
	if err != nil {
		return err
	}
	switch kind {
	case flagLeaf:
		return leaves(b, low, high, leaf)
	case flagBranch:
	default:
		return corrupt("page %d is of kind %#x", id, kind)
	}
	n := int(binary.NativeEndian.Uint16(b[10:]))
	if n == 0 || pageHeader+n*element > len(b) {
		return corrupt("branch page %d has %d elements", id, n)
	}
	keys, pages := make([][]byte, n+1), make([]uint64, n)
	for i := range n {
		e := pageHeader + i*element
		pos, size := binary.NativeEndian.Uint32(b[e:]), binary.NativeEndian.Uint32(b[e+4:])
		if keys[i], err = cut(b, e, pos, size, 0); err != nil {
			return err
		}
		pages[i] = binary.NativeEndian.Uint64(b[e+8:])
		if !inOrder(keys[i], low, high, i == 0) {
			return corrupt("keys of branch page %d are not in order", id)
		}
		low = keys[i]
	}
	keys[n] = high
	for i, p := range pages {
		if err := w.tree(p, keys[i], keys[i+1], depth+1, leaf); err != nil {
			return err
		}
	}
	return nil
}

// leaves walks one leaf page.
func leaves(b []byte, low, high []byte, leaf leafFunc) error {
	n := int(binary.NativeEndian.Uint16(b[10:]))
	if pageHeader+n*element > len(b) {
		return corrupt("leaf page has %d elements", n)
	}
	for i := range n {
		e := pageHeader + i*element
		flags, pos := binary.NativeEndian.Uint32(b[e:]), binary.NativeEndian.Uint32(b[e+4:])
		ksize, vsize := binary.NativeEndian.Uint32(b[e+8:]), binary.NativeEndian.Uint32(b[e+12:])
		kv, err := cut(b, e, pos, ksize, vsize)
		if err != nil {
			return err
		}
		key := kv[:ksize]
		if len(key) == 0 || !inOrder(key, low, high, i == 0) {
			return corrupt("keys of a leaf page are not in order")
		}
		if err := leaf(flags, key, kv[ksize:]); err != nil {
			return err
		}
		low = key
	}
	return nil
}

// cut returns the key and value that the element at offset e points to.
func cut(b []byte, e int, pos, ksize, vsize uint32) ([]byte, error) {
	from := uint64(e) + uint64(pos)
	to := from + uint64(ksize) + uint64(vsize)
	if pos < element || to > uint64(len(b)) {
		return nil, corrupt("element points outside of its page")
	}
	return b[from:to], nil
}

// inOrder: the first key may equal the key that led to its page, every other is greater than its
// predecessor; all are below the next one of the page above.
func inOrder(key, low, high []byte, first bool) bool {
	c := 1
	if low != nil {
		c = bytes.Compare(key, low)
	}
	return (c > 0 || first && c == 0) && (high == nil || bytes.Compare(key, high) < 0)
}

// bucket takes one bucket of the root tree.
func (w *walker) bucket(flags uint32, name, value []byte) error {
	if flags != flagBucket || len(value) < bucketHead {
		return corrupt("entry %q of the root is no bucket", name)
	}
	keys := func(flags uint32, key, value []byte) error {
		if flags != 0 {
			return corrupt("bucket within bucket %q", name)
		}
		return w.add(string(name), string(key), value)
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return w.tree(root, nil, nil, 0, keys)
	}
	page := value[bucketHead:]
	if len(page) < pageHeader || binary.NativeEndian.Uint16(page[8:]) != flagLeaf {
		return corrupt("bucket %q has no page", name)
	}
	return leaves(page, nil, nil, keys)
}
