package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// biller makes bills of materials: CycloneDX, by the project's own tool for Go.
const biller = "github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0"

// licences are those of modules whose licence the tool takes for a similar one: each file LICENSE was read.
var licences = map[string]string{"filippo.io/mldsa": "BSD-3-Clause", "golang.org/x/": "BSD-3-Clause",
	"std": "BSD-3-Clause"}

// writeBills makes PROGRAM.cdx.json beside each program.
func writeBills(ctx context.Context, paths []string) error {
	if len(paths) == 0 {
		return errors.New("name the programs: release sbom PROGRAM")
	}
	dir, err := os.MkdirTemp("", "sbom-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	install := exec.CommandContext(ctx, "go", "install", biller)
	install.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot install %s: %w\n%s", biller, err, out)
	}
	for _, path := range paths {
		p, err := readProgram(path)
		if err != nil {
			return err
		}
		raw, err := p.bill(ctx, filepath.Join(dir, "cyclonedx-gomod"))
		if err != nil {
			return err
		}
		b, err := p.tidy(raw)
		if err == nil {
			err = p.checkBill(b)
		}
		if err == nil {
			err = os.WriteFile(path+".cdx.json", b, 0o644)
		}
		if err != nil {
			return fmt.Errorf("bill of %s: %w", path, err)
		}
		fmt.Printf("%s.cdx.json: %d modules and the standard library of %s\n", path, len(p.modules()), p.info.GoVersion)
	}
	return nil
}

// bill runs the tool as the program was built.
func (p program) bill(ctx context.Context, tool string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, tool, "app", "-json", "-noserial", "-notimestamp", "-licenses", "-packages", "-std",
		"-main", p.main(), ".")
	cmd.Env = append(os.Environ(), "GOFLAGS=-tags="+p.set["-tags"], "GOTOOLCHAIN="+p.info.GoVersion)
	for _, key := range []string{"GOOS", "GOARCH", "GOARM", "CGO_ENABLED"} {
		if v := p.set[key]; v != "" {
			cmd.Env = append(cmd.Env, key+"="+v)
		}
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cyclonedx-gomod: %w\n%s", err, said.Bytes())
	}
	return out, nil
}

// tidy takes out what depends on the machine (hashes of the tool), puts licences right, and names what stands in a
// module's place for what it is: the tool gives it the module's name and a version that it never had.
func (p program) tidy(raw []byte) ([]byte, error) {
	var doc map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is something behind it")
	}
	refs := map[string]string{} // old and new
	meta, _ := doc["metadata"].(map[string]any)
	tools, _ := meta["tools"].([]any)
	for _, t := range tools {
		if t, ok := t.(map[string]any); ok {
			delete(t, "hashes")
		}
	}
	list, _ := doc["components"].([]any)
	for _, c := range list {
		c, _ := c.(map[string]any)
		name, _ := c["name"].(string)
		for _, m := range p.info.Deps {
			if dir := p.standIn(m); dir != "" && m.Path == name {
				own, _ := meta["component"].(map[string]any)
				ref, _ := c["bom-ref"].(string)
				refs[ref] = p.ownPart(c, own, m, dir)
			}
		}
		for path, id := range licences {
			if name == path || strings.HasSuffix(path, "/") && strings.HasPrefix(name, path) {
				c["licenses"] = []any{map[string]any{"license": map[string]any{"id": id}}}
				delete(c, "evidence")
			}
		}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(doc)
	b := out.Bytes()
	for old, new := range refs {
		b = bytes.ReplaceAll(b, []byte(`"`+old+`"`), []byte(`"`+new+`"`))
	}
	return b, err
}

// ownPart makes a component what stands in a module's place, a directory of this repository, and returns its
// reference.
func (p program) ownPart(c, own map[string]any, m *debug.Module, dir string) (ref string) {
	version, _ := own["version"].(string)
	purl := "pkg:golang/" + p.info.Main.Path + "@" + version + "?type=module#" + dir
	c["name"], c["version"], c["purl"] = p.info.Main.Path+"/"+dir, version, purl
	c["description"] = "It stands in the place of " + m.Path + " " + m.Version + ", of which nothing is in the program."
	c["licenses"] = []any{map[string]any{"license": map[string]any{"id": "Apache-2.0"}}}
	for _, key := range []string{"hashes", "evidence", "externalReferences", "components"} {
		delete(c, key)
	}
	return purl
}

// bom is what of a bill is held against the program.
type bom struct {
	BOMFormat    string `json:"bomFormat"`
	SpecVersion  string `json:"specVersion"`
	SerialNumber string `json:"serialNumber"`
	Metadata     struct {
		Timestamp string
		Component struct{ Name, Version, PURL string }
	}
	Components []struct {
		Name, Version, PURL string
		Hashes              []struct{ Alg, Content string }
		Licenses            []any
		Evidence            struct{ Licenses []any }
	}
}

// checkBill holds a bill against the program: the same modules, versions and hashes, none more and none less; the
// standard library; a licence each; and nothing that is another in the next run.
func (p program) checkBill(b []byte) error {
	var doc bom
	if err := json.Unmarshal(b, &doc); err != nil {
		return err
	}
	switch {
	case doc.BOMFormat != "CycloneDX" || doc.SpecVersion == "":
		return errors.New("it is no CycloneDX")
	case doc.SerialNumber != "" || doc.Metadata.Timestamp != "":
		return errors.New("it has a number or a time of this run")
	case doc.Metadata.Component.Name != p.info.Main.Path ||
		!strings.HasSuffix(doc.Metadata.Component.PURL, "#"+p.main()):
		return fmt.Errorf("it is the bill of %s, want %s", doc.Metadata.Component.PURL, p.info.Path)
	}
	want := map[module]bool{{"std", p.info.GoVersion, ""}: true}
	for _, m := range p.info.Deps {
		if dir := p.standIn(m); dir != "" {
			want[module{p.info.Main.Path + "/" + dir, doc.Metadata.Component.Version, ""}] = true
		}
	}
	for _, m := range p.modules() {
		sum, err := m.digest()
		if err != nil {
			return err
		}
		want[module{m.path, m.version, sum}] = true
	}
	var wrong []string
	for _, c := range doc.Components {
		m := module{c.Name, c.Version, ""}
		for _, h := range c.Hashes {
			if h.Alg == "SHA-256" {
				m.sum = h.Content
			}
		}
		if !want[m] {
			wrong = append(wrong, fmt.Sprintf("it has %s %s, which the program has not", m.path, m.version))
		}
		delete(want, m)
		if len(c.Licenses)+len(c.Evidence.Licenses) == 0 {
			wrong = append(wrong, fmt.Sprintf("it has no licence of %s", m.path))
		}
	}
	for m := range want {
		wrong = append(wrong, fmt.Sprintf("it lacks %s %s", m.path, m.version))
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}
