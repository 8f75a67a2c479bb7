package slots_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/slots"
)

func checkpointOf(t testing.TB, content []byte, img slots.Image, at int) slots.Checkpoint {
	t.Helper()
	h := sha256.New()
	h.Write(content[:at])
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return slots.Checkpoint{Written: int64(at), Payload: int64(at), Hash: state, Alg: slots.SHA256,
		Version: slots.CheckpointVersion, Image: img.Digest}
}

func TestCheckpointRefused(t *testing.T) {
	content := pattern(18, 100*kib)
	img := rawImage(content)
	for _, tc := range []struct {
		name, says string
		change     func(*slots.Checkpoint)
	}{
		{"version", "version 2, this program writes 1", func(c *slots.Checkpoint) { c.Version++ }},
		{"algorithm", "another digest algorithm", func(c *slots.Checkpoint) { c.Alg = slots.SHA512 }},
		{"image", "another image", func(c *slots.Checkpoint) { c.Image = make([]byte, 32) }},
		{"unaligned", "4097 of 102400 bytes written", func(c *slots.Checkpoint) { c.Written, c.Payload = 4097, 4097 }},
		{"zero", "0 of 102400 bytes written", func(c *slots.Checkpoint) { c.Written, c.Payload = 0, 0 }},
		{"negative", "-4096 of 102400 bytes", func(c *slots.Checkpoint) { c.Written, c.Payload = -4096, -4096 }},
		{"behind the end", "106496 of 102400 bytes written",
			func(c *slots.Checkpoint) { c.Written, c.Payload = 104*kib, 104*kib }},
		{"payload", "45056 payload bytes for 40960 image bytes", func(c *slots.Checkpoint) { c.Payload += 4096 }},
		{"no hash", "hash state: ", func(c *slots.Checkpoint) { c.Hash = nil }},
		{"short hash", "hash state: ", func(c *slots.Checkpoint) { c.Hash = c.Hash[:20] }},
		{"hash elsewhere", "hash state is of another position", func(c *slots.Checkpoint) {
			*c = checkpointOf(t, content, img, 8192)
			c.Written, c.Payload = 4096, 4096
		}},
	} {
		c := checkpointOf(t, content, img, 40*kib)
		tc.change(&c)
		r := newRig(t, 1, 1<<20)
		src := &source{data: content}
		_, err := slots.Write(t.Context(), r.open(), img, src, slots.Options{From: &c})
		if !errors.Is(err, slots.ErrCheckpoint) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.says)
		}
		if len(src.opens) != 0 || r.Ops() != 0 {
			t.Errorf("%s: something was done", tc.name)
		}
	}
	// Of a compressed image the payload's place is what the frames say, within the payload.
	packed, payload := zstdImage(t, content, 32*kib)
	for at, says := range map[int64]string{
		0: "0 payload bytes for 40960", -1: "-1 payload bytes for 40960",
		int64(len(payload)) + 1: "payload bytes for 40960 image bytes",
	} {
		c := checkpointOf(t, content, packed, 40*kib)
		c.Payload = at
		_, err := slots.Write(t.Context(), newRig(t, 1, 1<<20).open(), packed, &source{data: payload},
			slots.Options{From: &c})
		if !errors.Is(err, slots.ErrCheckpoint) || !strings.Contains(err.Error(), says) {
			t.Errorf("payload at %d: %v, want %q", at, err, says)
		}
	}
	// A finished checkpoint with another content's hash is no proof.
	c := checkpointOf(t, pattern(19, 100*kib), img, 100*kib)
	r := newRig(t, 1, 1<<20)
	if _, err := slots.Write(t.Context(), r.open(), img, &source{},
		slots.Options{From: &c}); !errors.Is(err, slots.ErrDigest) {
		t.Error(err)
	}
}

// FuzzCheckpoint resumes from checkpoints out of a damaged journal.
func FuzzCheckpoint(f *testing.F) {
	content := pattern(20, 64*kib)
	img := rawImage(content)
	for _, at := range []int{4096, 60 * kib, 64 * kib} {
		c := checkpointOf(f, content, img, at)
		f.Add(c.Written, c.Payload, c.Hash, c.Alg, c.Version, c.Image, uint8(0))
		f.Add(c.Written, c.Payload, c.Hash, c.Alg, c.Version, c.Image, uint8(1))
	}
	f.Fuzz(func(t *testing.T, written, payload int64, hash []byte, alg, version int, image []byte, enc uint8) {
		img := img
		img.Encoding = slots.Encoding(enc % 2)
		c := slots.Checkpoint{Written: written, Payload: payload, Hash: hash, Alg: alg, Version: version, Image: image}
		r := newRig(t, 1, 64*kib)
		r.Poke("b", 0, content)
		res, err := slots.Write(context.Background(), r.open(), img, &source{data: content},
			slots.Options{Every: 32 * kib, From: &c})
		if err == nil && (res.Written != img.Size || res.Resumed != written) {
			t.Fatalf("%+v from %d", res, written)
		}
	})
}

func TestMinInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := make([]byte, 1<<20)
		src := &source{data: content, onRead: func(int64) { time.Sleep(time.Second) }} // a read a second
		r := newRig(t, 1, 1<<20)
		var s saves
		if _, err := slots.Write(t.Context(), r.open(), rawImage(content), src,
			slots.Options{Every: 64 * kib, MinInterval: 30 * time.Second, Save: s.save}); err != nil {
			t.Fatal(err)
		}
		// Without it 21; one in 30 s, the reads being of 8 KiB and 1 s apart.
		if n := len(s.list); n < 4 || n > 6 {
			t.Errorf("%d checkpoints in 128 s", n)
		}
	})
}

// zeros is a source and sink of any size that holds nothing. Its medium counts.
type zeros struct {
	size    int64
	highest int64
}

func (z *zeros) Open(_ context.Context, off int64, _ string) (io.ReadCloser, string, error) {
	return io.NopCloser(io.LimitReader(zeroReader{}, z.size-off)), "", nil
}

func (z *zeros) ReadAt(p []byte, off int64) (int, error) { clear(p); return len(p), nil }

func (z *zeros) WriteAt(p []byte, off int64) (int, error) {
	z.highest = max(z.highest, off+int64(len(p)))
	return len(p), nil
}
func (z *zeros) Sync() error  { return nil }
func (z *zeros) Size() int64  { return z.size }
func (z *zeros) Close() error { return nil }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Memory does not grow with the image, in writing and in checking.
func TestBoundedMemory(t *testing.T) {
	const size = 160 << 20
	h := sha256.New()
	if _, err := io.CopyN(h, zeroReader{}, size); err != nil {
		t.Fatal(err)
	}
	raw := slots.Image{Alg: slots.SHA256, Digest: h.Sum(nil), Size: size}
	var frames bytes.Buffer
	if err := slots.Compress(&frames, io.LimitReader(zeroReader{}, size), slots.MaxFrame, 1); err != nil {
		t.Fatal(err)
	}
	packed := raw
	packed.Encoding, packed.PayloadSize = slots.Zstd, int64(frames.Len())
	z := &zeros{size: size}
	for _, tc := range []struct {
		name string
		img  slots.Image
		src  slots.Source
		most uint64
	}{{"raw", raw, z, 8 << 20}, {"zstd", packed, &source{data: frames.Bytes()}, 18 << 20}} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := slots.Write(t.Context(), z, tc.img, tc.src,
			slots.Options{Save: func(slots.Checkpoint) error { return nil }}); err != nil {
			t.Fatal(err)
		}
		if err := slots.Check(t.Context(), z, tc.img, nil); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		// All that was ever allocated, not only what was in use at once.
		if n := after.TotalAlloc - before.TotalAlloc; n > tc.most {
			t.Errorf("%s: %d bytes allocated, limit %d", tc.name, n, tc.most)
		}
	}
}

// Offsets beyond 4 GiB, without the bytes: the hash state says where it is.
func TestHugeImage(t *testing.T) {
	const size, at = 6<<30 + 12345, 6<<30 - 1<<20
	h := sha256.New()
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint64(state[len(state)-8:], at)
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(h, zeroReader{}, size-at); err != nil {
		t.Fatal(err)
	}
	img := slots.Image{Alg: slots.SHA256, Digest: h.Sum(nil), Size: size}
	c := slots.Checkpoint{Written: at, Payload: at, Hash: state, Alg: slots.SHA256, Version: slots.CheckpointVersion,
		Image: img.Digest}
	z := &zeros{size: 6<<30 + 16384}
	src := &zeros{size: size}
	res, err := slots.Write(t.Context(), z, img, src, slots.Options{From: &c})
	if err != nil || res.Written != size || res.Fetched != size-at || z.highest != 6<<30+16384 {
		t.Errorf("%+v, highest %d, %v", res, z.highest, err)
	}
}
