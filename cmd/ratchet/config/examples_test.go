package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
)

// TestExampleBoards: the program's own parser takes every board of docs/examples, and there is one for
// each backend. Files that the check itself reads are made.
func TestExampleBoards(t *testing.T) {
	missing := []string{"u-boot", "grub", "systemd-boot", "uefi", "hook"}
	boards, err := filepath.Glob("../../../docs/examples/board-*.toml")
	if err != nil || len(boards) < len(missing) {
		t.Fatalf("%d boards, %v", len(boards), err)
	}
	for _, path := range boards {
		t.Run(filepath.Base(path), func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			for name, text := range map[string]string{"machine-id": "0123456789abcdef\n",
				"release-version": "1.4.0\n"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c, err := config.Parse(path, []byte(regexp.MustCompile(`"/etc/`).ReplaceAllString(string(b), `"`+dir+"/")))
			if err != nil {
				t.Fatal(err)
			}
			if c.Device.Version != "1.4.0" || c.Device.ID == "" {
				t.Errorf("device %+v", c.Device)
			}
			if _, err := c.Rules(); err != nil {
				t.Error(err)
			}
			missing = slices.DeleteFunc(missing, func(backend string) bool { return backend == c.Boot.Backend })
			if !strings.Contains(path, "board-"+strings.ReplaceAll(c.Boot.Backend, "u-boot", "uboot")) {
				t.Errorf("its backend is %s", c.Boot.Backend)
			}
		})
	}
	if len(missing) > 0 {
		t.Errorf("docs/examples has no board for %v", missing)
	}
}
