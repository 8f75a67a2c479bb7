package cipher_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/cipher"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/slots"
)

func random(n int, seed uint64) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

// sizes are those at which something ends.
var sizes = []int{1, 15, 16, 17, 100, cipher.Chunk - 17, cipher.Chunk - 16, cipher.Chunk - 1, cipher.Chunk,
	cipher.Chunk + 1, cipher.Chunk + 15, cipher.Chunk + 16, cipher.Chunk + 17, 3*cipher.Chunk - 16, 3 * cipher.Chunk,
	3*cipher.Chunk + 5}

// The streaming GCM agrees with the standard library's for all shapes.
func TestGCMAgreesWithTheLibrary(t *testing.T) {
	for _, keySize := range []int{16, 32} {
		for _, aadSize := range []int{0, 1, 13, 16, 64} {
			for i, n := range append([]int{0}, sizes...) {
				key, nonce, aad, plain := random(keySize, 1), random(12, 2), random(aadSize, 3), random(n, uint64(i))
				sealed := reference(t, key, nonce, aad, plain)
				for name, r := range map[string]io.Reader{
					"whole": bytes.NewReader(sealed), "halves": iotest.HalfReader(bytes.NewReader(sealed)),
					"with EOF": iotest.DataErrReader(bytes.NewReader(sealed)),
				} {
					g, err := cipher.OpenGCM(r, key, nonce, aad)
					if err != nil {
						t.Fatal(err)
					}
					got, err := io.ReadAll(g)
					if err != nil || !bytes.Equal(got, plain) {
						t.Fatalf("key %d, aad %d, %d bytes, %s: %d bytes, %v", keySize, aadSize, n, name, len(got), err)
					}
				}
			}
		}
	}
}

// Whatever is changed, cut or added, the end is never reached, and the last bytes of a payload of the
// right length do not come out.
func TestGCMNeverHandsOutAChangedImage(t *testing.T) {
	key, nonce, aad := random(16, 1), random(12, 2), random(20, 3)
	for i, n := range append([]int{0}, sizes...) {
		plain := random(n, uint64(i))
		sealed := reference(t, key, nonce, aad, plain)
		attack := map[string][]byte{"added": append(bytes.Clone(sealed), 0), "nothing": nil}
		for _, at := range []int{0, n / 2, n - 1, n, n + 15} {
			if at >= 0 {
				b := bytes.Clone(sealed)
				b[at] ^= 1
				attack[fmt.Sprint("change at ", at)] = b
			}
		}
		for _, cut := range []int{1, 15, 16, 17, 32} {
			if len(sealed) >= cut {
				attack[fmt.Sprint("cut by ", cut)] = sealed[:len(sealed)-cut]
			}
		}
		for name, b := range attack {
			g, err := cipher.OpenGCM(bytes.NewReader(b), key, nonce, aad)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(g)
			if !errors.Is(err, cipher.ErrTag) || n > 0 && len(got) >= n && name != "added" {
				t.Errorf("%d bytes, %s: %d bytes came out, %v", n, name, len(got), err)
			}
		}
	}
}

// TestGCMEndsWithItsNonce: NIST SP 800-38D section 5.2.1.1; the last byte that one nonce allows, and one more.
func TestGCMEndsWithItsNonce(t *testing.T) {
	key, nonce := random(16, 1), random(12, 2)
	// A tag that was made for the rest alone is wrong behind so many bytes: that far it is read.
	for _, tt := range []struct {
		before uint64
		n      int
		want   error
		out    int
	}{
		{cipher.MaxGCM - 100, 100, cipher.ErrTag, 0}, {cipher.MaxGCM - 100, 101, cipher.ErrTooLong, 0},
		{cipher.MaxGCM - cipher.Chunk, cipher.Chunk, cipher.ErrTag, 0},
		{cipher.MaxGCM - cipher.Chunk, cipher.Chunk + 1, cipher.ErrTooLong, cipher.Chunk},
		{cipher.MaxGCM - cipher.Chunk + 1, cipher.Chunk + 1, cipher.ErrTooLong, 0},
	} {
		g, err := cipher.OpenGCMAfter(tt.before, bytes.NewReader(reference(t, key, nonce, nil, random(tt.n, 3))), key,
			nonce)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(g); err != tt.want || len(got) != tt.out {
			t.Errorf("%d bytes behind %d: %d bytes, %v, want %v", tt.n, tt.before, len(got), err, tt.want)
		}
	}
	if n, err := cipher.Longer(cipher.MaxGCM-1, 1); n != cipher.MaxGCM || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := cipher.Longer(cipher.MaxGCM, 1); err != cipher.ErrTooLong {
		t.Error(err)
	}
	if _, err := cipher.OpenGCM(bytes.NewReader(nil), key[:15], nonce, nil); err == nil {
		t.Error("a key of 15 bytes is one")
	}
}

