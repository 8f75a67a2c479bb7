package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The verb works in a factory: without a daemon, and it says what is missing.
func TestCounterVerb(t *testing.T) {
	b := newBox(t)
	try := func(config string, args ...string) (int, string) {
		path := filepath.Join(b.Dir, "counter.toml")
		if err := os.WriteFile(path, []byte(b.Config()+config), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		code := run(context.Background(), append(append([]string{"counter"}, args...), "--config", path),
			strings.NewReader(""), &out, &out)
		return code, out.String()
	}
	tpm := "\n[counter]\nkind = \"tpm2\"\ndevice = \"" + b.Path("no-tpm") + "\"\n"
	for _, c := range []struct {
		config string
		args   []string
		code   int
		want   string
	}{
		{"", nil, 0, "counter file is at 0"},
		{"", []string{"init"}, 1, "does not have to be made"},
		{tpm, nil, 1, "is there a TPM"},
		{tpm, []string{"init"}, 1, "is there a TPM"},
		{tpm, []string{"init", "--version", "4096"}, 1, "the maximum is 1024"},
		{tpm, []string{"--replace"}, 2, "not defined: -replace"},
		{tpm, []string{"init", "--auth-file", b.Path("none")}, 1, "no such file"},
	} {
		if code, out := try(c.config, c.args...); code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%v: %d, %s", c.args, code, out)
		}
	}
}
