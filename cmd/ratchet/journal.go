package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

const (
	probeVerb    = "probe-journal"
	probeCorrupt = 3
	probeWithin  = 2 * time.Minute
)

// runProbe walks a journal in a process of its own: bbolt maps its file, and an I/O error under a
// mapping kills the process (SIGBUS) instead of returning an error.
func runProbe(args []string, stderr io.Writer) int {
	if len(args) != 1 {
		fmt.Fprintln(stderr, "ratchet: "+probeVerb+" takes the path of a journal")
		return 2
	}
	err := journal.Probe(args[0])
	switch {
	case err == nil:
		return 0
	case errors.Is(err, journal.ErrCorrupt):
		fmt.Fprintln(stderr, err)
		return probeCorrupt
	}
	fmt.Fprintln(stderr, err)
	return 1
}

// openJournal opens the journal of the state directory. A corrupt one is set aside, and lost says
// so; a nil store means that none can be had, and why.
//
// Crash: before the rename -> the corrupt file is probed and set aside again; after -> a new one.
func openJournal(ctx context.Context, dir string, size int64, log *slog.Logger) (s journal.Store, lost reason.Reason, err error) {
	path := filepath.Join(dir, "journal.db")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, reason.JournalUnwritable, fmt.Errorf("cannot make the state directory: %w", err)
	}
	if _, err := os.Stat(path); err == nil {
		if why := probeInChild(ctx, path); why != nil {
			aside, serr := journal.SetAside(path)
			if serr != nil {
				return nil, reason.JournalLost, errors.Join(why, serr)
			}
			log.Error("the journal is corrupt and was set aside", "as", aside, "error", why)
			lost = reason.JournalLost
		}
	}
	s, err = journal.OpenBolt(path, journal.Options{Size: size})
	if err != nil {
		why := reason.JournalUnwritable
		if errors.Is(err, journal.ErrCorrupt) {
			why = reason.JournalLost
		}
		return nil, why, err
	}
	return s, lost, nil
}

// probeInChild returns an error only when the journal is known to be corrupt: a child that was
// killed by a signal of its own reading counts as that, one that could not be run does not.
func probeInChild(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", probeVerb, path)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || ctx.Err() != nil {
		return nil
	}
	if exit.ExitCode() == probeCorrupt || exit.ExitCode() == -1 {
		return fmt.Errorf("%w: %s", journal.ErrCorrupt, lastPart(out))
	}
	return nil
}

func lastPart(b []byte) string {
	if len(b) > 500 {
		b = b[len(b)-500:]
	}
	return string(b)
}
