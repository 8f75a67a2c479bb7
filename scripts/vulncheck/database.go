package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// entry is what an OSV file says that the index needs.
type entry struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
	Aliases  []string  `json:"aliases,omitempty"`
	Affected []struct {
		Package struct{ Name string } `json:"package"`
	} `json:"affected,omitempty"`
}

// index is a database that was laid out.
type index struct {
	entries  []entry
	modules  int
	standard bool // it has entries of the standard library
}

// vulnerability is an entry in the list of a module. The version that fixes it may be left out: govulncheck then
// reads the entry itself.
type vulnerability struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
}

type module struct {
	Path  string          `json:"path"`
	Vulns []vulnerability `json:"vulns"`
}

// layOut makes a database in dir from a directory of OSV files of this date.
func layOut(osv, dir string, date time.Time) (index, error) {
	var made index
	files, err := filepath.Glob(filepath.Join(osv, "GO-*.json"))
	if err != nil {
		return made, err
	}
	for _, sub := range []string{"ID", "index"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return made, err
		}
	}
	of := map[string][]vulnerability{}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			return made, err
		}
		var e entry
		if err := json.Unmarshal(b, &e); err != nil {
			return made, fmt.Errorf("%s: %w", path, err)
		}
		if e.ID+".json" != filepath.Base(path) {
			return made, fmt.Errorf("%s: it is the entry %q", path, e.ID)
		}
		if err := os.WriteFile(filepath.Join(dir, "ID", e.ID+".json"), b, 0o644); err != nil {
			return made, err
		}
		for _, a := range e.Affected {
			name, v := a.Package.Name, vulnerability{e.ID, e.Modified}
			if list := of[name]; len(list) == 0 || list[len(list)-1].ID != e.ID {
				of[name] = append(list, v)
			}
			made.standard = made.standard || name == "stdlib"
		}
		e.Affected = nil
		made.entries = append(made.entries, e)
	}
	var modules []module
	for path, list := range of {
		modules = append(modules, module{path, list})
	}
	slices.SortFunc(modules, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	made.modules = len(modules)
	for name, content := range map[string]any{"db": map[string]time.Time{"modified": date}, "modules": modules,
		"vulns": made.entries} {
		b, err := json.Marshal(content)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "index", name+".json"), b, 0o644)
		}
		if err != nil {
			return made, err
		}
	}
	return made, nil
}

// whole tells whether the database can be all of it: one that is empty finds nothing, too.
func (i index) whole(fewest int) error {
	if len(i.entries) < fewest || !i.standard {
		return fmt.Errorf("it is not whole: %d entries of %d modules, the standard library among them: %t",
			len(i.entries), i.modules, i.standard)
	}
	return nil
}
