package ratchet_test

import (
	"fmt"
	"go/ast"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// These tests hold docs/formats against the code. What the code has and the pages do not, or the other
// way round, fails; so a format cannot change without its description.

func document(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// part returns what stands below the heading that begins with title, up to the next one of its rank.
func part(t *testing.T, doc, title string) string {
	t.Helper()
	at := strings.Index(doc, "\n"+title)
	if at < 0 {
		t.Fatalf("there is no heading %q", title)
	}
	rest := doc[at+1:]
	rank, _, _ := strings.Cut(title, " ")
	for _, next := range []string{"\n" + rank + " ", "\n" + strings.TrimPrefix(rank, "#") + " "} {
		if end := strings.Index(rest, next); end > 0 && len(next) > 2 {
			rest = rest[:end]
		}
	}
	return rest
}

// rows are the cells of all table rows, headings and rules left out.
func rows(text string) [][]string {
	var out [][]string
	for _, line := range strings.Split(text, "\n") {
		line, ok := strings.CutPrefix(strings.TrimSpace(line), "|")
		if !ok || strings.HasPrefix(line, "---") {
			continue
		}
		cells := strings.Split(strings.TrimSuffix(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		out = append(out, cells)
	}
	return out
}

var quoted = regexp.MustCompile("`([^`]+)`")

// words are the texts in backticks.
func words(text string) map[string]bool {
	out := map[string]bool{}
	for _, m := range quoted.FindAllStringSubmatch(text, -1) {
		out[m[1]] = true
	}
	return out
}

// same fails for what only one of the two has.
func same(t *testing.T, what string, code, doc map[string]bool) {
	t.Helper()
	for _, k := range slices.Sorted(maps.Keys(code)) {
		if !doc[k] {
			t.Errorf("docs/formats does not have the %s %q", what, k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(doc)) {
		if !code[k] {
			t.Errorf("docs/formats has the %s %q, which the code does not have", what, k)
		}
	}
	if len(code) == 0 {
		t.Errorf("no %s found in the code: the test does not read the source as it is written", what)
	}
}

func TestFormatsDesk(t *testing.T) {
	doc := map[string]bool{}
	page, _, _ := strings.Cut(document(t, "docs/formats/workspace.md"), "\n## Roots")
	for _, r := range rows(page) {
		maps.Copy(doc, words(r[0]))
		if strings.HasSuffix(r[0], ".K`") {
			for w := range words(r[3]) {
				doc[strings.TrimSuffix(strings.Trim(r[0], "`"), "K")+w] = true
			}
		}
	}
	code := tomlKeys(t, "cmd/ratchet-release/workspace/workspace.go", "File", "")
	maps.Copy(code, tomlKeys(t, "cmd/ratchet-release/release/file.go", "releaseFile", "LANG"))
	for k := range code {
		if !doc[k] {
			t.Errorf("docs/formats does not have the key %q of the desk or of a release file", k)
		}
	}
	for k := range doc {
		table := strings.HasPrefix(k, "vendor.") || strings.HasPrefix(k, "keys.") && !strings.Contains(k, "/") ||
			strings.HasPrefix(k, "broker.") || strings.HasPrefix(k, "component.") || strings.HasPrefix(k, "conditions.")
		if table && !code[k] {
			t.Errorf("docs/formats has the key %q, which neither the desk nor a release file has", k)
		}
	}
	said := words(page)
	for _, name := range []string{"View", "OutcomeView", "Totals"} {
		for _, f := range structs(t, "cmd/internal/fleet/fleet.go")[name].Fields.List {
			if tag, _, _ := strings.Cut(tagOf(f, "json"), ","); !said[tag] {
				t.Errorf("docs/formats does not have the member %q of watch --json", tag)
			}
		}
	}
}

func TestFormatsEvidence(t *testing.T) {
	page := document(t, "docs/formats/evidence.md")
	for text, name := range map[string][2]string{part(t, page, "## Record"): {"agent/evidence/record.go", "wire"},
		part(t, document(t, "docs/formats/messages.md"), "## Status"): {"agent/evidence/status.go", "wireStatus"}} {
		code := map[string]bool{}
		for _, f := range structs(t, name[0])[name[1]].Fields.List {
			n, _, _ := strings.Cut(tagOf(f, "cbor"), ",")
			code[n+" "+strings.ToLower(f.Names[0].Name)] = true
		}
		said := map[string]bool{}
		for _, r := range rows(text) {
			if _, err := strconv.Atoi(r[0]); err == nil {
				said[r[0]+" "+r[1]] = true
			}
		}
		same(t, "evidence key", code, said)
	}
	chapter := words(page)
	for _, c := range consts(t, "agent/evidence/event.go") {
		if !chapter[c.text] {
			t.Errorf("docs/formats does not have the evidence kind %q", c.text)
		}
	}
	for _, c := range consts(t, "agent/evidence/record.go") {
		if w := c.text; !chapter[w] && !chapter["application/"+w] {
			t.Errorf("docs/formats does not have %s = %q", c.name, w)
		}
	}
	for _, p := range life.Phases() {
		if !chapter[string(p)] {
			t.Errorf("docs/formats does not have the phase %q", p)
		}
	}
	for what, n := range map[string]int{"record": evidence.MaxRecord, "signed": evidence.MaxSigned,
		"text": evidence.MaxText, "detail": evidence.MaxDetail, "name": evidence.MaxName,
		"details": evidence.MaxDetails} {
		if !strings.Contains(page, fmt.Sprintf(" %d", n)) {
			t.Errorf("docs/formats does not have the limit %d of a %s", n, what)
		}
	}
}

func TestFormatsControl(t *testing.T) {
	text := part(t, document(t, "docs/formats/control.md"), "## Control socket")
	table := rows(text)
	doc := map[string]bool{}
	types := map[string]string{}
	for _, r := range table {
		switch len(r) {
		case 5:
			if r[0] != "verb" {
				doc[strings.Trim(r[0], "`")+" "+r[1]] = true
			}
		case 2:
			types[r[0]] = r[1]
		}
	}
	code := map[string]bool{}
	names := map[string]string{}
	for _, c := range consts(t, "agent/control/verb.go") {
		names[c.name] = c.text
	}
	ast.Inspect(source(t, "agent/control/verb.go"), func(n ast.Node) bool {
		kv, ok := n.(*ast.KeyValueExpr)
		if !ok || names[fmt.Sprint(kv.Key)] == "" {
			return true
		}
		verb := names[fmt.Sprint(kv.Key)]
		said := map[string]bool{}
		for _, r := range table {
			if r[0] == "`"+verb+"`" {
				said = words(r[2])
			}
		}
		for _, e := range kv.Value.(*ast.CompositeLit).Elts {
			field := e.(*ast.KeyValueExpr)
			switch fmt.Sprint(field.Key) {
			case "right":
				code[verb+" "+strings.ToLower(fmt.Sprint(field.Value))] = true
			case "args":
				for _, a := range field.Value.(*ast.CompositeLit).Elts {
					if arg := unquote(t, a.(*ast.BasicLit)); !said[arg] {
						t.Errorf("docs/formats does not have the argument %q of %s", arg, verb)
					}
				}
			}
		}
		return false
	})
	same(t, "verb with its right", code, doc)
	for _, v := range []any{control.Error{}, control.Status{}, control.SlotStatus{}, control.SlotHolds{},
		control.UpdateStatus{}, control.TrialStatus{}, control.CheckStatus{}, control.Outcome{}, control.BrokerStatus{},
		control.BootStatus{}, control.FloorStatus{}, control.CounterStatus{}, control.TrustStatus{},
		control.EvidenceStatus{}, control.JournalStatus{}, control.TimeStatus{}, control.Slots{}, control.History{},
		control.HistoryEntry{}, control.InstallCheck{}, control.Finding{}, control.Payload{},
		control.Progress{}, control.Done{},
		control.Challenge{}, control.EvidenceExport{}} {
		typ := reflect.TypeOf(v)
		row := types[strings.ReplaceAll(typ.Name(), "Error", "error")]
		for i := range typ.NumField() {
			name, how, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			want := "`" + name + "`"
			if optional := how != ""; !strings.Contains(row, want) || strings.Contains(row, want+"?") != optional {
				t.Errorf("docs/formats: %s does not have %s as the code has it (optional: %t)",
					typ.Name(), want, optional)
			}
		}
	}
	for _, typ := range slices.Sorted(maps.Keys(structs(t, "agent/control/status.go"))) {
		if types[typ] == "" {
			t.Errorf("docs/formats does not have the type %s", typ)
		}
	}
}

func TestFormatsExitCodes(t *testing.T) {
	doc := map[string]bool{}
	for _, r := range rows(part(t, document(t, "docs/formats/control.md"), "## Exit codes")) {
		if len(r) == 3 {
			for _, program := range strings.Split(r[2], ", ") {
				doc[program+" "+r[0]] = true
			}
		}
	}
	delete(doc, "given by code")
	code, names := map[string]bool{}, map[string]string{}
	for program, where := range map[string][2]string{"ratchet": {"agent/control/control.go", "Exit"},
		"ratchet-release": {"cmd/internal/cli/exit.go", "Exit"}} {
		for _, c := range consts(t, where[0]) {
			if strings.HasPrefix(c.name, where[1]) {
				code[program+" "+c.text] = true
				if other := names[c.name]; other != "" && other != c.text {
					t.Errorf("%s is %s and %s", c.name, other, c.text)
				}
				names[c.name] = c.text
			}
		}
	}
	_, codes, ok := strings.Cut(document(t, "cmd/ratchet-lab/main.go"), "Exits:")
	if !ok {
		t.Fatal("cmd/ratchet-lab does not say its exit codes")
	}
	_, codes, _ = strings.Cut(codes, `"`)
	codes, _, _ = strings.Cut(codes, ".")
	for _, c := range regexp.MustCompile(`\d+`).FindAllString(codes, -1) {
		code["ratchet-lab "+c] = true
	}
	same(t, "exit code", code, doc)
}

func TestFormatsState(t *testing.T) {
	text := document(t, "docs/formats/state.md")
	doc := map[string]bool{}
	for _, r := range rows(text) {
		if r[0] == "`state`" {
			key, _, _ := strings.Cut(strings.Trim(r[1], "`"), "<")
			doc[key] = true
		}
	}
	code := map[string]bool{}
	files, err := filepath.Glob("agent/internal/store/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		for _, c := range consts(t, f) {
			if !strings.HasSuffix(f, "_test.go") &&
				(strings.HasPrefix(c.name, "key") || strings.HasPrefix(c.name, "prefix")) {
				code[c.text] = true
			}
		}
	}
	same(t, "key of the journal", code, doc)
	said := map[string]bool{}
	for _, r := range rows(text) {
		if _, err := strconv.Atoi(r[0]); err == nil {
			said[fmt.Sprint(len(r), " ", r[0], " ", r[1])] = true
		}
	}
	fields := map[string]bool{}
	for width, typ := range map[int]reflect.Type{4: reflect.TypeOf(life.Record{}), 3: reflect.TypeOf(life.Ext{})} {
		for i := range typ.NumField() {
			n, _, _ := strings.Cut(typ.Field(i).Tag.Get("cbor"), ",")
			fields[fmt.Sprint(width, " ", n, " ", strings.ToLower(typ.Field(i).Name))] = true
		}
	}
	same(t, "key of the core record", fields, said)
}

func TestFormatsEnvelope(t *testing.T) {
	doc := document(t, "docs/formats/envelope.md")
	supported, refused := map[string]bool{}, map[string]bool{}
	for _, r := range rows(part(t, doc, "## Manifest")) {
		if len(r) != 3 || !strings.HasPrefix(r[2], "yes") && r[2] != "no" && !strings.Contains(r[1], "SUIT code 5") {
			continue
		}
		for _, n := range regexp.MustCompile(`\b\d+\b`).FindAllString(strings.ReplaceAll(r[0], "-256", ""), -1) {
			if strings.Contains(r[1], "SUIT code 5") {
				refused[n] = true
			} else {
				supported[n] = true
			}
		}
	}
	yes, no := table(t, "agent/manifest/commands.go", "commands")
	same(t, "command", numbers(yes), supported)
	same(t, "refused command", numbers(no), refused)

	names, without := map[string]bool{}, map[string]bool{}
	for _, r := range rows(part(t, doc, "## Manifest")) {
		if len(r) != 5 {
			continue
		}
		for _, i := range []int{0, 3} {
			if strings.Contains(r[i+1], "SUIT code 8") {
				for _, n := range regexp.MustCompile(`\d+`).FindAllString(r[i], -1) {
					without[n] = true
				}
			} else if r[i] != "parameter" {
				names[r[i]] = true
			}
		}
	}
	yes, no = table(t, "agent/manifest/parameters.go", "parameters")
	same(t, "parameter", yes, names)
	same(t, "refused parameter", numbers(no), without)

	limits := map[string]bool{}
	for _, r := range rows(part(t, doc, "## Limits and codes")) {
		if len(r) == 5 {
			limits[r[0]+" "+r[1]], limits[r[3]+" "+r[4]] = true, true
		}
	}
	delete(limits, "limit value")
	same(t, "limit", map[string]bool{
		fmt.Sprint("MaxEnvelope ", manifest.MaxEnvelope): true, fmt.Sprint("MaxDepth ", manifest.MaxDepth): true,
		fmt.Sprint("MaxComponents ", manifest.MaxComponents): true,
		fmt.Sprint("MaxCommands ", manifest.MaxCommands):     true, fmt.Sprint("MaxTotal ", manifest.MaxTotal): true,
		fmt.Sprint("MaxBranches ", manifest.MaxBranches): true, fmt.Sprint("MaxSteps ", manifest.MaxSteps): true,
		fmt.Sprint("MaxParameters ", manifest.MaxParameters): true, fmt.Sprint("MaxURI ", manifest.MaxURI): true,
		fmt.Sprint("MaxMirrors ", manifest.MaxMirrors): true, fmt.Sprint("MaxBlocks ", manifest.MaxBlocks): true,
		fmt.Sprint("MaxBlock ", manifest.MaxBlock): true, fmt.Sprint("MaxIntegrated ", manifest.MaxIntegrated): true,
		fmt.Sprint("MaxName ", manifest.MaxName): true, fmt.Sprint("MaxParts ", manifest.MaxParts): true,
		fmt.Sprint("MaxPart ", manifest.MaxPart): true, fmt.Sprint("MaxVersion ", manifest.MaxVersion): true,
		fmt.Sprint("MaxText ", manifest.MaxText): true, fmt.Sprint("MaxLanguages ", manifest.MaxLanguages): true,
		fmt.Sprint("MaxShown ", manifest.MaxShown): true, fmt.Sprint("MaxFindings ", manifest.MaxFindings): true,
		fmt.Sprint("MaxDigest ", manifest.MaxDigest): true, fmt.Sprint("MaxEncryption ", manifest.MaxEncryption): true,
		fmt.Sprint("MaxRecipients ", manifest.MaxRecipients): true, fmt.Sprint("MaxKeyID ", manifest.MaxKeyID): true,
		fmt.Sprint("MaxReport ", manifest.MaxReport): true, fmt.Sprint("MaxRecords ", manifest.MaxRecords): true,
		fmt.Sprint("MaxNonce ", manifest.MaxNonce): true,
	}, limits)
}

func TestFormatsHook(t *testing.T) {
	said := words(part(t, document(t, "docs/formats/boot.md"), "## Hook"))
	n := 0
	ast.Inspect(source(t, "bootctl/hook/output.go"), func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		if f, ok := call.Fun.(*ast.SelectorExpr); !ok || fmt.Sprint(f.X) != "p" || f.Sel.Name == "fail" {
			return true
		}
		name := ""
		switch a := call.Args[0].(type) {
		case *ast.BasicLit:
			name = unquote(t, a)
		case *ast.BinaryExpr:
			name = "SLOT." + unquote(t, a.Y.(*ast.BasicLit))
		default:
			return true
		}
		if n++; !said[name] {
			t.Errorf("docs/formats does not have the key %q of the hook's state", name)
		}
		return true
	})
	if n < 10 {
		t.Errorf("found only %d keys: the test does not read the source as it is written", n)
	}
}
