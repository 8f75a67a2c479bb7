//go:build interop

package journal_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ratchet-ota/ratchet/hal/cutdisk"
)

// TestDiskTestSees takes the syncs out of the journal, one at a time, and requires that the tests
// above then fail.
func TestDiskTestSees(t *testing.T) {
	program, seed := plantedProgram(t), diskSeed(t)
	for _, p := range planted {
		var sum diskTally
		var wrong []error
		run := func(d *cutdisk.Disk, role string, on func(*cutdisk.Disk, string)) []cutdisk.Mark {
			c := diskProcess(t, program, role)()
			c.Env = append(c.Env, plantEnv+"="+p.name)
			marks, err := d.Run(c, func(word string) { on(d, word) })
			if err != nil {
				t.Fatal(err)
			}
			return marks
		}
		nothing := func(*cutdisk.Disk, string) {}
		d := newDisk(t)
		if !p.fault {
			marks := run(d, "life", nothing)
			last := 0
			for last < len(marks) && marks[last].Word != "done 0/6" { // creation and some commits are enough
				last++
			}
			wrong = examine(t, d, marks, marks[0].At, marks[last].At, 1, seed, &sum)
		} else {
			run(d, "create", nothing)
			made := d.Content()
			for skip := range 8 {
				end := 0
				d := cutdisk.New(made)
				marks := run(d, "commit", func(d *cutdisk.Disk, word string) {
					switch word {
					case "arm":
						d.Break(cutdisk.Fault{Op: cutdisk.Write, Skip: skip, Times: 1, Err: syscall.EIO})
					case "end":
						end = d.Entries()
					}
				})
				wrong = append(wrong, examine(t, d, marks, marks[0].At, end, 1, seed, &sum)...)
			}
		}
		seen := ""
		for _, err := range wrong {
			if seen == "" && strings.Contains(err.Error(), p.sees) {
				seen = err.Error()
			}
		}
		if seen == "" {
			t.Errorf("without %s no cut of %d shows %q: %v", p.name, sum.cuts, p.sees, wrong)
		} else {
			t.Logf("without %s: %d of %d cuts are wrong: %s", p.name, len(wrong), sum.cuts, seen)
		}
	}
}

const plantEnv = "RATCHET_PLANTED"

// planted are changes of the journal's source, each switched on by its name.
// fault: seen after a write that failed, once.
var planted = []struct {
	name, file, from, to, sees string
	fault                      bool
}{
	{"bbolt's syncs", "bolt.go", "b.db.AllocSize = 0\n", "b.db.AllocSize = 0\n b.db.NoSync = os.Getenv(%q) == %q\n",
		"allowed is", false},
	{"the sync of the directory",
		"file.go", "return dir.Sync()\n", "if os.Getenv(%q) == %q { return nil }\n return dir.Sync()\n",
		"allowed is", false},
	{"the sync of the allocation", "file.go", "from += int64(n)\n\t}\n\treturn f.Sync()\n",
		"from += int64(n)\n}\n if os.Getenv(%q) == %q { return nil }\n return f.Sync()\n", "the journal has", false},
	{"the renewal of the meta page",
		"bolt.go", "if err := renew(b.file, info.Size()); err != nil {", "if os.Getenv(%q) == %q {\n" +
			"} else if err := renew(b.file, info.Size()); err != nil {", "\"rotten\", allowed is", true},
}

// plantedProgram builds this test with those changes, without touching the source.
func plantedProgram(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	changed := map[string]string{}
	for _, p := range planted {
		if changed[p.file] == "" {
			changed[p.file] = string(read(t, p.file))
		}
		if strings.Count(changed[p.file], p.from) != 1 {
			t.Fatalf("%s does not have %q once: this test is to follow the source", p.file, p.from)
		}
		changed[p.file] = strings.Replace(changed[p.file], p.from, fmt.Sprintf(p.to, plantEnv, p.name), 1)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	var overlay []string
	for name, source := range changed {
		copied := filepath.Join(dir, name)
		if err := os.WriteFile(copied, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay = append(overlay, fmt.Sprintf("%q: %q", filepath.Join(here, name), copied))
	}
	config, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "planted.test")
	if err := os.WriteFile(config, []byte(`{"Replace": {`+strings.Join(overlay, ", ")+`}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "test", "-c", "-tags", "interop", "-overlay",
		config, "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("cannot build the changed journal: %v\n%s", err, out)
	}
	return program
}
