package demo_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/demo"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/stage"
)

// TestCheckHealth: the system that runs is sick when its image says so, and when there is none.
func TestCheckHealth(t *testing.T) {
	dir := t.TempDir()
	slot := filepath.Join(dir, "slot")
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := demo.CheckHealth(dir); err == nil {
		t.Error("a device without a system is healthy")
	}
	write(filepath.Join(dir, "run", "root-device"), slot+"\n")
	if err := demo.CheckHealth(dir); err == nil {
		t.Error("a device without an image is healthy")
	}
	write(slot, "an image")
	if err := demo.CheckHealth(dir); err != nil {
		t.Error(err)
	}
	write(slot, "an image with ratchet-demo-health=sick in it")
	if err := demo.CheckHealth(dir); err == nil || err.Error() != "the demo's service does not answer" {
		t.Errorf("%v", err)
	}
}

// TestPressButton: the button is a file of the device, and there is none without a device.
func TestPressButton(t *testing.T) {
	dir := t.TempDir()
	if err := demo.PressButton(dir); err == nil {
		t.Error("a button without a device can be pressed")
	}
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := demo.PressButton(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "run", "button")); err != nil {
		t.Error(err)
	}
}

// TestWithoutPrograms: a run without the programs says which is missing, and leaves nothing running.
func TestWithoutPrograms(t *testing.T) {
	var out bytes.Buffer
	dir := t.TempDir()
	d := demo.New(&stage.Stage{Dir: dir, Bin: dir, Out: &out, Began: time.Now()},
		demo.Options{Size: 32 << 20, KeepAlive: time.Second})
	err := d.Run(t.Context())
	d.Close()
	if err == nil || !strings.Contains(err.Error(), "ratchet-release init") ||
		!strings.Contains(out.String(), "== Setting up") || d.Table() {
		t.Errorf("%v\n%s", err, out.String())
	}
}