// TestPlainSize: what is left of a payload without its tag, never less than nothing.
func TestPlainSize(t *testing.T) {
	for alg, want := range map[int64][]int64{manifest.A128GCM: {0, 0, 0, 1, 84},
		manifest.A128CTR: {0, 1, 16, 17, 100}} {
		_, s := sealed(t, alg, nil)
		for i, n := range []int64{0, 1, 16, 17, 100} {
			if got := s.PlainSize(n); got != want[i] {
				t.Errorf("algorithm %d: %d of %d bytes", alg, got, n)
			}
		}
	}
}

// TestEncStructure: RFC 9052 section 5.3, as the CBOR library writes it.
func TestEncStructure(t *testing.T) {
	for _, n := range []int{0, 1, 23, 24, 25, 255, 256, 257, 4096} {
		protected := random(n, 1)
		want, err := cbor.Marshal([]any{"Encrypt", protected, []byte{}})
		if err != nil {
			t.Fatal(err)
		}
		if got := cipher.EncStructure(protected); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %.20x, want %.20x", n, got, want)
		}
	}
}

// sealed is a payload and the stream that opens it.
func sealed(t testing.TB, alg int64, plain []byte) ([]byte, cipher.Stream) {
	t.Helper()
	kw := sharedKey(t, "kid-1")
	var payload bytes.Buffer
	info, err := cipher.Seal(&payload, bytes.NewReader(plain), alg, []cipher.Key{kw}, nil)
	if err != nil {
		t.Fatal(err)
	}
	e, err := manifest.ParseEncryption(info)
	if err != nil {
		t.Fatal(err)
	}
	s, err := cipher.Unwrap(e, keys(t, kw))
	if err != nil {
		t.Fatal(err)
	}
	return payload.Bytes(), s
}

// source serves bytes and remembers what was asked for.
type source struct {
	b      []byte
	opened []int64
	valid  string
	closed int
	fail   error
}

func (s *source) Open(_ context.Context, off int64, validator string) (io.ReadCloser, string, error) {
	s.opened = append(s.opened, off)
	if s.fail != nil {
		return nil, "", s.fail
	}
	if validator != "" && validator != s.valid {
		return nil, "", errors.New("changed")
	}
	return &body{bytes.NewReader(s.b[min(off, int64(len(s.b))):]), s}, s.valid, nil
}

type body struct {
	io.Reader
	s *source
}

// steady wants that each Read gives something.
type steady struct {
	t *testing.T
	io.Reader
}

func (s steady) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if n == 0 && err == nil {
		s.t.Error("nothing was read, and no error given")
	}
	return n, err
}

func (b *body) Close() error { b.s.closed++; return nil }

// draft-ietf-suit-firmware-encryption, "AES-CTR": random access; section "AES-GCM": none.
func TestSourceFromEveryOffset(t *testing.T) {
	plain := random(2*cipher.Chunk+100, 9)
	for _, alg := range []int64{manifest.A128GCM, manifest.A256GCM, manifest.A128CTR, manifest.A256CTR} {
		payload, s := sealed(t, alg, plain)
		for _, off := range []int64{0, 1, 15, 16, 17, 4096, cipher.Chunk - 1, cipher.Chunk, cipher.Chunk + 1,
			int64(len(plain)) - 1, int64(len(plain))} {
			src := &source{b: payload, valid: "etag"}
			r, v, err := s.Source(src).Open(context.Background(), off, "etag")
			if err != nil || v != "etag" {
				t.Fatal(v, err)
			}
			got, err := io.ReadAll(steady{t, r})
			if err != nil || !bytes.Equal(got, plain[off:]) {
				t.Fatalf("algorithm %d from %d: %d bytes, %v", alg, off, len(got), err)
			}
			want := off &^ 15
			if !s.Resumes() {
				want = 0
			}
			if err := r.Close(); err != nil || src.closed != 1 || len(src.opened) != 1 || src.opened[0] != want {
				t.Errorf("algorithm %d from %d: opened at %v, closed %d times, %v",
					alg, off, src.opened, src.closed, err)
			}
		}
	}
}

// RFC 9459 section 4: the counter is the whole block, and carries.
func TestCounterCarries(t *testing.T) {
	plain := random(4096, 1)
	kw := sharedKey(t, "kid-1")
	for i, iv := range [][]byte{
		bytes.Repeat([]byte{0xff}, 16),
		append(make([]byte, 8), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe),
	} {
		r := io.MultiReader(bytes.NewReader(random(16, 5)), bytes.NewReader(iv))
		var payload bytes.Buffer
		info, err := cipher.Seal(&payload, bytes.NewReader(plain), manifest.A128CTR, []cipher.Key{kw}, r)
		if err != nil {
			t.Fatal(err)
		}
		e, err := manifest.ParseEncryption(info)
		if err != nil {
			t.Fatal(err)
		}
		s, err := cipher.Unwrap(e, keys(t, kw))
		if err != nil {
			t.Fatal(err)
		}
		for _, off := range []int64{0, 16, 32, 48, 1000} {
			body, _, err := s.Source(&source{b: payload.Bytes()}).Open(context.Background(), off, "")
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, plain[off:]) {
				t.Errorf("IV %d from %d: wrong bytes, %v", i, off, err)
			}
		}
	}
}

