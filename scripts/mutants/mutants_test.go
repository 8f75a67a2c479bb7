//go:build linux

package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const code = `package m

import "errors"

const most = 3

var errMany = errors.New("too many")

type Box struct {
	Things []string
	Full   bool
}

// Put has a bound, a side effect and an error.
func (b *Box) Put(s string) error {
	if len(b.Things) >= most {
		return errMany
	}
	b.Things = append(b.Things, s)
	b.Full = len(b.Things) == most
	return nil
}

// Fill gives the first error.
func Fill(things ...string) (*Box, error) {
	b := &Box{}
	for _, s := range things {
		if err := b.Put(s); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Word is one of three.
func Word(n int) string {
	switch n {
	case 1:
		return "one"
	case 2:
		return "two"
	}
	return "many"
}
`

const tests = `package m

import "testing"

func TestFill(t *testing.T) {
	if b, err := Fill("a", "b", "c"); err != nil || len(b.Things) != 3 {
		t.Error(b, err)
	}
	if _, err := Fill("a", "b", "c", "d"); err == nil {
		t.Error("four")
	}
}

func TestWord(t *testing.T) {
	if Word(1) != "one" || Word(7) != "many" {
		t.Error("words")
	}
}
`

// TestSurvivors changes a small package whose tests look at its bound and at one of its words, and neither at
// the flag nor at the second word.
func TestSurvivors(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs tests")
	}
	dir := t.TempDir()
	t.Chdir(dir)
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("go.mod", "module example.test/m\n\ngo 1.24\n")
	put("m.go", code)
	put("m_test.go", tests)
	put("none.txt", "")
	put("flag.txt", "m.go Box.Put: `b.Full = len(b.Things) == most` is left out\n\tThe flag is for people.\n")
	sum := func() string {
		var all string
		for _, name := range []string{"go.mod", "m.go", "m_test.go"} {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all += fmt.Sprintf("%x", sha256.Sum256(b))
		}
		names, _ := filepath.Glob("*")
		return all + strings.Join(names, " ")
	}
	before := sum()
	try := func(args ...string) (string, int) {
		t.Helper()
		var out strings.Builder
		code, err := run(t.Context(), args, &out)
		if err != nil {
			t.Fatal(err)
		}
		return out.String(), code
	}
	out, code := try("-equivalent", "none.txt", "-least", "90", "./...")
	for _, want := range []string{
		"m.go:20 Box.Put: `b.Full = len(b.Things) == most` is left out\n",
		"m.go:20 Box.Put: `len(b.Things) == most` is the opposite\n",
		"m.go:20 Box.Put: most is one more in `len(b.Things) == most`\n",
		"m.go:20 Box.Put: most is one less in `len(b.Things) == most`\n",
		"m.go:40 Word: `case 2` is never taken\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say that this survives: %s", want)
		}
	}
	if n := strings.Count(out, "m.go:"); n != 5 || code != 1 || !strings.Contains(out, " 5 survive") {
		t.Errorf("%d survive, exit %d, want 5 and 1:\n%s", n, code, out)
	}
	out, code = try("-equivalent", "flag.txt", "-least", "60", "./...")
	if code != 0 || !strings.Contains(out, " 1 equivalent") || !strings.Contains(out, " 4 survive") ||
		strings.Contains(out, "is left out") {
		t.Errorf("exit %d with one that is equivalent:\n%s", code, out)
	}
	out, _ = try("-equivalent", "none.txt", "-sample", "3", "-seed", "2", "./...")
	again, _ := try("-equivalent", "none.txt", "-sample", "3", "-seed", "2", "./...")
	if strip(out) != strip(again) || !strings.Contains(out, "    3 changes") {
		t.Errorf("a sample is not the same again:\n%s%s", out, again)
	}
	if sum() != before {
		t.Error("the tree was changed")
	}
}

// strip takes the time out of the line of the table.
func strip(out string) string {
	at := strings.LastIndex(out, "%")
	return out[:max(at, 0)]
}

// TestEquivalentIsArgued: what nothing can kill is named with a reason, and once.
func TestEquivalentIsArgued(t *testing.T) {
	if _, err := readEquivalent("equivalent.txt"); err != nil {
		t.Error(err)
	}
	path := filepath.Join(t.TempDir(), "x")
	for _, bad := range []string{"a.go F: x\n", "a.go F: x\nb.go F: y\n\tbecause\n", "\tbecause\n",
		"a.go F: x\n\twhy\na.go F: x\n\twhy\n"} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readEquivalent(path); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}
