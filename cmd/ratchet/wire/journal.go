package wire

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

// journalName is the journal in the state directory.
const journalName = "journal.db"

// journalOptions are what the configuration says of the journal.
func journalOptions(c *config.Config) (journal.Options, error) {
	o, err := journal.Options{Size: c.State.JournalBytes}.Validate()
	if err != nil {
		return o, c.Errorf("state.journal-bytes", "%v", err)
	}
	return o, nil
}

// openJournal opens the journal of the state directory, and says which directory that is. A corrupt one is set aside,
// and lost says so; a nil store means that none can be had, and why.
//
// Crash: before the rename -> the corrupt file is found and set aside again; after -> a new one.
func openJournal(c *config.Config, log *slog.Logger) (at linux.Dir, s journal.Store, lost reason.Reason, err error) {
	dir := c.State.Directory
	path := filepath.Join(dir, journalName)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return at, nil, reason.JournalUnwritable, fmt.Errorf("cannot make the state directory: %w", err)
	}
	// Before it is opened: what is mounted in between looks moved, and costs a start.
	at = linux.OpenDir(dir)
	o, err := journalOptions(c)
	if err != nil {
		return at, nil, reason.JournalUnwritable, err
	}
	s, err = journal.OpenBolt(path, o)
	if errors.Is(err, journal.ErrCorrupt) {
		aside, serr := journal.SetAside(path)
		if serr != nil {
			return at, nil, reason.JournalLost, errors.Join(err, serr)
		}
		log.Error("the journal is corrupt and was set aside", "as", aside, "error", err)
		lost = reason.JournalLost
		s, err = journal.OpenBolt(path, o)
	}
	if err != nil {
		return at, nil, reason.JournalUnwritable, err
	}
	return at, s, lost, nil
}

// TryJournal tells whether the journal, of which there was none at the start, can be opened now.
func TryJournal(c *config.Config, log *slog.Logger) error {
	_, s, _, err := openJournal(c, log)
	if err != nil {
		return err
	}
	return s.Close()
}
