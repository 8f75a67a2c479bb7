package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

// built is a program as `make dist` leaves one.
func built(t *testing.T, name, arch string) program {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("the program "+name+" for "+arch), 0o755); err != nil {
		t.Fatal(err)
	}
	sum := func(b byte) string {
		return "h1:" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(rune(b)), 32)))
	}
	deps := []*debug.Module{{Path: "example.com/a", Version: "v1.0.0", Sum: sum('a')},
		{Path: "example.com/old", Version: "v1.0.0",
			Replace: &debug.Module{Path: "golang.org/x/b", Version: "v2.0.0", Sum: sum('b')}},
		{Path: "example.com/no", Version: "v1.0.0", Replace: &debug.Module{Path: "./no", Version: "(devel)"}}}
	p := program{path: path, name: name,
		info: &debug.BuildInfo{GoVersion: "go1.26.11", Path: "example.com/m/cmd/" + name,
			Main: debug.Module{Path: "example.com/m"}, Deps: deps},
		set: map[string]string{"GOOS": "linux", "GOARCH": arch, "GOARM": "7", "CGO_ENABLED": "0", "-trimpath": "true",
			"-tags": "x", "vcs": "git", "vcs.revision": strings.Repeat("1f", 20), "vcs.modified": "false"}}
	if arch != "arm" {
		delete(p.set, "GOARM")
	}
	return p
}

// bill is one as cyclonedx-gomod writes it.
func bill(change ...string) string {
	licence := func(id string) string { return `"evidence": {"licenses": [{"license": {"id": "` + id + `"}}]}` }
	hash := func(b string) string {
		return `"hashes": [{"alg": "SHA-256", "content": "` + strings.Repeat(b, 32) + `"}]`
	}
	text := `{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
"metadata": {"tools": [{"name": "cyclonedx-gomod", "hashes": [{"alg": "MD5", "content": "00"}]}],
 "component": {"name": "example.com/m", "version": "v1",
  "purl": "pkg:golang/example.com/m@v1?type=module#cmd/ratchet"}},
"components": [
 {"name": "example.com/a", "version": "v1.0.0", ` + licence("MIT") + ", " + hash("61") + `},
 {"name": "golang.org/x/b", "version": "v2.0.0", ` + licence("BSD-Source-Code") + ", " + hash("62") + `},
 {"name": "example.com/no", "version": "v0.0.0-1", "bom-ref": "pkg:golang/example.com/no@v0.0.0-1", ` + hash("63") + `},
 {"name": "std", "version": "go1.26.11"}],
"dependencies": [{"ref": "pkg:golang/example.com/no@v0.0.0-1"}]}`
	return strings.NewReplacer(change...).Replace(text)
}

// TestBillNamesEveryModule: a bill that names other modules, versions or hashes than the program holds is none, nor is
// one that is another in the next run.
func TestBillNamesEveryModule(t *testing.T) {
	p := built(t, "ratchet", "arm64")
	b, err := p.tidy([]byte(bill()))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.checkBill(b); err != nil {
		t.Errorf("a good bill: %v", err)
	}
	for _, wrong := range []string{"MD5", "BSD-Source-Code", "pkg:golang/example.com/no", strings.Repeat("63", 32)} {
		if strings.Contains(string(b), wrong) {
			t.Errorf("it says %s:\n%s", wrong, b)
		}
	}
	for _, right := range []string{"BSD-3-Clause", `"ref": "pkg:golang/example.com/m@v1?type=module#no"`,
		`"name": "example.com/m/no"`, "stands in the place of example.com/no v1.0.0"} {
		if !strings.Contains(string(b), right) {
			t.Errorf("it does not say %s:\n%s", right, b)
		}
	}
	c := `{"name": "example.com/c", "version": "v1.0.0"}, `
	a := `"name": "example.com/a", "version": "v1.0.`
	for says, change := range map[string][2]string{
		"lacks example.com/a v1.0.0":          {a + "0", a + "1"},
		"has example.com/a v1.0.1, which the": {a + "0", a + "1"},
		"has example.com/c v1.0.0, which the": {`{"name": "std"`, c + `{"name": "std"`},
		"lacks golang.org/x/b v2.0.0":         {strings.Repeat("62", 32), strings.Repeat("64", 32)},
		"lacks std go1.26.11":                 {`"go1.26.11"`, `"go1.26.8"`},
		"has example.com/old":                 {`"golang.org/x/b"`, `"example.com/old"`},
		"lacks example.com/m/no v1":           {`"example.com/no"`, `"example.com/yes"`},
		"has no licence of example.com/a":     {`{"license": {"id": "MIT"}}`, ""},
		"it is the bill of pkg:golang/":       {"#cmd/ratchet", "#cmd/ratchet-lab"},
		"a time of this run":                  {`"metadata": {`, `"metadata": {"timestamp": "2026-11-28T15:00:00Z", `},
		"a number or a":                       {`"version": 1,`, `"version": 1, "serialNumber": "urn:uuid:1",`},
		"no CycloneDX":                        {`"CycloneDX"`, `"SPDX"`},
	} {
		b, err := p.tidy([]byte(bill(change[:]...)))
		if err == nil {
			err = p.checkBill(b)
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	if _, err := p.tidy([]byte(bill() + "{}")); err == nil {
		t.Error("what is behind a bill was passed over")
	}
}

// TestFitForARelease: what nobody else could build again is not released.
func TestFitForARelease(t *testing.T) {
	if err := built(t, "ratchet", "arm").fit(); err != nil {
		t.Errorf("a good one: %v", err)
	}
	for key, value := range map[string]string{"-trimpath": "", "CGO_ENABLED": "1", "vcs": "", "vcs.modified": "true",
		"GOOS": "darwin"} {
		p := built(t, "ratchet", "arm64")
		if p.set[key] = value; p.fit() == nil {
			t.Errorf("%s = %q is released", key, value)
		}
	}
}

// TestStatement: it says of each program its digest, and of all of them the commit, the Go and every module with its
// hash; and it is the same each time.
func TestStatement(t *testing.T) {
	programs := []program{built(t, "ratchet", "amd64"), built(t, "ratchet", "arm"), built(t, "ratchet-lab", "amd64")}
	b, err := statement(programs, "-trimpath")
	for range 20 {
		again, err2 := statement(programs, "-trimpath")
		if err != nil || err2 != nil || string(b) != string(again) {
			t.Fatal(err, err2)
		}
	}
	var s provenance
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	if s.Type != "https://in-toto.io/Statement/v1" || s.PredicateType != "https://slsa.dev/provenance/v1" ||
		len(s.Subject) != 3 || len(s.Subject[0].Digest["sha256"]) != 64 {
		t.Errorf("%+v", s)
	}
	d := s.Predicate.BuildDefinition
	deps := d.ResolvedDependencies
	if len(deps) != 4 || deps[0].Digest["gitCommit"] != strings.Repeat("1f", 20) ||
		deps[1].URI != "pkg:golang/std@go1.26.11" ||
		deps[2].URI != "pkg:golang/example.com/a@v1.0.0" || deps[3].Digest["dirHash"] != strings.Repeat("62", 32) {
		t.Errorf("%+v", deps)
	}
	if text := string(b); !strings.Contains(text, `"armv7": {`) || !strings.Contains(text, `"flags": "-trimpath"`) ||
		strings.Contains(text, "vcs") || d.BuildType == "" || s.Predicate.RunDetails.Builder.ID == "" {
		t.Errorf("%s", text)
	}
	programs[0].info.Deps[0].Sum = ""
	if _, err := statement(programs, ""); err == nil {
		t.Error("a module without a hash is stated")
	}
}
