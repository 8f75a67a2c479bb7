package engine

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"syscall"

	"github.com/ratchet-ota/ratchet/hal"
)

// take takes the advisory locks of other programs on boot metadata, all at paths in this order, and returns
// what releases them. It waits until ctx ends. optional leaves out a lock whose directory is not there, or is on a
// read-only file system, as /var/lock is on a root that no tmpfs covers there: nobody else can hold it either.
// Two paths that lead to one file wait for each other until ctx ends.
func take(ctx context.Context, fsys hal.FS, paths []string, optional bool) (release func(), err error) {
	var held []func()
	release = func() {
		for _, f := range slices.Backward(held) {
			f()
		}
	}
	for _, path := range paths {
		f, err := fsys.Lock(ctx, path)
		if optional && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EROFS)) {
			continue
		}
		if err != nil {
			release()
			return nil, err
		}
		held = append(held, f)
	}
	return release, nil
}
