package ratchet_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/explorer"
)

// These tests hold what documents and comments say of the tree: hazards, files, packages.

// sourceFiles are the paths of all Go files, tests included.
func sourceFiles(t *testing.T) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		skip := strings.HasPrefix(d.Name(), ".") && path != "." || d.Name() == "testdata" || d.Name() == "bin"
		if err == nil && d.IsDir() && skip {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			out = append(out, filepath.ToSlash(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// comments calls do with each comment of a file, and its line.
func comments(t *testing.T, path string, do func(line int, text string)) {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range f.Comments {
		do(set.Position(g.Pos()).Line, g.Text())
	}
}

var (
	hazardHeading = regexp.MustCompile(`^### (\d+)\. `)
	hazardKind    = regexp.MustCompile(`^## (Brick|Loop|Lie|Loss)`)
	hazardCited   = regexp.MustCompile(`\b([Bb]rick|[Ll]oop|[Ll]ie|[Ll]oss|[Hh]azard|[Dd]anger|[Ss]cenario) (\d+)\b`)
	scenarioName  = regexp.MustCompile("`([a-z0-9-]+)`")
)

// hazard is one entry of docs/hazards.md.
type hazard struct{ kind, text string }

func hazards(t *testing.T) map[int]hazard {
	t.Helper()
	out := map[int]hazard{}
	kind, n := "", 0
	for _, line := range strings.Split(document(t, "docs/hazards.md"), "\n") {
		if m := hazardKind.FindStringSubmatch(line); m != nil {
			kind, n = strings.ToLower(m[1]), 0
		}
		if m := hazardHeading.FindStringSubmatch(line); m != nil {
			n, _ = strconv.Atoi(m[1])
			if n != len(out)+1 || kind == "" {
				t.Errorf("docs/hazards.md: number %d is out of order", n)
			}
			out[n] = hazard{kind: kind}
		} else if n > 0 {
			out[n] = hazard{kind, out[n].text + line + "\n"}
		}
	}
	return out
}

// TestHazards: each hazard names tests that are in the tree, and exactly the scenarios that play it.
func TestHazards(t *testing.T) {
	all := hazards(t)
	if len(all) != 27 {
		t.Errorf("%d hazards: the code numbers 27", len(all))
	}
	functions := map[string]string{}
	for _, n := range slices.Sorted(maps.Keys(all)) {
		_, held, ok := strings.Cut(all[n].text, "Held by ")
		tests, played, ok2 := strings.Cut(held, "Played: ")
		named := namedTest.FindAllStringSubmatch(tests, -1)
		if !ok || !ok2 || len(named) == 0 {
			t.Errorf("hazard %d says not by which tests it is held, and in which scenarios it is played", n)
		}
		for _, m := range named {
			if _, read := functions[m[1]]; !read {
				functions[m[1]] = sources(t, m[1])
			}
			if !strings.Contains(functions[m[1]], "\nfunc "+m[2]+"(") {
				t.Errorf("hazard %d: there is no test %s in %s", n, m[2], m[1])
			}
		}
		plays := map[string]bool{}
		for _, s := range explorer.Scenarios() {
			if slices.Contains(s.Bricks, n) && s.Needs == "" {
				plays[s.Name] = true
			}
		}
		said := map[string]bool{}
		for _, m := range scenarioName.FindAllStringSubmatch(played, -1) {
			said[m[1]] = true
		}
		if !maps.Equal(plays, said) {
			t.Errorf("hazard %d is played by %v, docs/hazards.md says %v", n,
				slices.Sorted(maps.Keys(plays)), slices.Sorted(maps.Keys(said)))
		}
	}
}

// TestHazardsCited: every number that a comment or a text in the code cites is one of the list, and of that kind.
func TestHazardsCited(t *testing.T) {
	all, cited := hazards(t), 0
	for _, path := range sourceFiles(t) {
		if path == "docs_test.go" {
			continue
		}
		for _, m := range hazardCited.FindAllStringSubmatch(document(t, path), -1) {
			cited++
			n, _ := strconv.Atoi(m[2])
			if kind := strings.ToLower(m[1]); all[n].kind != kind {
				t.Errorf("%s cites %s %d: in docs/hazards.md %d is a %s", path, kind, n, n, all[n].kind)
			}
		}
	}
	if cited < 20 {
		t.Errorf("found only %d citations", cited)
	}
}

// namedFile is a file of this repository as a comment names it: also behind the name of a folder.
var namedFile = regexp.MustCompile(`[A-Za-z0-9_./-]*[A-Za-z0-9_]\.(?:go|md|sh|tsv|cmd)\b`)

// notOurs are names of files in comments that belong to other projects, or to a device.
var notOurs = map[string]string{"contrib/uboot.sh": "RAUC's"}

// TestCommentsNameFiles: a file that a comment names is there, seen from the comment's folder or from the
// root; a bare name that is not Go's, anywhere.
func TestCommentsNameFiles(t *testing.T) {
	anywhere := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		anywhere[filepath.Base(path)] = !strings.HasSuffix(path, ".go")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	used, named := map[string]bool{}, 0
	for _, path := range sourceFiles(t) {
		comments(t, path, func(line int, text string) {
			for _, name := range namedFile.FindAllString(text, -1) {
				if notOurs[name] != "" {
					used[name] = true
					continue
				}
				named++
				_, here := os.Stat(filepath.Join(filepath.Dir(path), name))
				if _, root := os.Stat(name); here != nil && root != nil && !anywhere[name] {
					t.Errorf("%s:%d: there is no file %s, neither here nor at the root", path, line, name)
				}
			}
		})
	}
	for name := range notOurs {
		if !used[name] {
			t.Errorf("%s is named by no comment: remove it from the table", name)
		}
	}
	if named < 20 {
		t.Errorf("found only %d names of files", named)
	}
}

// quotedFile is a file of this repository as a document names it: a path in backticks, perhaps with a declaration.
var quotedFile = regexp.MustCompile("`([A-Za-z0-9_.-]+/[A-Za-z0-9_./-]+" +
	"\\.(?:go|md|sh|tsv|txt|cmd|cfg|awk|service))(?::[A-Za-z]+)?`")

// TestDocumentsNameFiles: a file that a document names is there, seen from the document's folder or from the root.
func TestDocumentsNameFiles(t *testing.T) {
	named := 0
	for _, doc := range markdown(t) {
		for _, m := range quotedFile.FindAllStringSubmatch(document(t, doc), -1) {
			if strings.Contains(m[1], "NAME") {
				continue
			}
			named++
			_, here := os.Stat(filepath.Join(filepath.Dir(doc), m[1]))
			if _, root := os.Stat(m[1]); here != nil && root != nil {
				t.Errorf("%s: there is no file %s, neither here nor at the root", doc, m[1])
			}
		}
	}
	if named < 50 {
		t.Errorf("found only %d names of files", named)
	}
}

// TestMap: every package is on the map in ARCHITECTURE.md, and the map has nothing else.
func TestMap(t *testing.T) {
	_, text, _ := strings.Cut(document(t, "ARCHITECTURE.md"), "```\n")
	text, _, ok := strings.Cut(text, "```")
	if !ok {
		t.Fatal("ARCHITECTURE.md has lost its map")
	}
	onMap, above := map[string]bool{}, []string{}
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		depth := (len(line) - len(strings.TrimLeft(line, " "))) / 2
		name, ok := strings.CutSuffix(strings.Fields(line)[0], "/")
		if !ok || depth > len(above) {
			t.Fatalf("a line of the map does not begin with a folder: %q", line)
		}
		above = append(above[:depth], name)
		dir := strings.Join(above, "/")
		if onMap[dir] {
			t.Errorf("the map in ARCHITECTURE.md has %s twice", dir)
		}
		onMap[dir] = true
	}
	packages := map[string]bool{}
	for _, path := range sourceFiles(t) {
		if dir := filepath.ToSlash(filepath.Dir(path)); dir != "." && !strings.HasSuffix(path, "_test.go") {
			packages[dir] = true
		}
	}
	for dir := range packages {
		if !onMap[dir] {
			t.Errorf("package %s is not on the map in ARCHITECTURE.md: say in a line what it is", dir)
		}
	}
	for dir := range onMap {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("the map in ARCHITECTURE.md has %s, which is not there", dir)
		}
	}
}
