package reason_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/reason"
)

// constants reads every constant of type Reason from the source, so that none can be forgotten.
func constants(t *testing.T) map[string]reason.Reason {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]reason.Reason{}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			if id, ok := v.Type.(*ast.Ident); !ok || id.Name != "Reason" || len(v.Values) != 1 {
				t.Errorf("constant %s is not written as `Name Reason = \"word\"`", v.Names[0].Name)
				continue
			}
			word, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			found[v.Names[0].Name] = reason.Reason(word)
		}
	}
	if len(found) < 60 {
		t.Fatalf("found only %d constants: the test does not read the source as it is written", len(found))
	}
	return found
}

func TestEveryReasonIsExplained(t *testing.T) {
	kebab := regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	seen := map[reason.Reason]string{}
	for name, r := range constants(t) {
		if first, dup := seen[r]; dup {
			t.Errorf("%s and %s are the same word %q", first, name, r)
		}
		seen[r] = name
		if r != reason.None && !kebab.MatchString(string(r)) {
			t.Errorf("%s: %q is not kebab-case", name, r)
		}
		if !r.Valid() {
			t.Errorf("%s: %q is not valid", name, r)
		}
		if !r.Known() {
			t.Errorf("%s (%q) has no entry in the table", name, r)
			continue
		}
		i := r.Info()
		for what, text := range map[string]string{"Says": i.Says, "Advice": i.Advice} {
			if text == "" || !strings.HasSuffix(text, ".") || len(text) > 140 {
				t.Errorf("%s: %s is no short plain sentence: %q", name, what, text)
			}
		}
		if i.Final && i.Blame != reason.NotImage {
			t.Errorf("%s is a verdict on an offer and a cause of an image at once", name)
		}
	}
}

func TestUnknownReasonIsHarmless(t *testing.T) {
	r := reason.Reason("of-a-newer-version")
	if i := r.Info(); r.Known() || !r.Valid() || fate(i) != "" || i.Says == "" || i.Advice == "" {
		t.Errorf("unknown reason: known %t, valid %t, %+v", r.Known(), r.Valid(), i)
	}
}

func TestValid(t *testing.T) {
	for r, want := range map[reason.Reason]bool{
		"": true, "a": true, "a-b2": true,
		"A": false, "-a": false, "a-": false, "a--b": false, "1a": false, "a b": false, "a\x1b[2J": false,
		"az": true, "a09": true, "a/": false, "a:": false, "a`": false, "a{": false, "0a": false, "9": false,
		reason.Reason(strings.Repeat("a", 48)): true, reason.Reason(strings.Repeat("a", 49)): false,
	} {
		if got := r.Valid(); got != want {
			t.Errorf("Valid(%q) = %t, want %t", r, got, want)
		}
	}
}
