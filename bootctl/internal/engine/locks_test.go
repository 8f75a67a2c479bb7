package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
	"github.com/ratchet-ota/ratchet/hal"
)

// lockFS gives one error for each path, at once or when the wait is over, and nothing else.
type lockFS struct {
	hal.FS
	errs  map[string]error
	waits map[string]bool // until ctx ends
	held  *int            // how many are
}

func (f lockFS) Lock(ctx context.Context, path string) (func(), error) {
	if f.waits[path] {
		<-ctx.Done()
		return nil, fmt.Errorf("%w: %w", f.errs[path], ctx.Err())
	}
	if f.errs[path] == nil {
		*f.held++
	}
	return func() { *f.held-- }, f.errs[path]
}

func TestTakeOptional(t *testing.T) {
	for _, c := range []struct {
		err      error
		optional bool
		ok       bool
	}{
		{nil, false, true},
		{fs.ErrNotExist, true, true},
		{fs.ErrNotExist, false, false},
		{&fs.PathError{Op: "open", Path: "/var/lock/x", Err: syscall.EROFS}, true, true},
		{&fs.PathError{Op: "open", Path: "/var/lock/x", Err: syscall.EROFS}, false, false},
		{fs.ErrPermission, true, false},
	} {
		held := 0
		fsys := lockFS{errs: map[string]error{"/a": nil, "/b": c.err}, held: &held}
		release, passed, err := engine.Locks([]string{"/a", "/b"}, c.optional)(t.Context(), fsys)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, c.err) || len(passed) > 0 {
			t.Errorf("%v, optional %v: %v, gone on without %v", c.err, c.optional, err, passed)
		}
		if err == nil {
			release()
		}
		if held != 0 {
			t.Errorf("%v, optional %v: %d locks stay held", c.err, c.optional, held)
		}
	}
}

// A lock that anybody can hold costs ten seconds, once, and then a second each time; the update goes on. One that only
// root can hold is an error, and no verb goes on without it. Nothing is waited for longer than the caller waits.
func TestTakeBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := 0
		fsys := lockFS{errs: map[string]error{"/anybodys": hal.ErrAnybodys, "/roots": errors.New("held")},
			waits: map[string]bool{"/anybodys": true, "/roots": true}, held: &held}
		take := engine.Locks([]string{"/a", "/anybodys", "/b"}, false)
		for _, want := range []time.Duration{10 * time.Second, time.Second, time.Second} {
			began := time.Now()
			release, passed, err := take(t.Context(), fsys)
			if err != nil || len(passed) != 1 || held != 2 || time.Since(began) != want {
				t.Fatalf("after %v: %v, gone on without %v, %d held", time.Since(began), err, passed, held)
			}
			release()
		}
		fsys.waits = nil
		fsys.errs = nil
		if release, passed, err := take(t.Context(), fsys); err != nil || len(passed) > 0 || held != 3 {
			t.Errorf("free again: %v, gone on without %v, %d held", err, passed, held)
		} else {
			release()
		}

		fsys.errs, fsys.waits = map[string]error{"/roots": errors.New("held")}, map[string]bool{"/roots": true}
		began := time.Now()
		if _, _, err := engine.Locks([]string{"/a", "/roots"}, true)(t.Context(), fsys); err == nil || held != 0 ||
			time.Since(began) != 10*time.Second {
			t.Errorf("after %v: %v, %d held", time.Since(began), err, held)
		}
		fsys.errs, fsys.waits = map[string]error{"/anybodys": hal.ErrAnybodys}, map[string]bool{"/anybodys": true}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began = time.Now()
		_, _, err := engine.Locks([]string{"/anybodys"}, true)(ctx, fsys)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}
