package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// osvDir is the source of a database with n entries of the standard library and one of a module.
func osvDir(t *testing.T, n int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "data", "osv"), 0o755); err != nil {
		t.Fatal(err)
	}
	entry := func(id, module string) {
		about := `{"package": {"name": "` + module + `"}}`
		text := `{"id": "` + id + `", "modified": "0001-01-01T00:00:00Z", "affected": [` + about + ", " + about + "]}"
		if err := os.WriteFile(filepath.Join(dir, "data", "osv", id+".json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		entry(fmt.Sprintf("GO-2026-%04d", i), "stdlib")
	}
	entry("GO-2025-0001", "example.com/m")
	return dir
}

// TestDatabases: the network's database is used where it answers as one; else its source is laid out; without both
// nothing passes.
func TestDatabases(t *testing.T) {
	date := time.Date(2026, 11, 5, 0, 0, 0, 0, time.UTC)
	from := func(dir string, err error) download {
		return func(context.Context) (string, time.Time, error) { return dir, date, err }
	}
	answers := func(code int, text string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if w.WriteHeader(code); q.URL.Path == "/index/db.json" {
				fmt.Fprint(w, text)
			}
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	good := answers(200, `{"modified": "2026-11-05T00:00:00Z"}`)
	whole := from(osvDir(t, 29), nil)
	for what, c := range map[string]struct {
		url  string
		get  download
		want string // "": the source, laid out
		says string // of a failure
	}{
		"it answers":             {good, from("", errors.New("not asked")), good, ""},
		"it is not reached":      {"http://127.0.0.1:1", whole, "", ""},
		"it is not there":        {answers(404, `{"modified": "2026-11-05T00:00:00Z"}`), whole, "", ""},
		"a portal answers":       {answers(200, "<html>Please log in</html>"), whole, "", ""},
		"neither of them":        {"http://127.0.0.1:1", from("", errors.New("no proxy")), "", "no proxy"},
		"an empty source":        {"http://127.0.0.1:1", from(t.TempDir(), nil), "", "not whole: 0 entries"},
		"half of a source":       {"http://127.0.0.1:1", from(osvDir(t, 28), nil), "", "not whole: 29 entries"},
		"none of the std":        {"http://127.0.0.1:1", from(osvDir(t, 0), nil), "", "library among them: false"},
		"a database of a string": {answers(200, `"2026"`), from("", errors.New("no proxy")), "", "not as a database"},
	} {
		dir := t.TempDir()
		want := c.want
		if want == "" {
			want = "file://" + dir
		}
		got, err := choose(t.Context(), c.url, c.get, dir, 30)
		if c.says == "" && (err != nil || got != want) {
			t.Errorf("%s: %q, %v, want %q", what, got, err, want)
		}
		if c.says != "" && (err == nil || got != "" || !strings.Contains(err.Error(), c.says) ||
			!strings.Contains(err.Error(), "NOT CHECKED for known vulnerabilities")) {
			t.Errorf("%s: %q, %v, want %q", what, got, err, c.says)
		}
	}
}

// TestLayOut: each entry is there under its id, once in the list of each module that it is about.
func TestLayOut(t *testing.T) {
	dir := t.TempDir()
	src := osvDir(t, 2)
	if _, err := layOut(filepath.Join(src, "data", "osv"), dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "index", "modules.json"))
	var modules []module
	if err == nil {
		err = json.Unmarshal(b, &modules)
	}
	if err != nil || len(modules) != 2 || modules[0].Path != "example.com/m" || len(modules[0].Vulns) != 1 ||
		modules[1].Path != "stdlib" || len(modules[1].Vulns) != 2 || modules[1].Vulns[1].ID != "GO-2026-0001" {
		t.Errorf("%s, %v", b, err)
	}
	for _, name := range []string{"ID/GO-2026-0001.json", "ID/GO-2025-0001.json", "index/db.json", "index/vulns.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if err := os.Rename(filepath.Join(src, "data/osv/GO-2026-0001.json"),
		filepath.Join(src, "data/osv/GO-2026-9999.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := layOut(filepath.Join(src, "data", "osv"), t.TempDir(), time.Now()); err == nil {
		t.Error("an entry under another's name was taken")
	}
}
