package boottest

import (
	"io/fs"
	"maps"
	"path"
	"slices"
)

// folders are the names that a cut may leave: those that are durable, or those that programs see, a
// rename being one step; on FAT also those after each change in between.
func (d *Disk) folders() []map[string]*inode {
	all := []map[string]*inode{d.durable}
	if d.FAT != "" {
		for _, x := range d.changes {
			next := maps.Clone(all[len(all)-1])
			if next[x.name] = x.n; x.n == nil {
				delete(next, x.name)
			}
			all = append(all, next)
		}
	}
	if !maps.Equal(all[len(all)-1], d.names) {
		all = append(all, d.names)
	}
	return all
}

func (d *Disk) changed(name string, n *inode) {
	if path.Dir(name) == d.FAT {
		d.changes = append(d.changes, change{name, n})
	}
}

// Rename implements hal.FS.
func (d *Disk) Rename(from, to string) error {
	if err := d.step("rename"); err != nil {
		return err
	}
	if d.names[from] == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	if d.FAT == path.Dir(to) && d.names[to] != nil {
		// A firmware's driver refuses this; Linux frees what was there in a second sector.
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
	}
	d.names[to] = d.names[from]
	delete(d.names, from)
	d.traced("rename " + from)
	return nil
}

// SyncDir implements hal.FS.
func (d *Disk) SyncDir(dir string) error {
	if err := d.step("syncdir"); err != nil {
		return err
	}
	for _, m := range []map[string]*inode{d.names, d.durable} {
		for name := range m {
			if path.Dir(name) != dir {
				continue
			}
			if n := d.names[name]; n != nil {
				d.durable[name] = n
			} else {
				delete(d.durable, name)
			}
		}
	}
	d.changes = slices.DeleteFunc(d.changes, func(x change) bool { return path.Dir(x.name) == dir })
	d.traced("syncdir " + dir)
	return nil
}

// Remove implements hal.FS.
func (d *Disk) Remove(name string) error {
	if err := d.step("remove"); err != nil {
		return err
	}
	delete(d.names, name)
	d.changed(name, nil)
	d.traced("remove " + name)
	return nil
}

// List implements hal.Tree. Every folder is there.
func (d *Disk) List(dir string) ([]string, error) {
	var names []string
	for name := range d.names {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names, nil
}
