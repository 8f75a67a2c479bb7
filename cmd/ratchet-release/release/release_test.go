package release

import (
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

func TestReleaseErrorsNameTheirLine(t *testing.T) {
	const head = "version = \"1.2.3\"\nsequence = 7\nvendor = \"acme.example\"\nclass = \"gw\"\n" +
		"base-url = \"https://img.example\"\n"
	const component = "[[component]]\nname = \"rootfs\"\nfile = \"a.img\"\n"
	for _, c := range []struct{ name, text, want string }{
		{"syntax", head + "x = = 1\n", "r.toml:6:"},
		{"unknown key", head + "colour = 1\n" + component, `r.toml:6:1: unknown key "colour"`},
		{"unknown nested key", head + component + "fille = \"x\"\n", `r.toml:9:1: unknown key "component.fille"`},
		{"unknown table", head + component + "[bananas]\n", `unknown key "bananas"`},
		{"two unknown keys", head + "a1 = 1\n" + component + "b1 = 2\n", "r.toml:10:1: unknown key \"component.b1\""},
		{"wrong type", head + component + "embed = \"yes\"\n", "r.toml:9:9: component.embed"},
		{"key twice", head + "class = \"x\"\n" + component, "r.toml:6"},
		{"no version", "sequence = 1\n", "version: is missing"},
		{"bad version",
			strings.Replace(head, "1.2.3", "v1", 1) + component, "r.toml:1: version: \"v1\" is not a version"},
		{"four numbers", strings.Replace(head, "1.2.3", "1.2.3.4", 1) + component, "r.toml:1: version"},
		{"no sequence", strings.Replace(head, "sequence = 7\n", "", 1) + component, "sequence: is missing"},
		{"sequence 0", strings.Replace(head, "= 7", "= 0", 1) + component, "r.toml:2: sequence: 0"},
		{"sequence text", strings.Replace(head, "= 7", "= \"next\"", 1) + component, "r.toml:2: sequence: \"next\""},
		{"sequence float", strings.Replace(head, "= 7", "= 7.5", 1) + component, "r.toml:2: sequence: want a number"},
		{"vendor",
			strings.Replace(head, "acme.example", "Acme.example", 1) + component, "r.toml:3: vendor: \"Acme.example\""},
		{"vendor escape", strings.Replace(head, "acme.example", "\\u001b.example", 1) + component, "r.toml:3: vendor"},
		{"class twice", head + "classes = [\"x\"]\n" + component, "cannot be used together"},
		{"empty class",
			strings.Replace(head, "\"gw\"", "\" gw\"", 1) + component, "r.toml:4: class: \"gw\" is not a class name"},
		{"device", head + "device = \"gw-1\"\n" + component, "r.toml:6: device"},
		{"no component", head, "component: is missing"},
		{"component name", head + "[[component]]\nname = \"a b\"\nfile = \"x\"\n", "r.toml:7: component[1].name"},
		{"no file", head + "[[component]]\nname = \"a\"\n", "r.toml:6: component[1].file: is missing"},
		{"second component", head + component + "[[component]]\nname = \"b\"\nfile = \"x\"\ncompress = \"gzip\"\n",
			"r.toml:12: component[2].compress: \"gzip\""},
		{"level", head + component + "level = 3\n", "r.toml:9: component[1].level"},
		{"level range", head + component + "compress = \"zstd\"\nlevel = 23\n", "r.toml:10: component[1].level: 23"},
		{"file and images", head + component + "[[component.image]]\nslot = 0\nfile = \"x\"\n",
			"r.toml:6: component[1]: an image for every slot"},
		{"image without slot", head + "[[component]]\nname = \"a\"\n[[component.image]]\nfile = \"x\"\n",
			"r.toml:8: component[1].image[1].slot"},
		{"image twice",
			head + "[[component]]\nname = \"a\"\n[[component.image]]\nslot = 0\nfile = \"x\"\n[[component.image]]\n" +
				"file = \"x\"\nslot = 0\n", "r.toml:13: component[1].image[2].slot: slot 0 has an image"},
		{"no place",
			strings.Replace(head, "base-url", "reference-uri", 1) + component, "say where devices find the image"},
		{"bad base", strings.Replace(head, "https://img.example", "ftp://x", 1) + component, "is not a URL"},
		{"secret in URL", strings.Replace(head, "https://", "https://u:p@", 1) + component, "user name or password"},
		{"embed with uri",
			head + component + "embed = true\nuri = \"https://x/y\"\n", "r.toml:6: component[1]: an embedded"},
		{"mirrors", head + component + "mirrors = [\"https://a b/\"]\n", "r.toml:6: component[1]: "},
		{"condition",
			head + component + "[conditions]\nversion = [\"1.0\"]\n", "r.toml:10: conditions.version: \"1.0\""},
		{"condition version",
			head + component + "[conditions]\nversion = [\"> x\"]\n", "r.toml:10: conditions.version"},
		{"time", head + component + "[conditions]\nuse-before = \"tomorrow\"\n", "r.toml:10: conditions.use-before"},
		{"local time", head + component + "[conditions]\nuse-before = 2030-01-01T00:00:00\n", "has no time zone"},
		{"local date", head + component + "[conditions]\nuse-before = 2030-01-01\n", "has no time zone"},
		{"time number", head + component + "[conditions]\nuse-before = 1\n", "r.toml:10: conditions.use-before"},
		{"time 1960", head + component + "[conditions]\nuse-before = 1960-01-01T00:00:00Z\n", "after 1970"},
		{"battery", head + component + "[conditions]\nmin-battery-mwh = -1\n", "r.toml:10: conditions.min-battery-mwh"},
		{"text of nothing", head + component + "[text.en.component.boot]\nversion = \"1\"\n",
			"r.toml:9: text.en.component.boot: the release has no such component"},
		{"sever nothing", head + "sever-text = true\n" + component, "r.toml:6: sever-text"},
		{"huge", strings.Repeat("#", conf.MaxSize+1), "larger than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("r.toml", []byte(c.text), workspace.Folder{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestVersions(t *testing.T) {
	for s, ok := range map[string]bool{
		"1": true, "1.2": true, "1.2.3": true, "1.2-rc.3": true, "1-beta": true, "1.2.3-alpha.0": true, "0.0.0": true,
		"": false, "1.": false, ".1": false, "01": false, "1.2.3.4": false, "1-gamma": false, "1-rc.": false,
		"1-rc.1.2": false, "-1": false, "+1": false, "1.2 ": false, "9223372036854775808": false, "1-RC.1": false,
	} {
		if _, err := parseVersion(s); (err == nil) != ok {
			t.Errorf("parseVersion(%q): %v", s, err)
		}
	}
	for s, ok := range map[string]bool{
		">= 1.2": true, ">1": true, "<2": true, "<= 1-rc.1": true, "= 1": true,
		"": false, "1": false, "=> 1": false, "== 1": false, "> ": false, ">1 <2": false, "!= 1": false,
	} {
		if _, err := parseCondition(s); (err == nil) != ok {
			t.Errorf("parseCondition(%q): %v", s, err)
		}
	}
}

func FuzzRelease(f *testing.F) {
	f.Add([]byte(workspace.Example))
	f.Add([]byte("version=\"1\"\nsequence=\"auto\"\n[[component]]\nname=\"a\"\n[[component.image]]\nslot=1\n" +
		"file=\"f\"\n[text.de.component.a]\nversion=\"1\"\n"))
	f.Add([]byte("component = [{name = \"a\", file = \"b\", image = [{slot = 0}]}]\na.b.c.\"d e\" = 1\n" +
		"[[component]]\n[component.x]\n"))
	f.Add([]byte("[a]\n[[a.b]]\n[a.b.c]\n[[a.b.d]]\n'' = 1\n"))
	d := workspace.Folder{}
	d.Vendor.Domain, d.Vendor.Classes, d.Images.BaseURL = "acme.example", []string{"gw"}, "https://img.example"
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse("r.toml", b, d)
		if err != nil {
			return
		}
		if len(p.images) != len(p.release.Components) || len(p.release.Classes) == 0 || len(p.images) == 0 {
			t.Errorf("accepted without sense: %+v", p)
		}
	})
}

func TestSequenceByTheClock(t *testing.T) {
	if n, err := autoSequence("", time.Unix(1234, 0)); n != 1234 || err != nil {
		t.Errorf("by the clock: %d, %v", n, err)
	}
}
