package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/bench"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/stage"
)

// checker looks at the disks that power cuts of one recording left, in user space.
type checker struct {
	target board.Kind
	rec    *disk.Recording
	root   string // directory of the target's run
	dir    string // for files
	log    *disk.Log
	disk   *disk.Disk
	image  []byte // what the recording installs in slot To

	state    [sha256.Size]byte // sum of the state partition that lies in dir/from/state
	records  uint64            // in its journal
	phase    string            // in its journal
	unpacked bool
	known    map[string]finding // by the sum of the disk
}

// finding is what user space finds on one disk.
type finding struct {
	Sum     string     // of the disk
	Wrong   string     // what is wrong with it: a device that a power cut broke
	Phase   string     // that is durable in the journal, "" where there is none yet
	Records uint64     // of evidence
	Loads   string     // slot that the model of the bootloader starts, "" where there is no model
	Offline bench.Bout // the device left alone
	Offered bench.Bout // the same with the offer at hand
}

// newChecker opens a recording of the run in root. dir is for files; Close removes it.
func newChecker(t board.Kind, root, dir string, rec *disk.Recording) (*checker, error) {
	c := &checker{target: t, rec: rec, root: root, dir: dir, known: map[string]finding{}}
	var err error
	if c.log, err = disk.OpenLog(filepath.Join(root, rec.Log), board.DiskSize, rec.Entries); err != nil {
		return nil, err
	}
	if c.image, err = os.ReadFile(filepath.Join(root, rec.Image)); err != nil {
		return nil, errors.Join(err, c.log.Close())
	}
	if c.disk, err = disk.Open(filepath.Join(root, rec.Base)); err != nil {
		return nil, errors.Join(err, c.log.Close())
	}
	return c, os.MkdirAll(dir, 0o755)
}

func (c *checker) Close() error {
	return errors.Join(c.disk.Close(), c.log.Close(), os.RemoveAll(c.dir))
}

// access is how the board looks at the disk.
func (c *checker) access() board.Access { return board.Access{Dir: c.dir, Part: c.part} }

// part is one partition of the disk.
func (c *checker) part(number int64) []byte {
	for _, p := range c.target.Parts {
		if p.Number == number {
			return c.disk.At(p.Start*image.Sector, p.Size*image.Sector)
		}
	}
	return nil
}

// look rebuilds the disk after a cut and looks at it. t is for the bench; nil leaves that out.
func (c *checker) look(ctx context.Context, t *testing.T, x disk.Cut) (finding, error) {
	if x.Point > len(c.log.Writes) {
		return finding{}, fmt.Errorf("there is no point %d, the log has %d", x.Point, len(c.log.Writes))
	}
	if err := c.disk.Rebuild(c.log, x); err != nil {
		return finding{}, err
	}
	sum := c.disk.Sum(0, c.disk.Size())
	f, ok := c.known[hex.EncodeToString(sum[:])]
	if ok {
		return f, nil
	}
	f.Sum = hex.EncodeToString(sum[:])
	if err := c.check(ctx, t, &f); err != nil {
		f.Wrong = err.Error()
	}
	c.known[f.Sum] = f
	return f, ctx.Err()
}

// check returns what is wrong with the disk: each of these would be a device that a power cut broke.
func (c *checker) check(ctx context.Context, t *testing.T, f *finding) error {
	state, err := c.target.Metadata(ctx, c.access())
	if err != nil {
		return err
	}
	from := board.SlotBytes(c.rec.From)
	if !c.disk.Unwritten(from, from+board.SlotSize) {
		return errors.New("slot " + c.rec.From + " was written, which ran")
	}
	if state.Next == "" {
		return errors.New("the bootloader has no slot to boot")
	}
	begun := string(state.Next) == c.rec.To
	if begun && !bytes.Equal(c.part(board.SlotPart(c.rec.To))[:len(c.image)], c.image) {
		return errors.New("slot " + c.rec.To + " would boot, and does not hold the image")
	}
	if err := c.unpack(ctx, begun); err != nil {
		return err
	}
	f.Phase, f.Records = c.phase, c.records
	if t == nil || c.target.Model == nil {
		return nil
	}
	return c.onBench(ctx, t, f)
}

