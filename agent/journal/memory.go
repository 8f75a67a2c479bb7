package journal

import (
	"bytes"
	"maps"
	"slices"
	"sync"
)

// Memory is a journal without a disk: a transaction is there as a whole or not at all, and Clone
// is what a power cut leaves. To find callers that keep a slice longer than its transaction, the
// slices that Get and Scan gave are overwritten when it ends.
type Memory struct {
	mu    sync.RWMutex
	data  map[string]map[string][]byte
	used  int64
	limit int64
	fault error
	done  bool
}

// NewMemory returns an empty journal without a limit; it is a *Memory.
func NewMemory() Store {
	return &Memory{data: map[string]map[string][]byte{}, limit: 1 << 40}
}

// SetLimit bounds the bytes of keys and values that are kept; beyond it Update fails with ErrFull.
func (m *Memory) SetLimit(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limit = bytes
}

// SetFault makes every Update that would change something fail with err and change nothing; nil
// ends it. It models a state directory that became unwritable.
func (m *Memory) SetFault(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = err
}

// Clone returns a journal with the same content, limit and no fault, independent of m.
func (m *Memory) Clone() *Memory {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := &Memory{data: map[string]map[string][]byte{}, used: m.used, limit: m.limit}
	for b, kv := range m.data {
		c.data[b] = maps.Clone(kv) // values are never changed in place
	}
	return c
}

func (m *Memory) View(fn func(Tx) error) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.done {
		return errorf("cannot read journal: %w", ErrClosed)
	}
	t := &memoryTx{m: m}
	defer t.end()
	return fn(t)
}

func (m *Memory) Update(fn func(Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.done {
		return errorf("cannot write journal: %w", ErrClosed)
	}
	t := &memoryTx{m: m, writable: true, changes: map[string]map[string][]byte{}}
	defer t.end()
	if err := fn(t); err != nil {
		return err
	}
	return t.commit()
}

func (m *Memory) Free() (int64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.done {
		return 0, errorf("cannot read journal: %w", ErrClosed)
	}
	return max(0, m.limit-m.used), nil
}

func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done = true
	return nil
}

type memoryTx struct {
	m        *Memory
	writable bool
	done     bool
	changes  map[string]map[string][]byte // nil value: deleted
	scanning []string
	given    [][]byte
}

func (t *memoryTx) end() {
	t.done = true
	for _, b := range t.given {
		for i := range b {
			b[i] = 0xdb
		}
	}
}

// lookup returns the value as it stands, nil when there is none.
func (t *memoryTx) lookup(bucket, key string) []byte {
	if v, ok := t.changes[bucket][key]; ok {
		return v
	}
	return t.m.data[bucket][key]
}

func (t *memoryTx) give(v []byte) []byte {
	if v == nil {
		return nil
	}
	c := append([]byte{}, v...)
	t.given = append(t.given, c)
	return c
}

func (t *memoryTx) Get(bucket, key string) []byte {
	if t.done || check(bucket, key, nil) != nil {
		return nil
	}
	return t.give(t.lookup(bucket, key))
}

func (t *memoryTx) Put(bucket, key string, value []byte) error {
	return t.set(bucket, key, append([]byte{}, value...))
}

func (t *memoryTx) Delete(bucket, key string) error { return t.set(bucket, key, nil) }

func (t *memoryTx) set(bucket, key string, value []byte) error {
	switch err := check(bucket, key, value); {
	case err != nil:
		return err
	case t.done:
		return ErrClosed
	case !t.writable:
		return errorf("cannot change key %q in a View", key)
	case slices.Contains(t.scanning, bucket):
		return errorf("cannot change key %q: %w", key, errScanning)
	}
	if t.changes[bucket] == nil {
		t.changes[bucket] = map[string][]byte{}
	}
	t.changes[bucket][key] = value
	return nil
}

func (t *memoryTx) Scan(bucket, from string, fn func(key string, value []byte) bool) error {
	if t.done {
		return ErrClosed
	}
	if err := check(bucket, "-", nil); err != nil {
		return err
	}
	var keys []string
	for k := range t.m.data[bucket] {
		if _, ok := t.changes[bucket][k]; k >= from && !ok {
			keys = append(keys, k)
		}
	}
	for k, v := range t.changes[bucket] {
		if k >= from && v != nil {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	t.scanning = append(t.scanning, bucket)
	defer func() { t.scanning = t.scanning[:len(t.scanning)-1] }()
	for _, k := range keys {
		if !fn(k, t.give(t.lookup(bucket, k))) {
			break
		}
	}
	return nil
}

func (t *memoryTx) commit() error {
	grows, changed := int64(0), false
	for b, kv := range t.changes {
		for k, v := range kv {
			old := t.m.data[b][k]
			changed = changed || (old == nil) != (v == nil) || !bytes.Equal(old, v)
			if old != nil {
				grows -= int64(len(k) + len(old))
			}
			if v != nil {
				grows += int64(len(k) + len(v))
			}
		}
	}
	switch {
	case !changed:
		return nil
	case t.m.fault != nil:
		return errorf("cannot write journal: %w", t.m.fault)
	case grows > 0 && t.m.used+grows > t.m.limit:
		return errorf("cannot write %d bytes: %w", grows, ErrFull)
	}
	for b, kv := range t.changes {
		for k, v := range kv {
			if v == nil {
				delete(t.m.data[b], k)
				continue
			}
			if t.m.data[b] == nil {
				t.m.data[b] = map[string][]byte{}
			}
			t.m.data[b][k] = v
		}
	}
	t.m.used += grows
	return nil
}
