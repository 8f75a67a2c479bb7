//go:build interop

package journal_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/hal/cutdisk"
)

// These tests prove what the rest of the house assumes of the journal: after a power cut it is as
// one committed transaction left it. bbolt maps its file, so that this cannot run on the simulated
// machine; it runs on ext4, on a disk that records what the kernel writes and flushes. The disk is
// then made as a cut at each of those would leave it, mounted by the kernel, and the journal is
// opened as the daemon opens it. The host's kernel need not know vfat: cmd/ratchet-lab rig runs the
// whole agent on it.
//
// Cuts begin after the mount and end before the unmount: both write ext4's superblock in place, which
// no file on it can help when its two sectors are torn apart.
//
// Seeded: RATCHET_SEED=n repeats the choice of torn sectors, on what is recorded anew.

const (
	firstSize = 512 << 10
	grownSize = 768 << 10
	diskSize  = 10 << 20
)

const diskRole = "RATCHET_DISK_ROLE"

// TestDiskProcess is not a test of its own: the processes that work on the disk are this binary.
func TestDiskProcess(t *testing.T) {
	role, dir, _ := strings.Cut(os.Getenv(diskRole), " ")
	if role == "" {
		t.Skip("plays its roles for the other tests only")
	}
	err := fmt.Errorf("no role %q", role)
	switch role {
	case "life":
		err = diskLife(dir)
	case "commit", "create", "grow":
		err = diskFault(role, dir)
	case "full":
		err = diskFull(dir)
	case "look":
		err = cutdisk.Answer(dir, lookAtJournal)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// diskProcess makes commands of program that play a role, each in a directory of its own.
func diskProcess(t *testing.T, program, role string) func() *exec.Cmd {
	base := scratch(t)
	return func() *exec.Cmd {
		dir, err := os.MkdirTemp(base, role)
		if err != nil {
			panic("internal error: " + err.Error()) // the command then fails, and nothing is proven
		}
		c := exec.Command(program, "-test.run=^TestDiskProcess$")
		c.Env = append(os.Environ(), diskRole+"="+role+" "+dir)
		return c
	}
}

func diskSeed(t *testing.T) uint64 {
	seed := rand.Uint64()
	if s := os.Getenv("RATCHET_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("RATCHET_SEED=%d", seed)
	return seed
}

func newDisk(t *testing.T) *cutdisk.Disk {
	t.Helper()
	image, err := cutdisk.Format(diskSize)
	if err != nil {
		t.Fatal(err)
	}
	return cutdisk.New(image)
}

// expected is what the marks of a process that worked allow after a cut.
type expected struct {
	states []string // the last one that was reported durable, and those begun since
	size   int64    // of the journal, when there is one
	growth bool     // being enlarged
	damage bool     // the test itself was damaging the file
}

func expect(marks []cutdisk.Mark, point int) expected {
	e := expected{states: []string{"none"}, size: firstSize}
	for _, m := range marks {
		verb, what, _ := strings.Cut(m.Word, " ")
		switch {
		case verb == "begin" && m.At < point:
			if what == "growth" {
				e.growth = true
			} else if e.damage = what == "rotten"; !e.damage {
				e.states = append(e.states, what)
				if e.states[0] == "rotten" {
					e.states = append(e.states, "none") // set aside, and the next one not yet there
				}
			}
		case verb == "done" && m.At <= point:
			if what == "growth" {
				e.growth, e.size = false, grownSize
			} else {
				e.states, e.damage = []string{what}, false
			}
		}
	}
	return e
}

// judge holds what was seen after a cut against it.
func (e expected) judge(f cutdisk.Found) error {
	if f.Err != nil {
		return f.Err
	}
	var state, newest string
	var size int64
	var written bool
	if _, err := fmt.Sscan(f.Answer, &state, &size, &written, &newest); err != nil {
		return fmt.Errorf("%w in %q", err, f.Answer)
	}
	ok := false
	for _, s := range e.states {
		ok = ok || s == state
	}
	if !ok {
		return fmt.Errorf("the journal is %q, allowed is one of %q", state, e.states)
	}
	// None is replaced that is not kept aside.
	epoch, _, numbered := strings.Cut(state, "/")
	if state == "none" && e.states[0] == "rotten" {
		epoch, _, numbered = strings.Cut(e.states[1], "/")
	}
	if numbered && newest != epoch {
		return fmt.Errorf("the newest journal set aside before %q is number %s", state, newest)
	}
	if state == "none" || state == "rotten" {
		return nil
	}
	if size < e.size {
		return fmt.Errorf("the journal has %d bytes, not %d", size, e.size)
	}
	if !written && !e.growth {
		return fmt.Errorf("the journal has room that was never written")
	}
	return nil
}

// diskTally is what was covered: points of the record, cuts of all variants, disks that differ, and how
// often a journal was opened on one.
type diskTally struct {
	prefixes, cuts, disks, opens, faults int
	processes                            int // that look, at once; 0 for four
}

func (s diskTally) String() string {
	return fmt.Sprintf("%d prefixes, %d variants, %d disks made and mounted, journal opened %d times",
		s.prefixes, s.cuts, s.disks, s.opens)
}

// examine makes the disk after every cut from first to last and returns what is wrong.
func examine(t *testing.T, d *cutdisk.Disk, marks []cutdisk.Mark, first, last, subsets int,
	seed uint64, sum *diskTally) (wrong []error) {
	t.Helper()
	var cuts []cutdisk.Cut
	points := map[int]bool{}
	for _, c := range cutdisk.Cuts(first, last, subsets, seed) {
		if !expect(marks, c.Point).damage {
			cuts = append(cuts, c)
			points[c.Point] = true
		}
	}
	ask := func(c cutdisk.Cut) string {
		e := expect(marks, c.Point)
		if e.growth {
			e.size = grownSize
		}
		return fmt.Sprint(e.size, c.Variant != cutdisk.Whole) // opened without a probe, and after one
	}
	for _, f := range d.Look(cuts, cmp.Or(sum.processes, 4), diskProcess(t, os.Args[0], "look"), ask) {
		sum.cuts++
		if !f.Same {
			sum.disks++
			sum.opens += 2 // as it was found, and after it went on
		}
		if err := expect(marks, f.Cut.Point).judge(f); err != nil {
			wrong = append(wrong, fmt.Errorf("%v: %w", f.Cut, err))
		}
	}
	sum.prefixes += len(points)
	return wrong
}

func report(t *testing.T, wrong []error) {
	t.Helper()
	for i, err := range wrong {
		if i == 10 {
			t.Errorf("and %d more", len(wrong)-i)
			return
		}
		t.Error(err)
	}
}

// TestPowerCutOnDisk: first start, commits, growth, three replacements.
func TestPowerCutOnDisk(t *testing.T) {
	seed, began := diskSeed(t), time.Now()
	d := newDisk(t)
	marks, err := d.Run(diskProcess(t, os.Args[0], "life")(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var sum diskTally
	report(t, examine(t, d, marks, marks[0].At, marks[len(marks)-1].At, 2, seed, &sum))
	t.Logf("%d requests recorded: %v, in %v", d.Entries(), sum, time.Since(began).Round(time.Millisecond))
}

// TestFaultOnDisk: the disk refuses a write or a flush, once or for good; the journal says so and
// keeps what it had, then and after a power cut.
func TestFaultOnDisk(t *testing.T) {
	seed, began := diskSeed(t), time.Now()
	empty := newDisk(t)
	made := cutdisk.New(empty.Content())
	if _, err := made.Run(diskProcess(t, os.Args[0], "create")(), nil); err != nil {
		t.Fatal(err)
	}
	var all diskTally
	var mu sync.Mutex
	faults := 0
	t.Run("faults", func(t *testing.T) {
		for _, role := range []string{"create", "commit", "grow"} {
			for _, f := range []cutdisk.Fault{
				{Op: cutdisk.Write, Times: 1, Err: syscall.EIO}, {Op: cutdisk.Write, Err: syscall.EIO},
				{Op: cutdisk.Write, Err: syscall.ENOSPC},
				{Op: cutdisk.Flush, Times: 1, Err: syscall.EIO}, {Op: cutdisk.Flush, Err: syscall.EIO},
			} {
				image := made.Content()
				if role == "create" {
					image = empty.Content()
				}
				if f.Err == syscall.ENOSPC && role != "commit" {
					continue // a thinly provisioned medium that fills up; to the journal it is another number
				}
				t.Run(fmt.Sprintf("%s, %v", role, f), func(t *testing.T) {
					t.Parallel()
					sum := diskTally{processes: 1}
					for f.Skip = 0; faulty(t, image, role, f, seed, &sum); f.Skip++ {
						sum.faults++
					}
					if sum.faults == 0 {
						t.Error("no request was failed")
					}
					mu.Lock()
					defer mu.Unlock()
					faults += sum.faults
					all.prefixes, all.cuts, all.disks, all.opens = all.prefixes+sum.prefixes, all.cuts+sum.cuts,
						all.disks+sum.disks, all.opens+sum.opens
				})
			}
		}
	})
	t.Logf("%d faults: %v, in %v", faults, all, time.Since(began).Round(time.Millisecond))
}

// faulty plays one fault and the power cuts after it. It is false when the work was done before the
// fault came.
func faulty(t *testing.T, image []byte, role string, f cutdisk.Fault, seed uint64, sum *diskTally) bool {
	d := cutdisk.New(image)
	armed, end, hits, failed := 0, 0, 0, 0
	marks, err := d.Run(diskProcess(t, os.Args[0], role)(), func(word string) {
		switch {
		case word == "arm":
			armed = d.Entries()
			d.Break(f)
		case strings.HasPrefix(word, "failed"):
			failed++
		case word == "end":
			end, hits = d.Entries(), d.Hits()
			d.Mend()
		}
	})
	if err != nil {
		t.Fatalf("%v: %v", f, err)
	}
	if hits == 0 {
		return false
	}
	if failed == 0 && f.Times == 0 {
		t.Errorf("%v: the disk failed %d requests and the journal reported no error", f, hits)
	}
	for _, err := range examine(t, d, marks, max(armed, end-2), end, 1, seed, sum) {
		t.Errorf("%v: %v", f, err)
	}
	return true
}

// TestFullDiskOnDisk: no room in the file system. A journal that is there takes commits all the same.
func TestFullDiskOnDisk(t *testing.T) {
	d := newDisk(t)
	marks, err := d.Run(diskProcess(t, os.Args[0], "full")(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var sum diskTally
	first := 0
	for _, m := range marks {
		if m.Word == "full" {
			first = m.At
		}
	}
	report(t, examine(t, d, marks, first, marks[len(marks)-1].At, 2, diskSeed(t), &sum))
	t.Logf("%v", sum)
}
