//go:build linux

package tpm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// stuck is a TPM device whose driver does not come back before it is let.
type stuck struct {
	let    chan struct{}
	writes *atomic.Int32
}

func (s stuck) Write([]byte) (int, error)   { s.writes.Add(1); <-s.let; return 0, os.ErrClosed }
func (stuck) Read([]byte) (int, error)      { return 0, os.ErrClosed }
func (stuck) Close() error                  { return nil }
func (stuck) SetDeadline(_ time.Time) error { return os.ErrNoDeadline }

// A TPM that does not answer holds nobody up for longer than a command may take, or than the caller waits; as long as
// it owes an answer nothing more is asked of it, so that no more than one thread waits for it.
func TestTPMSilent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tpm")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := stuck{make(chan struct{}), new(atomic.Int32)}
		ask := func(ctx context.Context) (time.Duration, error) {
			began := time.Now()
			_, err := command{code: ccReadPublic, handles: []uint32{FirstHandle}}.run(ctx, device{s, path})
			return time.Since(began), err
		}
		if took, err := ask(t.Context()); !errors.Is(err, errSilent) || took != commandTime {
			t.Errorf("after %v: %v", took, err)
		}
		began := time.Now()
		if _, err := open(t.Context(), path); !errors.Is(err, errSilent) || time.Since(began) > longestPause {
			t.Errorf("opened while it owes an answer: %v after %v", err, time.Since(began))
		}
		close(s.let)
		synctest.Wait()
		link, err := open(t.Context(), path)
		if err != nil {
			t.Fatalf("when it has answered: %v", err)
		}
		if err := link.Close(); err != nil {
			t.Fatal(err)
		}

		s.let = make(chan struct{})
		defer close(s.let)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if took, err := ask(ctx); !errors.Is(err, context.DeadlineExceeded) || took != time.Second ||
			err.Error() != errSilent.Error() {
			t.Errorf("whoever waits a second has waited %v: %v", took, err)
		}
		if _, err := ask(ctx); !errors.Is(err, context.DeadlineExceeded) || s.writes.Load() != 2 {
			t.Errorf("asked again by one who waits no longer: %v, %d commands", err, s.writes.Load())
		}
	})
}