// unpack replays the state partition's file system, takes its files out, opens the journal and walks the
// evidence chain. made says that there must be one.
func (c *checker) unpack(ctx context.Context, made bool) error {
	at := int64(board.StateAt) * image.Sector
	if sum := c.disk.Sum(at, at+board.StateSize); !c.unpacked || sum != c.state {
		c.unpacked = false
		fs, dir := filepath.Join(c.dir, "state.img"), filepath.Join(c.dir, "from", "state")
		if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755), os.WriteFile(fs, c.part(4), 0o644)); err != nil {
			return err
		}
		// e2fsck replays the journal, as the mount will. Exit code 1: replayed, or small things put right.
		if out, err := image.Tool(ctx, "", "e2fsck", "-f", "-p", fs); err != nil && !strings.Contains(err.Error(), "exit status 1:") {
			return fmt.Errorf("%w %s", err, out)
		}
		if out, err := image.Tool(ctx, "", "debugfs", "-R", "rdump / "+dir, fs); err != nil {
			return fmt.Errorf("%w %s", err, out)
		}
		c.phase, c.records = "", 0
		if err := c.journal(filepath.Join(dir, "journal.db")); err != nil {
			return err
		}
		c.state, c.unpacked = sum, true
	}
	if made && c.records == 0 {
		return errors.New("slot " + c.rec.To + " would boot, and there is no journal")
	}
	return nil
}

// journal opens a copy of the journal, if there is one, and walks the evidence chain.
func (c *checker) journal(path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(b) == 0 {
		return errors.Join(os.RemoveAll(path)) // the first start makes it, in one rename
	}
	db := filepath.Join(c.dir, "journal.db")
	if err := errors.Join(err, os.WriteFile(db, b, 0o600)); err != nil {
		return err
	}
	s, err := journal.OpenBolt(db, journal.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	if c.records, err = wholeChain(s); err != nil {
		return err
	}
	rec, have, err := bench.Durable(s)
	if have {
		c.phase = string(rec.Phase)
	} else if c.records > 0 {
		c.phase = "idle"
	}
	return err
}

// wholeChain counts the records of evidence, and fails where one does not continue the chain.
func wholeChain(s journal.Store) (n uint64, err error) {
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
			n++
			broken, last = err, bytes.Clone(rec)
			return err == nil
		})
	})
	return n, errors.Join(err, broken)
}

// onBench boots the disk without QEMU, once left alone and once with the offer at hand.
func (c *checker) onBench(ctx context.Context, t *testing.T, f *finding) error {
	from := filepath.Join(c.dir, "from")
	boot := filepath.Join(from, "boot")
	if err := errors.Join(os.RemoveAll(boot), os.MkdirAll(boot, 0o755)); err != nil {
		return err
	}
	if err := c.target.Model.Extract(ctx, c.access(), boot); err != nil {
		return err
	}
	b := &bench.Device{Name: stage.DeviceName, Rec: c.rec, Model: c.target.Model, Disk: c.disk, Image: c.image, From: from, Dir: filepath.Join(c.dir, "bench"), Images: filepath.Join(c.root, "desk", "images")}
	key, err := os.ReadFile(filepath.Join(c.root, "desk", "keys", "release.pub.pem"))
	if err != nil {
		return err
	}
	anchor, err := trust.ParsePublic(key)
	if err != nil {
		return err
	}
	if b.Keys, err = trust.NewKeys([]trust.Key{anchor}, false); err != nil {
		return err
	}
	f.Offline = b.Play(t)
	if len(f.Offline.Boots) > 0 {
		f.Loads = f.Offline.Boots[0]
	}
	if f.Offline.Wrong != "" {
		return errors.New("on the bench, offline: " + f.Offline.Wrong)
	}
	if b.Offer, err = os.ReadFile(filepath.Join(c.root, c.rec.Offer)); err != nil {
		return err
	}
	f.Offered = b.Play(t)
	if f.Offered.Wrong != "" {
		return errors.New("on the bench, with the offer at hand: " + f.Offered.Wrong)
	}
	if !c.rec.Ends(f.Offered.Ended, c.target.Tries) {
		return fmt.Errorf("on the bench the device ends %q, not %s...%s", f.Offered.Ended, c.rec.Result, c.rec.Rests)
	}
	return nil
}