func TestSourceErrors(t *testing.T) {
	payload, s := sealed(t, manifest.A128GCM, random(100, 1))
	gone := errors.New("gone")
	if _, _, err := s.Source(&source{fail: gone}).Open(context.Background(), 0, ""); err != gone {
		t.Error(err)
	}
	if _, _, err := s.Source(&source{b: payload}).Open(context.Background(), -1, ""); err == nil {
		t.Error("an offset below 0 was taken")
	}
	none := cipher.Stream{}
	if _, _, err := none.Source(&source{b: payload}).Open(t.Context(), 0, ""); !errors.Is(err, cipher.ErrKey) {
		t.Error(err)
	}
	if _, err := (cipher.Stream{}).Reader(bytes.NewReader(payload)); !errors.Is(err, cipher.ErrKey) {
		t.Error(err)
	}
	// A payload that is changed before the offset gives nothing from there on.
	payload[0] ^= 1
	body, _, err := s.Source(&source{b: payload}).Open(context.Background(), 50, "")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(body); err != cipher.ErrTag || len(got) != 0 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	payload[0] ^= 1
	// A broken connection is passed on, not taken for the end.
	r, err := s.Reader(io.MultiReader(bytes.NewReader(payload[:50]), iotest.ErrReader(gone)))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != gone || len(got) != 0 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// memory is a slot.
type memory []byte

func (m memory) ReadAt(p []byte, off int64) (int, error)  { return copy(p, m[off:]), nil }
func (m memory) WriteAt(p []byte, off int64) (int, error) { return copy(m[off:], p), nil }
func (m memory) Sync() error                              { return nil }
func (m memory) Close() error                             { return nil }
func (m memory) Size() int64                              { return int64(len(m)) }

// The adapter between a source and a slot: package slots writes, interrupts and resumes without
// knowing that the payload is encrypted. A changed GCM payload fails before the digest is asked.
func TestSlotsDoNotKnow(t *testing.T) {
	plain := random(700<<10, 4)
	d := manifest.Sum(plain)
	for _, alg := range []int64{manifest.A128GCM, manifest.A128CTR} {
		payload, s := sealed(t, alg, plain)
		img := slots.Image{Alg: d.Alg, Digest: []byte(d.Sum), Size: int64(len(plain)),
			PayloadSize: s.PlainSize(int64(len(payload)))}
		slot := make(memory, 1<<20)
		var at *slots.Checkpoint
		stop := errors.New("power")
		_, err := slots.Write(context.Background(), slot, img, s.Source(&source{b: payload}), slots.Options{
			Every: 64 << 10, Serial: true,
			Save: func(c slots.Checkpoint) error {
				if at = &c; c.Written > 300<<10 {
					return stop
				}
				return nil
			},
		})
		if !errors.Is(err, stop) || at == nil {
			t.Fatal(err)
		}
		src := &source{b: payload}
		res, err := slots.Write(context.Background(), slot, img, s.Source(src),
			slots.Options{Every: 64 << 10, From: at})
		if err != nil || !bytes.Equal(slot[:len(plain)], plain) || res.Resumed != at.Written {
			t.Errorf("algorithm %d: %+v, %v", alg, res, err)
		}
		if fetched := src.opened[0] > 0; fetched != s.Resumes() {
			t.Errorf("algorithm %d: the second fetch began at %d", alg, src.opened[0])
		}
		payload[500<<10] ^= 1
		_, err = slots.Write(context.Background(), slot, img, s.Source(&source{b: payload}), slots.Options{})
		want := slots.ErrDigest
		if !s.Resumes() {
			want = cipher.ErrTag
		}
		if !errors.Is(err, want) {
			t.Errorf("algorithm %d, changed payload: %v", alg, err)
		}
	}
}

func BenchmarkDecrypt(b *testing.B) {
	plain := random(4<<20, 1)
	for name, alg := range map[string]int64{"GCM": manifest.A128GCM, "CTR": manifest.A128CTR} {
		payload, s := sealed(b, alg, plain)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			buf := make([]byte, 256<<10)
			for b.Loop() {
				r, err := s.Reader(bytes.NewReader(payload))
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buf); err != nil ||
					n != int64(len(plain)) {
					b.Fatal(n, err)
				}
			}
		})
	}
}
