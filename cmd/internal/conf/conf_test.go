package conf_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
)

type sample struct {
	Name  string `toml:"name"`
	Table struct {
		Size int `toml:"size"`
	} `toml:"table"`
	List []struct {
		File string `toml:"file"`
		Sub  []struct {
			Slot int `toml:"slot"`
		} `toml:"sub"`
	} `toml:"list"`
}

func TestStrict(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"syntax", "name = = 1\n", "x.toml:1:8: "},
		{"unknown key", "name = \"a\"\ncolour = 1\n", "x.toml:2:1: unknown key \"colour\""},
		{"two unknown keys",
			"a = 1\n[table]\nb = 1\n", "x.toml:1:1: unknown key \"a\"\nx.toml:3:1: unknown key \"table.b\""},
		{"wrong type", "[table]\nsize = \"big\"\n", "x.toml:2:8: table.size: want a whole number, found a string"},
		{"wrong type in an array",
			"[[list]]\nfile = [1]\n", "x.toml:2:8: list.file: want text in quotes, found an array"},
		{"a table for text", "[name]\n", "x.toml:1:2: name: "},
		{"too large a number", "[table]\nsize = 0x7fffffffffffffffff\n", "x.toml:2:8: "},
		{"key twice", "name = \"a\"\nname = \"b\"\n", "x.toml:2"},
		{"too large", strings.Repeat("#", conf.MaxSize+1), "x.toml: larger than 1048576 bytes"},
	} {
		var v sample
		if _, err := conf.Decode("x.toml", []byte(c.text), &v); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	var v sample
	if _, err := conf.Decode("x.toml", []byte(strings.Repeat("#", conf.MaxSize)), &v); err != nil {
		t.Errorf("a file of the largest size: %v", err)
	}
}

// TestPlace: an error about a value has the line of its key, or of the nearest table that is there.
func TestPlace(t *testing.T) {
	const text = "name = \"a\"\n[table]\nsize = 1\n[[list]]\nfile = \"f\"\n[[list]]\n\nfile = \"g\"\n[[list.sub]]\n" +
		"slot = 1\n"
	path := filepath.Join(t.TempDir(), "x.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var v sample
	doc, err := conf.Read(path, &v)
	if err != nil || len(v.List) != 2 || v.List[1].Sub[0].Slot != 1 {
		t.Fatalf("%+v, %v", v, err)
	}
	for key, want := range map[string]string{
		"name": ":1: name: no", "table.size": ":3: table.size: no", "table.other": ":2: table.other: no",
		"list.0.file": ":5: list[1].file: no", "list.1.file": ":8: list[2].file: no",
		"list.1.level": ":6: list[2].level: no", "list.1.sub.0.slot": ":10: list[2].sub[1].slot: no",
		"other": ": other: no",
	} {
		if got := doc.Errorf(key, "%s", "no").Error(); got != path+want {
			t.Errorf("%s: %s, want %s", key, got, path+want)
		}
	}
	if _, err := conf.Read(path+"x", &v); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// TestPlaceOfNames: slots may be named 0 and 1, which are names and no numbers of an array.
func TestPlaceOfNames(t *testing.T) {
	var v struct {
		Slots map[string]struct {
			Path string `toml:"path"`
		} `toml:"slots"`
		Windows []struct {
			From string `toml:"from"`
		} `toml:"windows"`
	}
	text := "windows = [{from = \"1\"}]\n[slots.0]\npath = \"a\"\n[slots.1]\npath = \"b\"\n"
	doc, err := conf.Decode("x.toml", []byte(text), &v)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"slots.0.path": "x.toml:3: slots.0.path: no",
		"slots.1.path": "x.toml:5: slots.1.path: no", "windows.0.from": "x.toml:1: windows[1].from: no"} {
		if got := doc.Errorf(key, "no").Error(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestQuote(t *testing.T) {
	for _, s := range []string{"", "plain", `a"b\c`, "tab\tline\nend", "ünïcode", "\x00\x1f\x7f"} {
		var v struct {
			S string `toml:"s"`
		}
		if _, err := conf.Decode("x", []byte("s = "+conf.Quote(s)), &v); err != nil || v.S != s {
			t.Errorf("%q became %q, %v", s, v.S, err)
		}
	}
}

// TestOneSpelling: identifiers are made from names, so that two spellings would be two vendors.
func TestOneSpelling(t *testing.T) {
	want := manifest.VendorUUID("acme.example")
	for s, good := range map[string]bool{"acme.example": true, want.String(): true, "Acme.example": false,
		"acme": false, "": false, "acme.example.": false, "-acme.example": false, "ac me.example": false,
		strings.Repeat("a", 64) + ".example": false,
		strings.Repeat("a", 63) + ".example": true, strings.Repeat("a.", 127): false} {
		if _, err := conf.VendorUUID(s); (err == nil) != good {
			t.Errorf("vendor %q: %v", s, err)
		}
	}
	if u, err := conf.VendorUUID("acme.example"); err != nil || u != want {
		t.Errorf("%v, %v", u, err)
	}
	for s, good := range map[string]bool{"gateway": true, "two words": true, " gateway": false, "": false,
		"a\x1bb": false, want.String(): true} {
		if _, err := conf.ClassUUID(want, s); (err == nil) != good {
			t.Errorf("class %q: %v", s, err)
		}
	}
}

func TestCheckURL(t *testing.T) {
	long := "https://x/" + strings.Repeat("a", manifest.MaxURI-len("https://x/"))
	for s, good := range map[string]bool{"https://x/y": true, "http://x": true, "ftp://x": false, "x": false,
		"https://u:p@x": false, "https://x#y": false, "https://x/a b": false, "https://x/é": false,
		long: true, long + "a": false} {
		if err := conf.CheckURL(s); (err == nil) != good {
			t.Errorf("%.40q: %v", s, err)
		}
	}
}

// FuzzDecode: any document is decoded or refused, and one that is decoded knows its places.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("component = [{name = \"a\", file = \"b\", image = [{slot = 0}]}]\na.b.c.\"d e\" = 1\n" +
		"[[component]]\n[component.x]\n"))
	f.Add([]byte("[a]\n[[a.b]]\n[a.b.c]\n[[a.b.d]]\n'' = 1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v map[string]any
		doc, err := conf.Decode("x.toml", b, &v)
		if err != nil {
			return
		}
		for key := range v {
			if !strings.Contains(key, ".") && key != "" &&
				!strings.HasPrefix(doc.Errorf(key, "no").Error(), "x.toml:") {
				t.Errorf("the place of %q is not known", key)
			}
		}
	})
}

func TestZoneless(t *testing.T) {
	for text, want := range map[string]bool{"2030-01-01T00:00:00Z": false, "2030-01-01T00:00:00": true,
		"2030-01-01": true, "12:00:00": true, "1": false, "\"2030-01-01\"": false} {
		var v map[string]any
		if _, err := conf.Decode("x.toml", []byte("at = "+text), &v); err != nil || conf.Zoneless(v["at"]) != want {
			t.Errorf("%s: %v, %v", text, v["at"], err)
		}
	}
}
