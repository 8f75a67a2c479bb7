package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl/grubenv"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
)

// TestAdapt: the reference scripts are those that the rig adapts, in every line marked BOARD and
// wherever a board's own saveenv is meant.
func TestAdapt(t *testing.T) {
	for _, x := range targets() {
		script, err := x.script(x)
		if err != nil {
			t.Fatal(err)
		}
		for _, old := range []string{"mmc", "/dev/sda", "panic=10"} {
			if strings.Contains(script, old) {
				t.Errorf("%s: %q is still in the script", x.name, old)
			}
		}
		for _, l := range strings.Split(script, "\n") {
			if x.name == "arm64-uboot" && !strings.HasPrefix(l, "#") && strings.Contains(l, "saveenv") {
				t.Errorf("%s: %q", x.name, l)
			}
		}
	}
	if _, err := adapt(ubootenv.Script(), [][2]string{{"no such line", ""}}); err == nil {
		t.Error("a change of a line that is not there is no error")
	}
	if strings.Count(ubootenv.Script(), "BOARD") < 5 || strings.Count(grubenv.Script(), "BOARD") < 4 {
		t.Error("the reference scripts do not mark the lines to adapt")
	}
}

// TestDiskLayout: partitions follow each other, aligned, within the disk.
func TestDiskLayout(t *testing.T) {
	for _, x := range targets() {
		next := x.parts[0].start // an EFI system partition may stand last, and none first
		if next != bootStart && next != slotAt {
			t.Errorf("%s: the first partition is at %d", x.name, next)
		}
		for _, p := range x.parts {
			if p.start != next || p.start%8 != 0 || p.size%8 != 0 {
				t.Errorf("%s: partition %s at %d, want %d", x.name, p.name, p.start, next)
			}
			next = p.start + p.size
		}
		if (next+34)*image.Sector > diskSize {
			t.Errorf("%s: the disk is too small", x.name)
		}
	}
}

// TestFlashEnvironment: what rt_save writes is what the constants in rt_load read.
func TestFlashEnvironment(t *testing.T) {
	x := arm64UBoot
	env := strings.Join(flashEnvironment(x), "\n")
	for _, hex := range []string{"3ffb", "3fff"} { // envCopy without CRC and serial; with CRC
		if !strings.Contains(env, hex) {
			t.Errorf("%s is not in the environment", hex)
		}
	}
	if envCopy != 0x3ffb+5 {
		t.Error("the copies have another size than rt_load and rt_save think")
	}
	if _, err := ubootenv.Encode(flashEnvironment(x), flashEnv, -1); err != nil {
		t.Error(err)
	}
}

// TestOwnUBoot: the U-Boot that is built looks for its environment where the disk has it, and the script
// that it runs is the reference script but for lines marked BOARD.
func TestOwnUBoot(t *testing.T) {
	config, err := os.ReadFile("../../scripts/rig/uboot/config")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{fmt.Sprintf("CONFIG_ENV_SIZE=%#x\n", envCopy), fmt.Sprintf("CONFIG_ENV_OFFSET=%#x\n", envAt*image.Sector),
		fmt.Sprintf("CONFIG_ENV_OFFSET_REDUND=%#x\n", envAt*image.Sector+envCopy)} {
		if !strings.Contains(string(config), want) {
			t.Errorf("scripts/rig/uboot/config has no %q", want)
		}
	}
	script, err := arm64UBootOwn.script(arm64UBootOwn)
	if err != nil {
		t.Fatal(err)
	}
	ours, reference := strings.Split(script, "\n"), strings.Split(ubootenv.Script(), "\n")
	if len(ours) != len(reference) {
		t.Fatalf("%d lines, the reference has %d", len(ours), len(reference))
	}
	for i, l := range reference {
		if ours[i] != l && !strings.Contains(l, "BOARD") {
			t.Errorf("%q was %q", ours[i], l)
		}
	}
}
