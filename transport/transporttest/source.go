// Package transporttest is the conformance suite of package transport: every Source, Inbox and
// Outbox passes it, so that a backend's own tests are only about what is its own.
package transporttest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
)

// SourceRig is one Source and the hand that changes what stands behind it. A nil function means
// that the rig cannot do it; the cases that need it are left out.
type SourceRig struct {
	Source transport.Source
	Change func(content []byte) // other content under the same name
	Remove func()               // no content, for good
	Break  func(after int64)    // the next connection ends early, once
}

// Source runs the suite; open makes a fresh rig that serves content.
func Source(t *testing.T, open func(t *testing.T, content []byte) SourceRig) {
	const seed = 20
	content := make([]byte, 300_000)
	random := rand.New(rand.NewPCG(seed, seed))
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	other := bytes.Clone(content)
	other[len(other)/2] ^= 1
	size := int64(len(content))

	t.Run("Whole", func(t *testing.T) {
		r := open(t, content)
		got, v := read(t, r.Source, 0, "")
		same(t, got, content)
		if v == "" {
			t.Error("validator is empty: a power cut costs the whole payload")
		}
	})
	t.Run("Offsets", func(t *testing.T) {
		r := open(t, content)
		_, v := read(t, r.Source, 0, "")
		for _, off := range []int64{1, 511, 512, size / 2, size - 1, size} {
			got, again := read(t, r.Source, off, v)
			same(t, got, content[off:])
			if again != v {
				t.Errorf("offset %d: validator went from %q to %q, content is the same", off, v, again)
			}
		}
	})
	t.Run("Reader", func(t *testing.T) { // odd reads, and the end stays the end
		r := open(t, content[:5000])
		body, _, err := r.Source.Open(t.Context(), 0, "")
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		if err := iotest.TestReader(struct{ io.Reader }{body}, content[:5000]); err != nil {
			t.Error(err)
		}
	})
	t.Run("BeyondTheEnd", func(t *testing.T) {
		r := open(t, content)
		_, v := read(t, r.Source, 0, "")
		for _, off := range []int64{-1, size + 1, 1 << 50} {
			if body, _, err := r.Source.Open(t.Context(), off, v); err == nil {
				body.Close()
				t.Errorf("opened at %d of %d", off, size)
			}
		}
	})
	t.Run("Changed", func(t *testing.T) {
		r := open(t, content)
		if r.Change == nil {
			t.Skip("rig cannot change the content")
		}
		_, v := read(t, r.Source, 0, "")
		r.Change(other)
		if _, _, err := r.Source.Open(t.Context(), 1000, v); !errors.Is(err, transport.ErrChanged) {
			t.Errorf("offset 1000 of changed content: %v, want ErrChanged", err)
		}
		got, v2 := read(t, r.Source, 0, "")
		same(t, got, other)
		if v2 == v {
			t.Errorf("validator %q for both contents", v)
		}
	})
	t.Run("ChangedAtTheStart", func(t *testing.T) {
		// At offset 0 nothing has been read yet: what is there now is as good as what was.
		r := open(t, content)
		if r.Change == nil {
			t.Skip("rig cannot change the content")
		}
		_, v := read(t, r.Source, 0, "")
		r.Change(other)
		body, _, err := r.Source.Open(t.Context(), 0, v)
		if errors.Is(err, transport.ErrChanged) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		got, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, other)
	})
	t.Run("Gone", func(t *testing.T) {
		r := open(t, content)
		if r.Remove == nil {
			t.Skip("rig cannot remove the content")
		}
		r.Remove()
		if _, _, err := r.Source.Open(t.Context(), 0, ""); !errors.Is(err, transport.ErrGone) {
			t.Errorf("removed content: %v, want ErrGone", err)
		}
	})
	t.Run("Broken", func(t *testing.T) {
		r := open(t, content)
		if r.Break == nil {
			t.Skip("rig cannot break")
		}
		for _, after := range []int64{0, 1, 4096, size - 1} {
			r.Break(after)
			got, _ := read(t, r.Source, 0, "")
			same(t, got, content)
		}
	})
	t.Run("ChangedWhileBroken", func(t *testing.T) {
		r := open(t, content)
		if r.Break == nil || r.Change == nil {
			t.Skip("rig cannot break and change")
		}
		r.Break(100_000)
		body, _, err := r.Source.Open(t.Context(), 0, "")
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		r.Change(other)
		got, err := io.ReadAll(body)
		if !errors.Is(err, transport.ErrChanged) {
			t.Errorf("content changed under the body: %v after %d bytes, want ErrChanged", err, len(got))
		}
		if !bytes.HasPrefix(content, got) {
			t.Error("body mixes two contents")
		}
	})
	t.Run("Cancelled", func(t *testing.T) {
		r := open(t, content)
		ctx, cancel := context.WithCancel(t.Context())
		body, _, err := r.Source.Open(ctx, 0, "")
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		if _, err := io.ReadFull(body, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := io.Copy(io.Discard, body); !errors.Is(err, context.Canceled) {
			t.Errorf("read after cancel: %v, want context.Canceled", err)
		}
		if _, _, err := r.Source.Open(ctx, 0, ""); !errors.Is(err, context.Canceled) {
			t.Errorf("open after cancel: %v, want context.Canceled", err)
		}
	})
	t.Run("Closed", func(t *testing.T) {
		r := open(t, content)
		body, _, err := r.Source.Open(t.Context(), 0, "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(body, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}
		if n, err := body.Read(make([]byte, 10)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("read of a closed body: %d, %v", n, err)
		}
		_ = body.Close() // twice does no harm
	})
	t.Run("Together", func(t *testing.T) {
		r := open(t, content)
		_, v := read(t, r.Source, 0, "")
		var wg sync.WaitGroup
		for i := range int64(4) {
			wg.Go(func() {
				got, _ := read(t, r.Source, i*1000, v)
				same(t, got, content[i*1000:])
			})
		}
		wg.Wait()
	})
}

// read opens a source and reads it to the end.
func read(t *testing.T, s transport.Source, off int64, validator string) ([]byte, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	body, v, err := s.Open(ctx, off, validator)
	if err != nil {
		t.Errorf("cannot open at %d: %v", off, err)
		return nil, ""
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	if err != nil {
		t.Errorf("cannot read from %d: %v after %d bytes", off, err, len(got))
	}
	return got, v
}

func same(t *testing.T, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		i := 0
		for i < len(got) && i < len(want) && got[i] == want[i] {
			i++
		}
		t.Errorf("got %d bytes, want %d; they differ from byte %d on", len(got), len(want), i)
	}
}
