package explorer_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/explorer"
)

var (
	update = flag.Bool("update", false, "rewrite testdata/oracle.txt")
	tell   = flag.String("ratchet.transcript", "", "print a row: SCENARIO/LOADER, SCENARIO/desk, or all")
)

const oracle = "testdata/oracle.txt"

// TestOracle: what a device does, records and sends in each scenario without a fault, on each main loader, is
// what it did when testdata/oracle.txt was written. A change of the code that should change nothing changes
// no row. After one that should, -update rewrites the rows: say in the commit what changed them, and why.
// The text of a row: go test -v ./cmd/ratchet-lab/explorer -run TestOracle -ratchet.transcript=update/grub
func TestOracle(t *testing.T) {
	lab, err := explorer.NewLab(t)
	if err != nil {
		t.Fatal(err)
	}
	known := readOracle(t)
	var table bytes.Buffer
	for _, name := range oracleRows() {
		scenario, loader, _ := strings.Cut(name, "/")
		desk := loader == "desk"
		if desk {
			loader = "uboot-files"
		}
		text, err := lab.Transcript(scenario, loader, desk)
		if err != nil {
			t.Fatal(err)
		}
		if *tell == name || *tell == "all" {
			fmt.Printf("=== %s\n%s", name, text)
		}
		marks := marksOf(text)
		fmt.Fprintf(&table, "%s %s\n", name, marks)
		if want := known[name]; want != marks && !*update {
			t.Errorf("%s is played otherwise than before: %s", name, difference(text, want))
		}
		delete(known, name)
	}
	for name := range known {
		if !*update {
			t.Errorf("%s has no row for %s any more", name, oracle)
		}
	}
	if !*update {
		return
	}
	if err := os.MkdirAll(filepath.Dir(oracle), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(oracle, table.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// oracleRows names what is played: each scenario on each main loader, and once with a desk that listens.
func oracleRows() (rows []string) {
	for _, s := range explorer.Scenarios() {
		if s.Needs != "" {
			continue
		}
		for _, l := range explorer.Loaders() {
			if l.Main {
				rows = append(rows, s.Name+"/"+l.Name)
			}
		}
		if !s.Report { // those have an outbox of their own, which takes nothing
			rows = append(rows, s.Name+"/desk")
		}
	}
	return rows
}

func readOracle(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile(oracle)
	if err != nil && !*update {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(b)) {
		name, marks, _ := strings.Cut(strings.TrimSpace(line), " ")
		rows[name] = marks
	}
	return rows
}

// marksOf is a row of the table: one byte for each line of the text, of the hash of all lines up to it, so that
// the first line that differs can be found, and then the hash of the whole.
func marksOf(text string) string {
	var marks []byte
	var h [32]byte
	for line := range strings.Lines(text) {
		h = sha256.Sum256(append(h[:], line...))
		marks = append(marks, h[0])
	}
	return hex.EncodeToString(marks) + "-" + hex.EncodeToString(h[:8])
}

// difference shows the first line of the text that does not have the mark that was wanted, and those around it.
// A line that differs has the same mark by chance once in 256 times; then it is one of those shown before.
func difference(text, want string) string {
	if want == "" {
		return "it is not in " + oracle
	}
	list, _, _ := strings.Cut(want, "-")
	marks, err := hex.DecodeString(list)
	if err != nil {
		return err.Error()
	}
	now, _, _ := strings.Cut(marksOf(text), "-")
	got, _ := hex.DecodeString(now)
	at := 0
	for at < min(len(got), len(marks)) && got[at] == marks[at] {
		at++
	}
	lines := strings.Split(text, "\n")
	var b strings.Builder
	fmt.Fprintf(&b, "line %d differs; there were %d lines, there are %d\n", at+1, len(marks), len(got))
	for i := max(at-6, 0); i < min(at+4, len(lines)); i++ {
		mark := "    "
		if i == at {
			mark = "--> "
		}
		fmt.Fprintf(&b, "%s%s\n", mark, lines[i])
	}
	return b.String()
}

// TestOracleShowsTheLine: the first line that differs is found, and a text that only ends early.
func TestOracleShowsTheLine(t *testing.T) {
	text := "1 write a\n2 sync a\n3 write b\n4 sync b\n"
	for now, shown := range map[string]string{
		strings.Replace(text, "3 write b", "3 write c", 1): "line 3 differs; there were 4 lines, there are 4\n" +
			"    1 write a\n    2 sync a\n--> 3 write c\n",
		"1 write a\n2 sync a\n": "line 3 differs; there were 4 lines, there are 2\n",
	} {
		if got := difference(now, marksOf(text)); !strings.HasPrefix(got, shown) {
			t.Errorf("%q is shown", got)
		}
	}
}
