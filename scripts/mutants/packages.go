//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// pack is a package as `go list` tells it.
type pack struct {
	ImportPath, Dir, Export            string
	Standard                           bool
	GoFiles                            []string
	Imports, TestImports, XTestImports []string
	TestGoFiles, XTestGoFiles          []string
	Module                             *struct{ Main bool }
}

// module is this module with all that it imports.
type module struct {
	root  string
	packs map[string]*pack
	fset  *token.FileSet
	types types.Importer
}

func listPackages(ctx context.Context) (*module, error) {
	raw, err := output(ctx, "go", "list", "-export", "-deps",
		"-json=ImportPath,Dir,Export,Standard,GoFiles,Imports,TestImports,XTestImports,TestGoFiles,XTestGoFiles,Module",
		"./...")
	if err != nil {
		return nil, err
	}
	m := &module{packs: map[string]*pack{}, fset: token.NewFileSet()}
	if m.root, err = os.Getwd(); err != nil {
		return nil, err
	}
	for d := json.NewDecoder(bytes.NewReader(raw)); ; {
		var p pack
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		m.packs[p.ImportPath] = &p
	}
	m.types = importer.ForCompiler(m.fset, "gc", func(path string) (io.ReadCloser, error) {
		p := m.packs[path]
		if p == nil || p.Export == "" {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(p.Export)
	})
	return m, nil
}

// testers are the package and those that import it, in that order, as far as they have tests.
func (m *module) testers(name string, users *regexp.Regexp) []*pack {
	var out []*pack
	if p := m.packs[name]; len(p.TestGoFiles)+len(p.XTestGoFiles) > 0 {
		out = append(out, p)
	}
	var rest []*pack
	for _, p := range m.packs {
		if users == nil || !users.MatchString(p.ImportPath) || p.ImportPath == name || p.Module == nil ||
			!p.Module.Main || len(p.TestGoFiles)+len(p.XTestGoFiles) == 0 {
			continue
		}
		if slices.Contains(p.Imports, name) || slices.Contains(p.TestImports, name) ||
			slices.Contains(p.XTestImports, name) {
			rest = append(rest, p)
		}
	}
	slices.SortFunc(rest, func(a, b *pack) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	return append(out, rest...)
}

// relative is a path as people name it.
func (m *module) relative(path string) string {
	if r, err := filepath.Rel(m.root, path); err == nil {
		return r
	}
	return path
}

func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, errs.String())
	}
	return out, err
}
