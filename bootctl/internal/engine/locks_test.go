package engine_test

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
	"github.com/ratchet-ota/ratchet/hal"
)

// lockFS gives one error for each path, and nothing else.
type lockFS struct {
	hal.FS
	errs map[string]error
	held *int // how many are
}

func (f lockFS) Lock(_ context.Context, path string) (func(), error) {
	if f.held != nil && f.errs[path] == nil {
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
		release, err := engine.Take(t.Context(), fsys, []string{"/a", "/b"}, c.optional)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, c.err) {
			t.Errorf("%v, optional %v: %v", c.err, c.optional, err)
		}
		if err == nil {
			release()
		}
		if held != 0 {
			t.Errorf("%v, optional %v: %d locks stay held", c.err, c.optional, held)
		}
	}
}
