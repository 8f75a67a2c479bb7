package shadow_test

import (
	"bytes"
	"errors"
	"io/fs"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/internal/shadow"
)

func TestStoreAndLoad(t *testing.T) {
	d := &boottest.Disk{}
	if _, err := shadow.Load(d, "/s", 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load: %v, want %v", err, fs.ErrNotExist)
	}
	payload := []byte("some\x00bytes")
	if err := shadow.Store(d, "/s", payload); err != nil {
		t.Fatal(err)
	}
	if cuts := d.Cut(); len(cuts) != 1 {
		t.Errorf("%d disks may be left after Store, want 1: it is not durable", len(cuts))
	}
	if got, err := shadow.Load(d, "/s", 100); err != nil || !bytes.Equal(got, payload) {
		t.Errorf("Load: %q, %v", got, err)
	}
	if _, err := shadow.Load(d, "/s", 3); err == nil {
		t.Error("a shadow above the limit is read")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(shadow.Encode(nil))
	f.Add(shadow.Encode([]byte("x")))
	f.Add([]byte("RTSHADW1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		payload, err := shadow.Decode(b)
		if err == nil && !bytes.Equal(shadow.Encode(payload), b) {
			t.Errorf("%q decodes to %q, which encodes to something else", b, payload)
		}
		if err != nil && !errors.Is(err, shadow.ErrInvalid) {
			t.Error(err)
		}
	})
}
