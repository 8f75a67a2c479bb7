package engine

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"github.com/ratchet-ota/ratchet/hal"
)

// How long a lock is waited for. The loaders' tools hold theirs for as long as one record takes, a second at most on
// slow flash. A lock that anybody can hold, and once was gone on without, is waited for shortly only.
const (
	lockWait  = 10 * time.Second
	waitAgain = time.Second
)

// locks are the advisory locks of other programs on boot metadata.
type locks struct {
	paths []string
	// optional leaves out a lock whose directory is not there, or is on a read-only file system, as /var/lock is
	// on a root that no tmpfs covers there: nobody else can hold it either.
	optional bool
	tired    map[string]bool // waited for in vain, by path
}

// take takes all locks in their order, each within lockWait and before ctx ends, and returns what releases them.
// passed says which were gone on without, and why: those that anybody on the machine can hold or spoil
// (hal.ErrAnybodys) are worth a wait, and not the update. Without them two writers may meet; each reads back what it
// wrote, and the one that is lost is written again. Two paths that lead to one file wait for each other.
func (l *locks) take(ctx context.Context, fsys hal.FS) (release func(), passed []string, err error) {
	var held []func()
	release = func() {
		for _, f := range slices.Backward(held) {
			f()
		}
	}
	for _, path := range l.paths {
		f, err := l.one(ctx, fsys, path)
		switch {
		case err == nil:
			held = append(held, f)
		case l.optional && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EROFS)):
		case errors.Is(err, hal.ErrAnybodys) && ctx.Err() == nil:
			passed = append(passed, err.Error())
		default:
			release()
			return nil, nil, err
		}
	}
	return release, passed, nil
}

func (l *locks) one(ctx context.Context, fsys hal.FS, path string) (release func(), err error) {
	wait := lockWait
	if l.tired[path] {
		wait = waitAgain
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	release, err = fsys.Lock(ctx, path)
	if l.tired == nil {
		l.tired = map[string]bool{}
	}
	l.tired[path] = errors.Is(err, hal.ErrAnybodys)
	return release, err
}
