//go:build linux

package linux

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/hal"
)

// maxStack bounds the walk through stacked devices; real stacks are four or five deep.
const maxStack = 64

// topology is what sysfs knows about which devices share bytes. What sysfs does not know is not
// found: the exclusive open stands behind it.
type topology struct{ sys string }

func (b Blocks) topology() topology { return topology{orDefault(b.SysPath, "/sys")} }

// apart returns ErrRunning when writing to target could change bytes of running.
func (t topology) apart(target, running hal.DeviceID) error {
	if target == running {
		return hal.ErrRunning
	}
	below := t.below(running)
	for _, id := range below {
		if id == target {
			return errorf("%w: the running system lies on this device", hal.ErrRunning)
		}
		if disk, ok := t.disk(id); ok && disk == target {
			return errorf("%w: this is the whole disk that the running system lies on", hal.ErrRunning)
		}
	}
	if disk, ok := t.disk(target); ok {
		for _, id := range below {
			if id == disk {
				return errorf("%w: this is a partition of the disk that runs", hal.ErrRunning)
			}
		}
	}
	return nil
}

// below returns id and every device or file that it is made of (device mapper, md, loop).
func (t topology) below(id hal.DeviceID) []hal.DeviceID {
	all := []hal.DeviceID{id}
	for i := 0; i < len(all) && len(all) < maxStack; i++ {
		if !all[i].Block {
			continue
		}
		dir := t.dir(all[i])
		slaves, _ := os.ReadDir(filepath.Join(dir, "slaves"))
		for _, s := range slaves {
			if dev, ok := t.number(filepath.Join(dir, "slaves", s.Name())); ok {
				all = append(all, dev)
			}
		}
		if file, ok := backing(dir); ok {
			all = append(all, file)
		}
	}
	return all
}

// disk returns the whole disk that a partition belongs to.
func (t topology) disk(id hal.DeviceID) (hal.DeviceID, bool) {
	if !id.Block {
		return hal.DeviceID{}, false
	}
	dir, err := filepath.EvalSymlinks(t.dir(id))
	if err != nil {
		return hal.DeviceID{}, false
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err != nil {
		return hal.DeviceID{}, false
	}
	return t.number(filepath.Dir(dir))
}

// loopOn returns the name of a loop device set up on the file, "" for none.
func (t topology) loopOn(file hal.DeviceID) string {
	dirs, _ := filepath.Glob(filepath.Join(t.sys, "block", "loop*"))
	for _, dir := range dirs {
		if id, ok := backing(dir); ok && id == file {
			return filepath.Base(dir)
		}
	}
	return ""
}

// dir is the sysfs folder of a block device.
func (t topology) dir(id hal.DeviceID) string {
	return filepath.Join(t.sys, "dev", "block", fmt.Sprintf("%d:%d", unix.Major(id.Major), unix.Minor(id.Major)))
}

// number reads the device number of a sysfs folder.
func (t topology) number(dir string) (hal.DeviceID, bool) {
	b, err := os.ReadFile(filepath.Join(dir, "dev"))
	if err != nil {
		return hal.DeviceID{}, false
	}
	a, c, ok := strings.Cut(strings.TrimSpace(string(b)), ":")
	major, err1 := strconv.ParseUint(a, 10, 32)
	minor, err2 := strconv.ParseUint(c, 10, 32)
	if !ok || err1 != nil || err2 != nil {
		return hal.DeviceID{}, false
	}
	return hal.DeviceID{Block: true, Major: unix.Mkdev(uint32(major), uint32(minor))}, true
}

// backing is the file that the loop device of a sysfs folder is set up on.
func backing(dir string) (hal.DeviceID, bool) {
	b, err := os.ReadFile(filepath.Join(dir, "loop", "backing_file"))
	if err != nil {
		return hal.DeviceID{}, false
	}
	var st unix.Stat_t
	path := strings.TrimSuffix(string(b), "\n")
	if err := unix.Stat(path, &st); err != nil {
		return hal.DeviceID{}, false
	}
	id, err := identify(path, &st)
	return id, err == nil
}

// eepromPage is the largest page, in bytes, of an EEPROM that the kernel shows as a file below /sys.
const eepromPage = 256

// Locate tells where the bytes of a block device or a regular file lie, without opening it; of a folder, on which file
// system it is. What sysfs does not know stays zero.
//
// The optimal I/O size of a device is no unit of a loss: arrays give their stripe there, and eMMC nothing.
func (b Blocks) Locate(path string) (hal.Region, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return hal.Region{}, &fs.PathError{Op: "locate", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT == unix.S_IFCHR {
		return hal.Region{Flash: true}, nil
	}
	on := hal.DeviceID{Block: true, Major: uint64(st.Dev)}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return hal.Region{FS: on}, nil
	}
	id, err := identify(path, &st)
	if err != nil {
		return hal.Region{}, err
	}
	r := hal.Region{Self: id, On: id, Size: st.Size, Unit: hal.Align, FS: on}
	if !id.Block {
		var fsys unix.Statfs_t
		if unix.Statfs(path, &fsys) == nil && fsys.Type == unix.SYSFS_MAGIC {
			r.Unit = eepromPage
		}
		r.LogsData = logsData(b.ProcPath, uint64(st.Dev))
		return r, nil
	}
	t := b.topology()
	dir := t.dir(id)
	r.FS, r.Size = hal.DeviceID{}, 512*sysNumber(filepath.Join(dir, "size"))
	if disk, ok := t.disk(id); ok {
		r.On, r.Start = disk, 512*sysNumber(filepath.Join(dir, "start"))
	}
	whole, _ := filepath.EvalSymlinks(t.dir(r.On))
	name := filepath.Base(whole)
	r.Flash = strings.HasPrefix(name, "mtdblock") || strings.HasPrefix(name, "ubiblock")
	r.Unit = max(r.Unit, sysNumber(filepath.Join(whole, "queue", "physical_block_size")))
	return r, nil
}

// sysNumber is a number in a file of sysfs, 0 where there is none.
func sysNumber(path string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 52)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// logsData tells whether a mounted file system has data=journal among its options.
func logsData(proc string, dev uint64) bool {
	return slices.ContainsFunc(mountsOf(filepath.Join(orDefault(proc, "/proc"), "self/mountinfo"), dev),
		func(m mount) bool { return slices.Contains(m.options, "data=journal") })
}
