package board

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
)

// TestAdaptLine: a change of a line that is not in the reference script is an error, or a board would run what it does
// not know.
func TestAdaptLine(t *testing.T) {
	if _, err := adapt(ubootenv.Script(), [][2]string{{"no such line", ""}}); err == nil {
		t.Error("a change of a line that is not there is no error")
	}
	if got, err := adapt("a b a", [][2]string{{"a", "c"}}); err != nil || got != "c b c" {
		t.Errorf("%q, %v", got, err)
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
	if EnvCopy != 0x3ffb+5 {
		t.Error("the copies have another size than rt_load and rt_save think")
	}
	if _, err := ubootenv.Encode(flashEnvironment(x), flashEnv, -1); err != nil {
		t.Error(err)
	}
}

// TestOwnUBoot: the U-Boot that is built looks for its environment where the disk has it, and the script
// that it runs is the reference script but for lines marked BOARD.
func TestOwnUBoot(t *testing.T) {
	config, err := os.ReadFile("../../../../scripts/rig/uboot/config")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{fmt.Sprintf("CONFIG_ENV_SIZE=%#x\n", EnvCopy),
		fmt.Sprintf("CONFIG_ENV_OFFSET=%#x\n", EnvAt*image.Sector),
		fmt.Sprintf("CONFIG_ENV_OFFSET_REDUND=%#x\n", EnvAt*image.Sector+EnvCopy)} {
		if !strings.Contains(string(config), want) {
			t.Errorf("scripts/rig/uboot/config has no %q", want)
		}
	}
	script, err := arm64UBootOwn.Script(arm64UBootOwn)
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
