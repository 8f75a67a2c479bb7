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
