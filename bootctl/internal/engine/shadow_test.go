package engine_test

import (
	"bytes"
	"errors"
	"io/fs"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
)

func TestShadow(t *testing.T) {
	d := &boottest.Disk{}
	s := engine.Shadow{FS: d, Path: "/s", Limit: 100, Of: "the metadata"}
	if _, err := s.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load: %v, want %v", err, fs.ErrNotExist)
	}
	if err := s.Keep(nil, nil); err != nil || d.Get("/s") == nil {
		t.Errorf("nothing to keep, and no file yet: %v, %q", err, d.Get("/s"))
	}
	payload := []byte("some\x00bytes")
	if err := s.Keep(payload, nil); err != nil {
		t.Fatal(err)
	}
	if cuts := d.Cut(); len(cuts) != 1 {
		t.Errorf("%d disks may be left after Keep, want 1: it is not durable", len(cuts))
	}
	if got, err := s.Load(); err != nil || !bytes.Equal(got, payload) {
		t.Errorf("Load: %q, %v", got, err)
	}
	writes := d.Writes()
	if err := s.Keep(payload, nil); err != nil || d.Writes() != writes {
		t.Errorf("Keep of what is kept: %v, %d writes", err, d.Writes()-writes)
	}
	if err := s.Keep(payload[1:], nil); err != nil || d.Writes() == writes {
		t.Errorf("Keep of something else: %v", err)
	}
	s.Limit = 3
	if _, err := s.Load(); err == nil {
		t.Error("a shadow above the limit is read")
	}
}

// TestShadowDamaged: what is no shadow copy is not read, and is replaced.
func TestShadowDamaged(t *testing.T) {
	payload := []byte("payload")
	good := engine.EncodeShadow(payload)
	flip := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 1
		return b
	}
	for name, raw := range map[string][]byte{
		"empty": {}, "a signature alone": good[:8], "a short header": good[:15], "another signature": flip(0),
		"another length": flip(8), "another sum": flip(12), "another byte": flip(len(good) - 1),
		"cut off":  good[:len(good)-1],
		"too long": append(bytes.Clone(good), 0),
	} {
		d := &boottest.Disk{}
		d.Put("/s", raw)
		s := engine.Shadow{FS: d, Path: "/s", Limit: int64(len(payload)) + 1, Of: "the metadata"}
		if _, err := s.Load(); !errors.Is(err, engine.ErrShadow) {
			t.Errorf("%s: %v, want %v", name, err, engine.ErrShadow)
		}
		if err := s.Keep(payload, nil); err != nil || !bytes.Equal(d.Get("/s"), good) {
			t.Errorf("%s: Keep: %v", name, err)
		}
	}
	if got, err := engine.DecodeShadow(engine.EncodeShadow(nil)); err != nil || len(got) != 0 {
		t.Errorf("an empty payload: %q, %v", got, err)
	}
}

// TestShadowBounds: no path, no payload, and the limit.
func TestShadowBounds(t *testing.T) {
	d := &boottest.Disk{}
	none := engine.Shadow{FS: d}
	if _, err := none.Load(); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load without a path: %v", err)
	}
	if err := none.Keep([]byte("x"), errIO); err != nil || d.Writes() > 0 {
		t.Errorf("Keep without a path: %v, %d writes", err, d.Writes())
	}
	s := engine.Shadow{FS: d, Path: "/s", Limit: 3, Of: "the metadata"}
	if err := s.Keep(nil, errIO); !errors.Is(err, errIO) || d.Writes() > 0 {
		t.Errorf("Keep of no payload: %v, %d writes", err, d.Writes())
	}
	for payload, ok := range map[string]bool{"abc": true, "abcd": false} {
		d.Put("/s", engine.EncodeShadow([]byte(payload)))
		if _, err := s.Load(); (err == nil) != ok {
			t.Errorf("%d bytes of 3: %v", len(payload), err)
		}
	}
	d.Put("/s", engine.EncodeShadow(nil))
	if err := s.Keep(nil, errIO); !errors.Is(err, errIO) {
		t.Errorf("Keep of no payload over an empty one: %v", err)
	}
	d.Before = func(int) error { return errIO }
	if err := s.Keep([]byte("x"), nil); !errors.Is(err, errIO) {
		t.Errorf("Keep that cannot be written: %v", err)
	}
}

func FuzzShadow(f *testing.F) {
	f.Add(engine.EncodeShadow(nil))
	f.Add(engine.EncodeShadow([]byte("x")))
	f.Add([]byte("RTSHADW1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		payload, err := engine.DecodeShadow(b)
		if err == nil && !bytes.Equal(engine.EncodeShadow(payload), b) {
			t.Errorf("%q decodes to %q, which encodes to something else", b, payload)
		}
		if err != nil && !errors.Is(err, engine.ErrShadow) {
			t.Error(err)
		}
	})
}
