package journal

import (
	"bytes"
	"errors"

	"go.etcd.io/bbolt"
)

// tx is a transaction of a bolt store. Every call into bbolt is guarded; err is the first thing
// that went wrong with the file and fails the transaction as a whole, whatever fn makes of it.
type tx struct {
	inner    *bbolt.Tx
	writable bool
	done     bool
	err      error
	scanning []string

	scanned    bool
	changed    bool
	state      bool  // State was changed: the reserve may be used
	put, freed int64 // bytes of values
	tallies    map[string]tally
}

var errScanning = errors.New("a bucket cannot be changed while it is scanned")

func (t *tx) Get(bucket, key string) []byte {
	if t.done || t.err != nil || check(bucket, key, nil) != nil {
		return nil
	}
	var value []byte
	t.err = guard(func() (err error) {
		value, err = t.get(bucket, key)
		return err
	})
	return value
}

// get returns a copy: the map may fail at any later time, and that must happen here.
func (t *tx) get(bucket, key string) ([]byte, error) {
	b := t.inner.Bucket([]byte(bucket))
	if b == nil {
		return nil, nil
	}
	stored := b.Get([]byte(key))
	if stored == nil {
		return nil, nil
	}
	return t.value(bucket, key, stored)
}

func (t *tx) value(bucket, key string, stored []byte) ([]byte, error) {
	value, c, aside, err := decode(stored)
	if err != nil {
		return nil, err
	}
	if aside {
		if b := t.inner.Bucket([]byte(apart(bucket))); b != nil {
			value = b.Get([]byte(key))
		}
	}
	value = append([]byte{}, value...)
	if crc(bucket, key, value) != c {
		return nil, errorf("%w: key %q in %s does not have the value that was put", ErrCorrupt, key, bucket)
	}
	return value, nil
}

func (t *tx) Put(bucket, key string, value []byte) error {
	if err := check(bucket, key, value); err != nil {
		return err
	}
	return t.change(bucket, key, func() error {
		old, err := t.get(bucket, key)
		if err != nil {
			return err
		}
		if old != nil && bytes.Equal(old, value) {
			return nil
		}
		if old != nil {
			if err := t.drop(bucket, key, old); err != nil {
				return err
			}
		}
		c := crc(bucket, key, value)
		stored, aside := encode(c, value)
		b, err := t.bucket(bucket)
		if err != nil {
			return err
		}
		if err := b.Put([]byte(key), stored); err != nil {
			return err
		}
		if aside {
			if b, err = t.bucket(apart(bucket)); err != nil {
				return err
			}
			// bbolt keeps the slice until the commit; the caller may reuse his.
			if err := b.Put([]byte(key), append([]byte{}, value...)); err != nil {
				return err
			}
		}
		t.put += int64(len(key) + len(value))
		return t.count(bucket, 1, uint64(c))
	})
}

func (t *tx) Delete(bucket, key string) error {
	if err := check(bucket, key, nil); err != nil {
		return err
	}
	return t.change(bucket, key, func() error {
		old, err := t.get(bucket, key)
		if err != nil || old == nil {
			return err
		}
		if err := t.drop(bucket, key, old); err != nil {
			return err
		}
		return t.inner.Bucket([]byte(bucket)).Delete([]byte(key))
	})
}

// drop takes a value out of the books, and out of the apart bucket.
func (t *tx) drop(bucket, key string, old []byte) error {
	t.freed += int64(len(key) + len(old))
	if len(old) >= large {
		if err := t.inner.Bucket([]byte(apart(bucket))).Delete([]byte(key)); err != nil {
			return err
		}
	}
	return t.count(bucket, ^uint64(0), -uint64(crc(bucket, key, old)))
}

func (t *tx) change(bucket, key string, fn func() error) error {
	switch {
	case t.done:
		return ErrClosed
	case t.err != nil:
		return t.err
	case !t.writable:
		return errorf("cannot change key %q in a View", key)
	}
	for _, s := range t.scanning {
		if s == bucket {
			return errorf("cannot change key %q: %w", key, errScanning)
		}
	}
	t.err = guard(fn)
	return t.err
}

func (t *tx) bucket(name string) (*bbolt.Bucket, error) {
	b, err := t.inner.CreateBucketIfNotExists([]byte(name))
	if err == nil && name == Evidence {
		b.FillPercent = 0.95 // keys only ever rise: a half empty page would stay so
	}
	return b, err
}

// count changes the tally of a bucket.
func (t *tx) count(bucket string, keys, sum uint64) error {
	now, ok := t.tallies[bucket]
	if !ok {
		if b := t.inner.Bucket([]byte(sums)); b != nil {
			if stored := b.Get([]byte(bucket)); stored != nil {
				var err error
				if now, err = decodeTally(stored); err != nil {
					return err
				}
			}
		}
	}
	if t.tallies == nil {
		t.tallies = map[string]tally{}
	}
	t.tallies[bucket] = tally{now.count + keys, now.sum + sum}
	t.changed = true
	t.state = t.state || bucket == State
	return nil
}

func (t *tx) writeTallies() error {
	b, err := t.inner.CreateBucketIfNotExists([]byte(sums))
	if err != nil {
		return err
	}
	for name, n := range t.tallies {
		if err := b.Put([]byte(name), n.encode()); err != nil {
			return err
		}
	}
	return nil
}

// room refuses a transaction that would leave less than others need. What it takes is estimated
// on the careful side.
func (t *tx) room(free, reserve int64) error {
	keep := reserve
	if t.freed >= t.put {
		return nil
	} else if t.state {
		keep = floor
	}
	if need := t.put + t.put/2 + commitPages*pageSize; free-need < keep {
		return errorf("cannot write %d bytes: %w: %d bytes are free, %d of them are kept back",
			t.put, ErrFull, free, keep)
	}
	return nil
}

func (t *tx) Scan(bucket, from string, fn func(key string, value []byte) bool) error {
	if t.done {
		return ErrClosed
	}
	if err := check(bucket, "-", nil); err != nil {
		return err
	}
	t.scanned = true
	t.scanning = append(t.scanning, bucket)
	defer func() { t.scanning = t.scanning[:len(t.scanning)-1] }()
	var c *bbolt.Cursor
	var k, v []byte
	next := func() error {
		if c != nil {
			k, v = c.Next()
		} else if b := t.inner.Bucket([]byte(bucket)); b != nil {
			c = b.Cursor()
			k, v = c.Seek([]byte(from))
		}
		if k == nil {
			return nil
		}
		k = append([]byte{}, k...)
		var err error
		v, err = t.value(bucket, string(k), v)
		return err
	}
	for t.err == nil {
		if t.err = guard(next); t.err != nil || k == nil || !fn(string(k), v) {
			break
		}
	}
	return t.err
}
