//go:build interop

package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestInteropDemo plays the demo with the real parts: Mosquitto with TLS client certificates and the shipped access
// rules, a trust root with plans and pulses, loop devices as slots, ext4 file systems by mke2fs. fw_printenv reads the
// environment that is left. It needs root, the packages of scripts/deps.sh interop, and bin/ built.
func TestInteropDemo(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "ratchet-interop-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var out, errs bytes.Buffer
	// The demo's device calls this program back as its reboot command and health check.
	cmd := exec.CommandContext(context.Background(), filepath.Join(root, "bin", "ratchet-lab"), "demo",
		"--root", "--dir", dir, "--loop",
		"--mosquitto", filepath.Join(root, "transport", "mqtt", "example"))
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.String(), errs.String())
	}
	if !strings.Contains(out.String(), "images are ext4") || strings.Contains(out.String(), "DIFFERS") {
		t.Errorf("%s", out.String())
	}
	env, err := exec.Command("fw_printenv", "-c", filepath.Join(dir, "device", "etc", "fw_env.config")).CombinedOutput()
	if err != nil {
		t.Fatalf("fw_printenv: %v\n%s", err, env)
	}
	for _, want := range []string{"BOOT_ORDER=A", "BOOT_A_GOOD=1", "BOOT_B_GOOD=0"} {
		if !strings.Contains(string(env), want) {
			t.Errorf("fw_printenv does not say %s:\n%s", want, env)
		}
	}
}
