package main

import (
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"strings"
)

// program is one that was built, and what it says of itself.
type program struct {
	path string
	name string // of the file
	info *debug.BuildInfo
	set  map[string]string // settings of the build
}

func readProgram(path string) (program, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return program{}, fmt.Errorf("%s: %w", path, err)
	}
	p := program{path: path, name: filepath.Base(path), info: info, set: map[string]string{}}
	for _, s := range info.Settings {
		p.set[s.Key] = s.Value
	}
	if len(info.Main.Path) == 0 || p.set["GOARCH"] == "" {
		return program{}, fmt.Errorf("%s: it does not say what it was built from", path)
	}
	return p, nil
}

// main is the directory of its main package, in the module.
func (p program) main() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.info.Path, p.info.Main.Path), "/")
}

// processor is a word for the processor that it is for, with the version where there are several.
func (p program) processor() string {
	if p.set["GOARCH"] == "arm" {
		return "armv" + strings.Split(p.set["GOARM"], ",")[0]
	}
	return p.set["GOARCH"]
}

// module is one that is in a program: what replaced it, if anything did.
type module struct{ path, version, sum string }

// modules are those that it is built from, its own left out, and what its own repository has in place of others.
func (p program) modules() (out []module) {
	for _, m := range p.info.Deps {
		if p.standIn(m) != "" {
			continue
		}
		if m.Replace != nil {
			m = m.Replace
		}
		out = append(out, module{m.Path, m.Version, m.Sum})
	}
	return out
}

// standIn is the directory of the repository that is in a module's place, "" where none is. It is of the program's
// own commit, and nothing of the module itself is in the program.
func (p program) standIn(m *debug.Module) string {
	if m.Replace != nil && strings.HasPrefix(m.Replace.Path, "./") {
		return strings.TrimPrefix(m.Replace.Path, "./")
	}
	return ""
}

// digest is the hash of go.sum, in hex, as in-toto has it ("dirHash").
func (m module) digest() (string, error) {
	text, ok := strings.CutPrefix(m.sum, "h1:")
	b, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(b) != 32 {
		return "", fmt.Errorf("module %s %s has no hash", m.path, m.version)
	}
	return hex.EncodeToString(b), nil
}

// fit tells why a program is not for a release: it must be possible to build the same bytes again.
func (p program) fit() error {
	for key, want := range map[string]string{"-trimpath": "true", "CGO_ENABLED": "0", "GOOS": "linux", "vcs": "git",
		"vcs.modified": "false"} {
		if got := p.set[key]; got != want {
			return fmt.Errorf("%s: it was built with %s=%q, want %q: commit everything, and use `make release`", p.path,
				key, got, want)
		}
	}
	return nil
}
