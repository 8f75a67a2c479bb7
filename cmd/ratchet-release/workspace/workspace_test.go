package workspace_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

func options() workspace.InitOptions {
	return workspace.InitOptions{Alg: "esp256", Vendor: "acme.example", Broker: "mqtts://b", Channel: "stable",
		BaseURL: "https://img.example", Classes: []string{"gw"}}
}

func good(string, []byte, workspace.Folder) error { return nil }

// made is a new release directory.
func made(t *testing.T) workspace.Folder {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "desk")
	var out bytes.Buffer
	if err := workspace.Init(t.Context(), cli.Console{Out: &out, Err: &out}, dir, options(), good); err != nil {
		t.Fatal(err)
	}
	f, err := workspace.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestInit(t *testing.T) {
	f := made(t)
	if f.Vendor.Domain != "acme.example" || f.Broker.Channel != "stable" || f.BrokerOptions().URL != "mqtts://b" ||
		f.ImageDir() != f.Path("images") {
		t.Errorf("%+v", f)
	}
	if k, err := f.Anchors(); err != nil || len(k.IDs()) != 1 {
		t.Errorf("%v", err)
	}
	if st, err := os.Stat(f.Path(f.Keys.Release)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the private key: %v", err)
	}
	var out bytes.Buffer
	if err := workspace.Init(t.Context(), cli.Console{Out: &out, Err: &out}, f.Path("."), options(),
		good); err == nil ||
		!strings.Contains(err.Error(), "not overwritten") {
		t.Errorf("a second time: %v", err)
	}
}

// TestInitWritesNothing when its release could not be built.
func TestInitWritesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "desk")
	var out bytes.Buffer
	err := workspace.Init(t.Context(), cli.Console{Out: &out, Err: &out}, dir, options(),
		func(string, []byte, workspace.Folder) error { return errors.New("no") })
	if _, st := os.Stat(dir); err == nil || !errors.Is(st, os.ErrNotExist) {
		t.Errorf("%v, %v", err, st)
	}
}

func TestFind(t *testing.T) {
	t.Chdir(t.TempDir())
	if f, err := workspace.Find("."); err != nil || f.Vendor.Domain != "" {
		t.Errorf("the current folder: %+v, %v", f, err)
	}
	if _, err := workspace.Find("other"); err == nil || !strings.Contains(err.Error(), "is not a release directory") {
		t.Errorf("a folder by name: %v", err)
	}
	for text, want := range map[string]string{
		"[vendor]\ndomain = \"ACME\"\n":                "ratchet-release.toml:2: vendor.domain: ",
		"[broker]\n\nchannel = \"a/b\"\n":              "ratchet-release.toml:3: broker.channel: ",
		"[broker]\nurl = \"mqtt://b\"\n":               "ratchet-release.toml:1: broker: ",
		"[images]\nbase-url = \"x\"\n":                 "ratchet-release.toml:2: images.base-url: ",
		"[images]\nmirrors = [\"https://x\", \"y\"]\n": "ratchet-release.toml:2: images.mirrors: ",
		"[broker]\nurl = \"mqtts://b\"\nkey = \"k\"\n": "ratchet-release.toml:1: broker: set both the client " +
			"certificate and its key, or neither",
		"[keys]\nrelase = \"x\"\n": "ratchet-release.toml:2:1: unknown key \"keys.relase\"",
		"[imagse]\n":               "ratchet-release.toml:1:",
	} {
		if err := os.WriteFile(workspace.FileName, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := workspace.Find("."); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// TestEnroll: one key for a device, another one only when it is asked for.
func TestEnroll(t *testing.T) {
	f := made(t)
	var paths []string
	for _, name := range []string{"one", "two"} {
		path := filepath.Join(t.TempDir(), name)
		if _, err := keys.NewPair(path, "esp256", nil); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path+".pub.pem")
	}
	var out bytes.Buffer
	c := cli.Console{Out: &out, Err: &out}
	if _, ok, err := f.DeviceKeys("gw-1"); ok || err != nil {
		t.Errorf("before: %v, %v", ok, err)
	}
	for _, step := range []struct {
		path    string
		replace bool
		want    string
	}{{paths[0], false, ""}, {paths[0], false, ""}, {paths[1], false, "is enrolled with another key"},
		{paths[1], true, ""}} {
		err := workspace.Enroll(c, f, "gw-1", step.path, step.replace)
		if step.want == "" && err != nil ||
			step.want != "" && (err == nil || !strings.Contains(err.Error(), step.want)) {
			t.Errorf("%+v: %v", step, err)
		}
	}
	want, err := keys.Public(paths[1])
	if err != nil {
		t.Fatal(err)
	}
	if k, ok, err := f.DeviceKeys("gw-1"); !ok || err != nil || len(k.IDs()) != 1 || k.IDs()[0] != want.ID() {
		t.Errorf("after: %v, %v", ok, err)
	}
	if err := workspace.Enroll(c, f, "../x", paths[0], false); err == nil {
		t.Error("a path is taken for an id")
	}
	if _, ok, _ := f.DeviceKeys("../x"); ok {
		t.Error("a path leads to a key")
	}
}
