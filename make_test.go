package ratchet_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// targets are the make targets that a person may type.
func targets(t *testing.T) []string {
	t.Helper()
	_, list, ok := strings.Cut(document(t, "Makefile"), "\n.PHONY: ")
	list, _, _ = strings.Cut(list, "\n")
	if !ok || list == "" {
		t.Fatal("the Makefile lists no targets")
	}
	return strings.Fields(list)
}

// typed runs make as from a shell, also where this test is run by make.
func typed(args ...string) ([]byte, error) {
	cmd := exec.Command("make", args...)
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=0")
	return cmd.CombinedOutput()
}

// TestMakeTargets: each target is explained by `make help`, and can be typed as it stands: every variable
// that it uses has a value.
func TestMakeTargets(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("needs make")
	}
	out, err := typed("-s", "help")
	if err != nil {
		t.Fatalf("make help: %v\n%s", err, out)
	}
	help := map[string]bool{}
	for _, line := range strings.Split(string(out), "\n") {
		if f := strings.Fields(line); len(f) > 2 {
			help[f[0]] = true
		}
	}
	for _, target := range targets(t) {
		if target != "all" && !help[target] {
			t.Errorf("make help does not explain %s", target)
		}
		delete(help, target)
		out, err := typed("-n", "--warn-undefined-variables", target)
		if err != nil || strings.Contains(string(out), "undefined variable") {
			t.Errorf("make %s: %v\n%s", target, err, out)
		}
	}
	for target := range help {
		t.Errorf("make help explains %s, which .PHONY does not list", target)
	}
}

var madeInProse = regexp.MustCompile("`make ([a-z0-9-]+)")

// TestMakeInProse: what the documents tell people to type is there, and README's table names every target
// that proves or measures something.
func TestMakeInProse(t *testing.T) {
	known := map[string]bool{}
	for _, target := range targets(t) {
		known[target] = true
	}
	for _, name := range []string{"README.md", "ARCHITECTURE.md", "BENCHMARKS.md", "SECURITY.md",
		"docs/integration/system.md", "docs/integration/operator.md", "docs/integration/bootloader.md"} {
		for _, m := range madeInProse.FindAllStringSubmatch(document(t, name), -1) {
			if !known[m[1]] {
				t.Errorf("%s says make %s, and there is no such target", name, m[1])
			}
		}
	}
	_, table, _ := strings.Cut(document(t, "README.md"), "| make target |")
	for target := range known {
		switch target {
		case "all", "build", "help", "clean", "rig-programs":
			continue
		}
		if !strings.Contains(table, "`"+target+"`") {
			t.Errorf("README's table of make targets lacks %s", target)
		}
	}
}

// sourcePath is a path that only the source tree has.
var sourcePath = regexp.MustCompile("[( `](?:docs/|scripts/|\\.\\./|[a-z0-9/-]*[a-z0-9]\\.md\\b)[^ )`]*")

// TestManualPages: the pages of section 5 have a NAME that apropos finds, a term for each row and no table, which
// would be wider than a terminal.
func TestManualPages(t *testing.T) {
	if _, err := exec.LookPath("awk"); err != nil {
		t.Skip("needs awk")
	}
	for name, doc := range map[string]string{"ratchet.toml": "configuration", "ratchet-release.toml": "workspace"} {
		doc = "docs/formats/" + doc + ".md"
		out, err := exec.Command("awk", "-v", "name="+name, "-f", "scripts/man5.awk", doc).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", doc, err, out)
		}
		page := string(out)
		if !strings.HasPrefix(page, "% "+strings.ToUpper(name)+" 5\n\n# NAME\n\n"+name+" - ") {
			t.Errorf("%s: the page begins with %.80q", doc, page)
		}
		if strings.Contains(page, "\n|") || strings.Contains(page, "](") || strings.Contains(page, "<!--") {
			t.Errorf("%s: the page has a table, a link or a comment left", doc)
		}
		if m := sourcePath.FindString(strings.ReplaceAll(page, "(/usr/share/doc/ratchet/", "(+")); m != "" {
			t.Errorf("%s: %s is not on an installed system", doc, m)
		}
		if !strings.Contains(page, "\n# SEE ALSO\n\nratchet") {
			t.Errorf("%s: the page names no other", doc)
		}
		if strings.Contains(page, "\n: \n") {
			t.Errorf("%s: a row has no meaning", doc)
		}
		for _, r := range rows(document(t, doc)) {
			term := "\n" + r[0]
			if r[0] != "key" && len(words(r[0])) > 0 && r[0] != "`"+name+"`" && !strings.HasSuffix(r[0], ".toml`") &&
				!strings.Contains(page, term+" (") && !strings.Contains(page, term+"\n: ") {
				t.Errorf("%s: the page lacks %s", doc, r[0])
			}
		}
	}
}
