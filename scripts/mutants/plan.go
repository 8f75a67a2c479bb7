//go:build linux

package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// mutant is one change.
type mutant struct {
	id      int
	file    string // from the module's root
	line    int
	in      string // the function
	what    string // the change
	ordinal int    // of several equal ones of a function
}

// name is how a person, and equivalent.txt, name a change: it holds as long as the function is not rewritten.
func (m *mutant) name() string {
	return numbered.ReplaceAllString(m.String(), "$1 ")
}

// String names it with its line.
func (m *mutant) String() string {
	s := fmt.Sprintf("%s:%d %s: %s", m.file, m.line, m.in, m.what)
	if m.ordinal > 0 {
		s += fmt.Sprintf(" (%d)", m.ordinal+1)
	}
	return s
}

var numbered = regexp.MustCompile(`^(\S+\.go):[0-9]+ `)

// plan is a package with its changes compiled in. Change n happens where zz(n) is true, which is so in
// the process whose environment has MUTANT=n (see runtime.go).
type plan struct {
	pack    *pack
	short   string
	name    string // of the package clause
	mutants []*mutant
	files   map[string][]edit // by path
	source  map[string][]byte
	lost    map[int]bool // that do not compile
}

// edit puts text in, or in place of a token.
type edit struct {
	at, end int // end > at: replaces
	text    string
	after   bool // closes what stands before it
	depth   int  // of nested expressions
	id      int  // of the mutant it belongs to
}

// plan finds the changes of a package.
func (m *module) plan(name string, only *regexp.Regexp) (*plan, error) {
	p := m.packs[name]
	if p == nil {
		return nil, fmt.Errorf("is not a package of this module")
	}
	out := &plan{pack: p, short: m.relative(p.Dir), files: map[string][]edit{}, source: map[string][]byte{},
		lost: map[int]bool{}}
	var parsed []*ast.File
	for _, f := range p.GoFiles {
		path := filepath.Join(p.Dir, f)
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		out.source[path] = raw
		file, err := parser.ParseFile(m.fset, path, raw, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, file)
		out.name = file.Name.Name
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{},
		Defs: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}
	conf := types.Config{Importer: m.types}
	pkg, err := conf.Check(name, m.fset, parsed, info)
	if err != nil {
		return nil, err
	}
	for i, file := range parsed {
		if path := filepath.Join(p.Dir, p.GoFiles[i]); only.MatchString(filepath.Base(path)) && !ast.IsGenerated(file) {
			v := &visitor{plan: out, pkg: pkg, info: info, fset: m.fset, path: path, file: m.relative(path),
				src: out.source[path], imports: map[string]string{}}
			v.visit(file)
		}
	}
	seen := map[string]int{}
	for _, mu := range out.mutants {
		key := mu.name()
		mu.ordinal = seen[key]
		seen[key]++
	}
	return out, nil
}

// apply returns a file with its changes, those left out that do not compile.
func (p *plan) apply(path string) []byte {
	edits := slices.Clone(p.files[path])
	edits = slices.DeleteFunc(edits, func(e edit) bool { return p.lost[e.id] })
	slices.SortStableFunc(edits, func(a, b edit) int {
		rank := func(e edit) int {
			switch {
			case e.end > e.at:
				return 1
			case e.after:
				return 0
			}
			return 2
		}
		switch {
		case a.at != b.at:
			return a.at - b.at
		case rank(a) != rank(b):
			return rank(a) - rank(b)
		case a.after:
			return b.depth - a.depth // the innermost closes first
		}
		return a.depth - b.depth // the outermost opens first
	})
	var out []byte
	at := 0
	for _, e := range edits {
		out = append(out, p.source[path][at:e.at]...)
		out = append(out, e.text...)
		at = max(e.at, e.end)
	}
	return append(out, p.source[path][at:]...)
}

// onLine are the changes whose text stands on a line of a file with changes.
func (p *plan) onLine(path string, line int) (ids []int) {
	lines := strings.Split(string(p.apply(path)), "\n")
	if line < 1 || line > len(lines) {
		return nil
	}
	for _, m := range call.FindAllStringSubmatch(lines[line-1], -1) {
		var id int
		if _, err := fmt.Sscan(m[1], &id); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

var call = regexp.MustCompile(`zz[A-Za-z]*(?:\[[^\]]*\])?\(([0-9]+)`)

// snippet is source as one short line.
func (v *visitor) snippet(n ast.Node) string {
	s := strings.Join(strings.Fields(string(v.src[v.at(n.Pos()):v.at(n.End())])), " ")
	if r := []rune(s); len(r) > 70 {
		s = string(r[:50]) + " ... " + string(r[len(r)-15:])
	}
	return s
}

func (v *visitor) at(p token.Pos) int { return v.fset.Position(p).Offset }
