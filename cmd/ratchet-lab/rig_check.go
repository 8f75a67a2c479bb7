package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/journal"
)

// checker looks at a disk as a power cut left it, in user space.
type checker struct {
	target  target
	dir     string // for files
	factory []byte // the disk before the first write
	image   []byte // what was to be installed in slot B
	disk    []byte // the disk after the cut
}

func newChecker(t target, dir, factory, image string) (*checker, error) {
	c := &checker{target: t, dir: dir}
	var err error
	if c.factory, err = os.ReadFile(factory); err != nil {
		return nil, err
	}
	if c.image, err = os.ReadFile(image); err != nil {
		return nil, err
	}
	c.disk = make([]byte, len(c.factory))
	return c, os.MkdirAll(dir, 0o755)
}

// WriteAt makes the disk something that a log can be applied to.
func (c *checker) WriteAt(p []byte, off int64) (int, error) {
	return copy(c.disk[off:], p), nil
}

// rebuild makes the disk after a cut, from the disk that the log began with.
func (c *checker) rebuild(from []byte, l *writeLog, x cut) error {
	copy(c.disk, from)
	steps, _ := l.steps(x)
	for _, s := range steps {
		if err := l.apply(c, s.write, s.sectors); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) part(number int64) []byte {
	for _, p := range c.target.parts {
		if p.number == number {
			return c.disk[p.start*sector : (p.start+p.size)*sector]
		}
	}
	return nil
}

// check returns what is wrong with the disk: each of these would be a device that a power cut broke.
func (c *checker) check(ctx context.Context) error {
	state, err := c.target.metadata(ctx, c)
	if err != nil {
		return err
	}
	a := slotAt * sector
	if !bytes.Equal(c.part(2), c.factory[a:a+slotSize]) {
		return errors.New("the slot that ran was written")
	}
	if state.Next == "" {
		return errors.New("the bootloader has no slot to boot")
	}
	if state.Next == "B" && !bytes.Equal(c.part(3)[:len(c.image)], c.image) {
		return errors.New("slot B would boot, and does not hold the image")
	}
	return c.journal(ctx, state.Next == "B")
}

// journal replays the state partition's file system, opens the journal and walks the evidence chain.
// made says that it must be there.
func (c *checker) journal(ctx context.Context, made bool) error {
	fs, db := filepath.Join(c.dir, "state"), filepath.Join(c.dir, "journal.db")
	if err := errors.Join(os.RemoveAll(db), os.WriteFile(fs, c.part(4), 0o644)); err != nil {
		return err
	}
	// e2fsck replays the journal, as the mount will. Exit code 1: replayed, or small things put right.
	if out, err := tool(ctx, "", "e2fsck", "-f", "-p", fs); err != nil && !strings.Contains(err.Error(), "exit status 1:") {
		return fmt.Errorf("%w %s", err, out)
	}
	if out, err := tool(ctx, "", "debugfs", "-R", "dump journal.db "+db, fs); err != nil {
		return fmt.Errorf("%w %s", err, out)
	}
	if info, err := os.Stat(db); err != nil || info.Size() == 0 {
		if made {
			return errors.New("slot B would boot, and there is no journal")
		}
		return nil // the first start makes it, in one rename
	}
	s, err := journal.OpenBolt(db, journal.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	var last []byte
	var broken error
	err = s.View(func(tx journal.Tx) error {
		return tx.Scan(journal.Evidence, "", func(_ string, rec []byte) bool {
			r, err := evidence.Decode(rec)
			if err == nil && last != nil {
				if sum := sha256.Sum256(last); r.Prev != sum {
					err = fmt.Errorf("record %d does not continue the chain", r.Seq)
				}
			}
			broken, last = err, bytes.Clone(rec)
			return err == nil
		})
	})
	return errors.Join(err, broken)
}
