// Package look looks into the disk that a power cut left, in user space: whether the boot metadata can be read and lead
// to a whole system, the running slot is as it was, the file system and the journal are whole and the evidence is one
// chain; and then plays the disk on, on the bench. What it finds is a Finding.
//
// Disks are looked at by processes of the same program, which talk lines of JSON: a bench needs a process in which
// nothing else runs, and an agent that crashes must be the finding of one cut.
package look

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
)

// Run is the run of a board whose disks are looked at.
type Run struct {
	Board  string // its name
	Root   string // directory
	Device string // name of the device
}

// Checker looks at the disks that power cuts of one recording left, in user space. It is not safe for concurrent use.
type Checker struct {
	Rec  *disk.Recording
	Log  *disk.Log
	Disk *disk.Disk // as the last cut left it

	run    Run
	board  board.Kind
	dir    string // for files
	access board.Access
	image  []byte // what the recording installs in slot To

	state    [sha256.Size]byte // sum of the state partition that lies in dir/from/state
	records  uint64            // in its journal
	phase    string            // in its journal
	unpacked bool
	known    map[string]Finding // by the sum of the disk
}

// Finding is what user space finds on one disk.
type Finding struct {
	Sum     string     // of the disk
	Wrong   string     // what is wrong with it: a device that a power cut broke
	Phase   string     // that is durable in the journal, "" where there is none yet
	Records uint64     // of evidence
	Loads   string     // slot that the model of the bootloader starts, "" where there is no model
	Offline bench.Bout // the device left alone
	Offered bench.Bout // the same with the offer at hand
}

// Bouts are Offline and Offered.
func (f Finding) Bouts() []bench.Bout { return []bench.Bout{f.Offline, f.Offered} }

// Open opens a recording of a run. dir is for files; Close removes it.
func Open(r Run, dir string, rec *disk.Recording) (*Checker, error) {
	kind, ok := board.Find(r.Board)
	if !ok {
		return nil, fmt.Errorf("there is no target %q", r.Board)
	}
	c := &Checker{Rec: rec, run: r, board: kind, dir: dir, known: map[string]Finding{}}
	var err error
	if c.Log, err = disk.OpenLog(filepath.Join(r.Root, rec.Log), board.DiskSize, rec.Entries); err != nil {
		return nil, err
	}
	if c.image, err = os.ReadFile(filepath.Join(r.Root, rec.Image)); err != nil {
		return nil, errors.Join(err, c.Log.Close())
	}
	if c.Disk, err = disk.Open(filepath.Join(r.Root, rec.Base)); err != nil {
		return nil, errors.Join(err, c.Log.Close())
	}
	c.access = kind.Access(c.Disk, dir)
	return c, os.MkdirAll(dir, 0o755)
}

// Close closes the recording.
func (c *Checker) Close() error {
	return errors.Join(c.Disk.Close(), c.Log.Close(), os.RemoveAll(c.dir))
}

// Look rebuilds the disk after a cut and looks at it. t is for the bench; nil leaves that out. What is wrong with the
// disk is in the finding; an error is of the laboratory.
func (c *Checker) Look(ctx context.Context, t *testing.T, x disk.Cut) (Finding, error) {
	if x.Point > len(c.Log.Writes) {
		return Finding{}, fmt.Errorf("there is no point %d, the log has %d", x.Point, len(c.Log.Writes))
	}
	if err := c.Disk.Rebuild(c.Log, x); err != nil {
		return Finding{}, err
	}
	sum := c.Disk.Sum(0, c.Disk.Size())
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
func (c *Checker) check(ctx context.Context, t *testing.T, f *Finding) error {
	state, err := c.board.Metadata(ctx, c.access)
	if err != nil {
		return err
	}
	from := board.SlotBytes(c.Rec.From)
	if !c.Disk.Unwritten(from, from+board.SlotSize) {
		return errors.New("slot " + c.Rec.From + " was written, which ran")
	}
	if state.Next == "" {
		return errors.New("the bootloader has no slot to boot")
	}
	begun := string(state.Next) == c.Rec.To
	if begun && !bytes.Equal(c.access.Part(board.SlotPart(c.Rec.To))[:len(c.image)], c.image) {
		return errors.New("slot " + c.Rec.To + " would boot, and does not hold the image")
	}
	if err := c.unpack(ctx, begun); err != nil {
		return err
	}
	f.Phase, f.Records = c.phase, c.records
	if t == nil || c.board.Model == nil {
		return nil
	}
	return c.onBench(ctx, t, f)
}

// unpack replays the state partition's file system, takes its files out, opens the journal and walks the
// evidence chain. made says that there must be one.
func (c *Checker) unpack(ctx context.Context, made bool) error {
	at := int64(board.StateAt) * image.Sector
	if sum := c.Disk.Sum(at, at+board.StateSize); !c.unpacked || sum != c.state {
		c.unpacked = false
		fs, dir := filepath.Join(c.dir, "state.img"), filepath.Join(c.dir, "from", "state")
		if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755),
			os.WriteFile(fs, c.access.Part(4), 0o644)); err != nil {
			return err
		}
		// e2fsck replays the journal, as the mount will. Exit code 1: replayed, or small things put right.
		if out, err := image.Tool(ctx, "", "e2fsck", "-f", "-p", fs); err != nil &&
			!strings.Contains(err.Error(), "exit status 1:") {
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
		return errors.New("slot " + c.Rec.To + " would boot, and there is no journal")
	}
	return nil
}

// journal opens a copy of the journal, if there is one, and walks the evidence chain.
func (c *Checker) journal(path string) error {
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
func (c *Checker) onBench(ctx context.Context, t *testing.T, f *Finding) error {
	from := filepath.Join(c.dir, "from")
	boot := filepath.Join(from, "boot")
	if err := errors.Join(os.RemoveAll(boot), os.MkdirAll(boot, 0o755)); err != nil {
		return err
	}
	if err := c.board.Model.Extract(ctx, c.access, boot); err != nil {
		return err
	}
	b := &bench.Device{Name: c.run.Device, Rec: c.Rec, Model: c.board.Model, Disk: c.Disk, Image: c.image, From: from,
		Dir: filepath.Join(c.dir, "bench"), Images: filepath.Join(c.run.Root, "desk", "images")}
	key, err := os.ReadFile(filepath.Join(c.run.Root, "desk", "keys", "release.pub.pem"))
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
	if b.Offer, err = os.ReadFile(filepath.Join(c.run.Root, c.Rec.Offer)); err != nil {
		return err
	}
	f.Offered = b.Play(t)
	if f.Offered.Wrong != "" {
		return errors.New("on the bench, with the offer at hand: " + f.Offered.Wrong)
	}
	if !c.Rec.Ends(f.Offered.Ended, c.board.Tries) {
		return fmt.Errorf("on the bench the device ends %q, not %s...%s", f.Offered.Ended, c.Rec.Result, c.Rec.Rests)
	}
	return nil
}
