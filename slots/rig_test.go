package slots_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/sim"
	"github.com/ratchet-ota/ratchet/slots"
)

const kib = 1 << 10

// pattern makes n bytes that compress a little and never repeat with the length of a page.
func pattern(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := 0; i < n; {
		run := min(1+rng.IntN(3000), n-i)
		if c := byte(rng.IntN(256)); rng.IntN(3) == 0 {
			for j := range run {
				b[i+j] = c
			}
		} else {
			for j := range run {
				b[i+j] = byte(rng.Uint32())
			}
		}
		i += run
	}
	return b
}

func rawImage(content []byte) slots.Image {
	d := sha256.Sum256(content)
	return slots.Image{Alg: slots.SHA256, Digest: d[:], Size: int64(len(content))}
}

func zstdImage(t testing.TB, content []byte, frame int64) (slots.Image, []byte) {
	t.Helper()
	var b bytes.Buffer
	if err := slots.Compress(&b, bytes.NewReader(content), frame, 3); err != nil {
		t.Fatal(err)
	}
	img := rawImage(content)
	img.Encoding, img.PayloadSize = slots.Zstd, int64(b.Len())
	return img, b.Bytes()
}

// source serves a payload, with faults.
type source struct {
	data      []byte
	validator string

	openErr error
	failAt  int64 // the body fails here with err, once; 0 is never
	err     error
	endless bool // zeros behind data
	onRead  func(pos int64)

	mu      sync.Mutex
	opens   []int64
	asked   []string
	fetched int64
}

func (s *source) Open(_ context.Context, off int64, validator string) (io.ReadCloser, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opens, s.asked = append(s.opens, off), append(s.asked, validator)
	if s.openErr != nil {
		return nil, "", s.openErr
	}
	if off > int64(len(s.data)) {
		return nil, "", errors.New("offset behind the end")
	}
	return &stream{s: s, pos: off}, s.validator, nil
}

type stream struct {
	s   *source
	pos int64
}

func (r *stream) Read(p []byte) (int, error) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.onRead != nil {
		s.onRead(r.pos)
	}
	if n := s.failAt - r.pos; s.failAt > 0 && n < int64(len(p)) {
		if n <= 0 {
			s.failAt = 0
			return 0, s.err
		}
		p = p[:n]
	}
	n := 0
	if r.pos < int64(len(s.data)) {
		n = copy(p, s.data[r.pos:])
	} else if s.endless {
		clear(p)
		n = len(p)
	} else {
		return 0, io.EOF
	}
	r.pos += int64(n)
	s.fetched += int64(n)
	return n, nil
}

func (r *stream) Close() error { return nil }

// rig is a machine with slots "a" (running) and "b".
type rig struct {
	*sim.World
	t testing.TB
}

func newRig(t testing.TB, seed uint64, size int64) rig {
	w := sim.New(seed)
	w.AddDisk("a", size)
	w.AddDisk("b", size)
	w.SetRunning("a", "A")
	return rig{w, t}
}

func (r rig) open() hal.Medium {
	r.t.Helper()
	running, err := r.Identity().Root()
	if err != nil {
		r.t.Fatal(err)
	}
	m, err := r.Blocks().OpenTarget("b", running)
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

// holds fails the test unless slot b holds content, with zeros up to the access unit.
func (r rig) holds(content []byte) {
	r.t.Helper()
	if got := r.Disk("b", 0, int64(len(content))); !bytes.Equal(got, content) {
		r.t.Fatalf("seed %d: the slot does not hold the image (first difference at %d)", r.Seed(), diff(got, content))
	}
}

func diff(a, b []byte) int {
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return i
		}
	}
	return len(a)
}

// saves collects checkpoints.
type saves struct {
	list []slots.Checkpoint
}

func (s *saves) save(c slots.Checkpoint) error {
	s.list = append(s.list, c)
	return nil
}

func (s *saves) last() *slots.Checkpoint {
	if len(s.list) == 0 {
		return nil
	}
	return &s.list[len(s.list)-1]
}
