package ratchet_test

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	mdLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	mdHeading = regexp.MustCompile(`(?m)^#{1,6} +(.+?)\s*$`)
	notSlug   = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// markdown are the paths of all documents.
func markdown(t *testing.T) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		skip := strings.HasPrefix(d.Name(), ".") && path != "." || d.Name() == "bin" || d.Name() == "rig-out"
		if err == nil && d.IsDir() && skip {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 20 {
		t.Fatalf("found only %d documents", len(out))
	}
	return out
}

// prose is a document without its fenced blocks, whose brackets are no links and whose # are no headings.
func prose(doc string) string {
	var out []string
	fenced := false
	for _, line := range strings.Split(doc, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
			continue
		}
		if !fenced {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// anchors are the names that a link may have behind its #, made as the usual renderers make them.
func anchors(doc string) map[string]bool {
	out := map[string]bool{}
	for _, m := range mdHeading.FindAllStringSubmatch(prose(doc), -1) {
		slug := notSlug.ReplaceAllString(strings.ToLower(m[1]), "")
		out[strings.ReplaceAll(slug, " ", "-")] = true
	}
	return out
}

// TestLinks: every relative link of every document leads to a file, and its anchor to a heading.
func TestLinks(t *testing.T) {
	checked := 0
	for _, path := range markdown(t) {
		for _, m := range mdLink.FindAllStringSubmatch(prose(document(t, path)), -1) {
			u, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: link %q: %v", path, m[1], err)
				continue
			}
			if u.Scheme != "" {
				continue
			}
			checked++
			target := path
			if u.Path != "" {
				target = filepath.Join(filepath.Dir(path), filepath.FromSlash(u.Path))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: link %q leads nowhere", path, m[1])
				continue
			}
			if u.Fragment != "" && !anchors(document(t, target))[u.Fragment] {
				t.Errorf("%s: link %q: %s has no such heading", path, m[1], target)
			}
		}
	}
	if checked < 50 {
		t.Errorf("found only %d links", checked)
	}
}
