package ratchet_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var namedTest = regexp.MustCompile("`([a-z0-9/-]+)\\.((?:Test|Fuzz)[A-Za-z0-9_]+)`")

// entries are the list entries of a chapter, each as one line.
func entries(chapter string) []string {
	var out []string
	for _, line := range strings.Split(chapter, "\n") {
		switch {
		case strings.HasPrefix(line, "- "):
			out = append(out, line)
		case strings.HasPrefix(line, "  ") && len(out) > 0:
			out[len(out)-1] += " " + strings.TrimSpace(line)
		}
	}
	return out
}

// TestSecurityIsAttacked: every attack in SECURITY.md names tests that are in the tree, and whatever
// is not defended says what to do instead.
func TestSecurityIsAttacked(t *testing.T) {
	doc := document(t, "SECURITY.md")
	found := 0
	functions := map[string]string{} // directory -> source of its tests
	for _, e := range entries(part(t, doc, "## Attacks")) {
		what, tests, ok := strings.Cut(e, "Tests: ")
		named := namedTest.FindAllStringSubmatch(tests, -1)
		if !ok || len(named) == 0 {
			t.Errorf("no test is named: %.100s", e)
		}
		if strings.Count(tests, "`") != 2*len(named) {
			t.Errorf("not all of these are tests (directory.TestName): %s", tests)
		}
		if namedTest.MatchString(what) {
			t.Errorf("a test is named outside of the list: %.100s", what)
		}
		for _, n := range named {
			found++
			if _, read := functions[n[1]]; !read {
				functions[n[1]] = sources(t, n[1])
			}
			if !strings.Contains(functions[n[1]], "\nfunc "+n[2]+"(") {
				t.Errorf("there is no test %s in %s: %.80s", n[2], n[1], e)
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d tests are named: the document is not read as it is written", found)
	}
	for _, e := range entries(part(t, doc, "## Not defended")) {
		if !strings.HasPrefix(e, "- **") || !strings.Contains(e, "What to do: ") {
			t.Errorf("it is not said what to do: %.100s", e)
		}
	}
}

// TestSecurityNamesTheHolder: these tests fail when the line that defends is taken out, and the others of
// their entry do not: whoever rewrites an entry keeps them.
func TestSecurityNamesTheHolder(t *testing.T) {
	all := entries(part(t, document(t, "SECURITY.md"), "## Attacks"))
	for attack, holder := range map[string]string{
		"to plain HTTP":                           "transport/http.TestTLS",
		"Credentials go to their origin":          "transport/http.TestClientCertificate",
		"leaked descriptors":                      "agent/control.TestFilesRefused",
		"two places for root":                     "agent/control.TestPlacesForRoot",
		"The running slot by another name":        "hal/linux.TestTopology",
		"A key that was stolen before a rotation": "agent/trust.TestGeneration",
		"below the root's minimum":                "agent.TestRevertAsksTheRoot",
		"a permit that is replayed, used again":   "agent.TestPermit",
		"in bundles and plans":                    "agent/trust.TestBundleVersions",
	} {
		found := false
		for _, e := range all {
			what, tests, _ := strings.Cut(e, "Tests: ")
			if strings.Contains(what, attack) {
				found = true
				if !strings.Contains(tests, "`"+holder+"`") {
					t.Errorf("%q is held by %s, which the entry does not name", attack, holder)
				}
			}
		}
		if !found {
			t.Errorf("there is no entry about %q", attack)
		}
	}
}

// sources are the test files of a directory, whatever they need to be built.
func sources(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString("\n")
		all.Write(b)
	}
	return all.String()
}
