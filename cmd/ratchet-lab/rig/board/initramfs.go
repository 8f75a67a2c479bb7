package board

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// initramfs makes a gzip'd cpio archive ("newc", Linux Documentation/driver-api/early-userspace/buffer-format)
// with init as /init, the named kernel modules and what they need, in the order of loading, and more
// files by their names. The same input gives the same bytes.
func initramfs(init, modules string, names []string, more map[string]string) ([]byte, error) {
	list, err := moduleOrder(modules, names)
	if err != nil {
		return nil, err
	}
	a := &cpio{}
	for _, dir := range []string{"dev", "modules", "proc", "slot", "sys"} {
		a.add(dir, 0o040755, nil)
	}
	body, err := os.ReadFile(init)
	if err != nil {
		return nil, err
	}
	a.add("init", 0o100755, body)
	var order strings.Builder
	for _, path := range list {
		if body, err = os.ReadFile(path); err != nil {
			return nil, err
		}
		a.add("modules/"+filepath.Base(path), 0o100644, body)
		fmt.Fprintln(&order, filepath.Base(path))
	}
	a.add("modules/list", 0o100644, []byte(order.String()))
	made := map[string]bool{".": true}
	for _, name := range slices.Sorted(maps.Keys(more)) {
		if dir := filepath.Dir(name); !made[dir] {
			a.add(dir, 0o040755, nil)
			made[dir] = true
		}
		a.add(name, 0o100644, []byte(more[name]))
	}
	a.add("TRAILER!!!", 0, nil)
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(a.Bytes()); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// cpio is an archive that grows.
type cpio struct {
	bytes.Buffer
	inode int
}

func (a *cpio) add(name string, mode uint32, body []byte) {
	a.inode++
	fmt.Fprintf(a, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", a.inode, mode, 0, 0, 1, 0, len(body),
		0, 0, 0, 0, len(name)+1, 0)
	a.WriteString(name + "\x00")
	a.pad()
	a.Write(body)
	a.pad()
}

func (a *cpio) pad() { a.Write(make([]byte, -a.Len()&3)) }

// moduleOrder finds kernel modules below dir and what they depend on, dependencies first. A name that
// is not there is taken as built into the kernel.
func moduleOrder(dir string, names []string) ([]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(filepath.Base(path), ".ko"); ok && err == nil {
			files[strings.ReplaceAll(name, "-", "_")] = path
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there are no kernel modules in %s; run scripts/deps.sh rig", dir)
	}
	var order []string
	seen := map[string]bool{}
	var visit func(name string) error
	visit = func(name string) error {
		name = strings.ReplaceAll(name, "-", "_")
		path := files[name]
		if seen[name] || path == "" {
			return nil
		}
		seen[name] = true
		needs, err := moduleNeeds(path)
		if err != nil {
			return fmt.Errorf("cannot read module %s: %w", path, err)
		}
		for _, n := range needs {
			if err := visit(n); err != nil {
				return err
			}
		}
		order = append(order, path)
		return nil
	}
	for _, n := range names {
		if err := visit(n); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// moduleNeeds reads the section .modinfo, which modinfo(8) reads too.
func moduleNeeds(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	var needs []string
	for _, entry := range strings.Split(string(info), "\x00") {
		if v, ok := strings.CutPrefix(entry, "depends="); ok && v != "" {
			needs = append(needs, strings.Split(v, ",")...)
		}
		if v, ok := strings.CutPrefix(entry, "softdep=pre: "); ok {
			needs = append(needs, strings.Fields(v)...)
		}
	}
	return needs, nil
}
