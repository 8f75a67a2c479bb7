package cipher_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ratchet-ota/ratchet/agent/cipher"
	"github.com/ratchet-ota/ratchet/agent/manifest"
)

func TestSealRefuses(t *testing.T) {
	kw := sharedKey(t, "kid-1")
	public, err := recipient(t).Public()
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for says, err := range map[string]error{
		"0 recipients, want 1 to 8":     sealError(t, text, manifest.A128GCM, nil, nil),
		"9 recipients, want 1 to 8":     sealError(t, text, manifest.A128GCM, slices.Repeat([]cipher.Key{kw}, 9), nil),
		"recipient has no key":          sealError(t, text, manifest.A128GCM, make([]cipher.Key, 1), nil),
		"algorithm 24 is not supported": sealError(t, text, 24, []cipher.Key{kw}, nil),
		"EOF":                           sealError(t, text, manifest.A128GCM, []cipher.Key{kw}, bytes.NewReader(nil)),
		// What it needs for key and IV is there, but not for an ephemeral key; or what is there is no key 16 times.
		"unexpected EOF": sealError(t, text, manifest.A128GCM, []cipher.Key{public},
			bytes.NewReader(random(28+31, 1))),
		"the source of randomness is broken": sealError(t, text, manifest.A128GCM, []cipher.Key{public},
			bytes.NewReader(append(random(28, 1), bytes.Repeat([]byte{0xff}, 16*32)...))),
	} {
		if err == nil || err.Error() != "cannot encrypt payload: "+says {
			t.Errorf("%v, want %s", err, says)
		}
	}
	for _, alg := range []int64{manifest.A128GCM, manifest.A128CTR} {
		if _, err := cipher.Seal(io.Discard, iotest.ErrReader(broken), alg, []cipher.Key{kw}, nil); !errors.Is(err,
			broken) {
			t.Errorf("algorithm %d, from a broken source: %v", alg, err)
		}
		for n := range 2 {
			if _, err := cipher.Seal(&writer{n, broken}, strings.NewReader(text), alg, []cipher.Key{kw}, nil); n == 0 &&
				!errors.Is(err, broken) || n == 1 && alg == manifest.A128GCM && !errors.Is(err, broken) {
				t.Errorf("algorithm %d, write %d fails: %v", alg, n, err)
			}
		}
	}
}

// TestSealOfEverySize: whole chunks, nothing and what lies between come back as they were.
func TestSealOfEverySize(t *testing.T) {
	for _, alg := range []int64{manifest.A128GCM, manifest.A256CTR} {
		for _, n := range []int{0, 1, cipher.Chunk - 1, cipher.Chunk, cipher.Chunk + 1, 2 * cipher.Chunk} {
			plain := random(n, 3)
			payload, s := sealed(t, alg, plain)
			r, err := s.Reader(bytes.NewReader(payload))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("algorithm %d, %d bytes: %d come back, %v", alg, n, len(got), err)
			}
		}
	}
}

func sealError(t *testing.T, s string, alg int64, to []cipher.Key, random io.Reader) error {
	t.Helper()
	_, err := cipher.Seal(io.Discard, strings.NewReader(s), alg, to, random)
	return err
}

// writer fails once, after so many writes.
type writer struct {
	before int
	err    error
}

func (w *writer) Write(p []byte) (int, error) {
	if w.before--; w.before == -1 {
		return 0, w.err
	}
	return len(p), nil
}

// Two payloads of one image have nothing in common.
func TestSealIsFresh(t *testing.T) {
	kw := sharedKey(t, "kid-1")
	var a, b bytes.Buffer
	for _, w := range []io.Writer{&a, &b} {
		if _, err := cipher.Seal(w, strings.NewReader(text), manifest.A128CTR, []cipher.Key{kw}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if bytes.Equal(a.Bytes()[:8], b.Bytes()[:8]) {
		t.Error("key and IV were used twice")
	}
}
