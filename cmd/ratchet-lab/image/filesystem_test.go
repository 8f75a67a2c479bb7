package image_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
)

// TestFilesystemReproducible: the same tree makes the same bytes, whenever and by whomever.
func TestFilesystemReproducible(t *testing.T) {
	for _, name := range []string{"mke2fs", "debugfs"} {
		if _, ok := image.Find(name); !ok {
			t.Skipf("%s is not installed (scripts/deps.sh rig)", name)
		}
	}
	dir := t.TempDir()
	for _, journal := range []bool{false, true} {
		var images [2][]byte
		for i := range images {
			out := filepath.Join(dir, "x.img")
			err := image.Ext4(t.Context(), out, 8<<20, 9, journal, []string{"dev"},
				map[string]image.File{"a/b": {Text: "hello\n"}, "c": {Text: "x", Mode: 0o755}})
			if err != nil {
				t.Fatal(err)
			}
			if images[i], err = os.ReadFile(out); err != nil {
				t.Fatal(err)
			}
			time.Sleep(1100 * time.Millisecond) // the clock of file systems
		}
		if !bytes.Equal(images[0], images[1]) {
			t.Errorf("journal %v: two images of one tree differ", journal)
		}
	}
}
