package wire_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
	"github.com/ratchet-ota/ratchet/hal"
)

// TestLacks: what the daemon reads at its start only is said with its key while it is missing, and nothing is said of a
// device that has all.
func TestLacks(t *testing.T) {
	for key, file := range map[string]string{"": "", "slots.X.parts.rootfs": "x", "trust.keys": "release.pem"} {
		d := newDevice(t)
		d.put("x", "")
		d.put("y", "")
		if file != "" {
			if err := os.Remove(d.path(file)); err != nil {
				t.Fatal(err)
			}
		}
		errs := wire.Lacks(d.config(""))
		if key == "" && len(errs) > 0 || key != "" && (len(errs) != 1 || !strings.Contains(errs[0].Error(), key+": ")) {
			t.Errorf("without %q: %v", file, errs)
		}
	}
	d := newDevice(t)
	d.put("x", "")
	d.put("y", "")
	d.put("state", "") // no folder can be made there
	if errs := wire.Lacks(d.config("")); len(errs) == 0 {
		t.Error("a state directory that takes nothing is in order")
	}
}

// TestNothingIsWrittenIntoAnotherDirectory: what the agent keeps beside its journal is not written into a directory
// that has come in the place of the journal's.
func TestNothingIsWrittenIntoAnotherDirectory(t *testing.T) {
	d := newDevice(t)
	o, _, err := wire.Options(d.config(""), nil, discard)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Journal.Close()
	file := filepath.Join(o.StateDir, "quarantine.0")
	if err := hal.ReplaceFile(o.FS, file, []byte("mine")); err != nil || o.StateMoved() {
		t.Errorf("in its own directory: %v", err)
	}
	if err := os.Rename(o.StateDir, o.StateDir+".hidden"); err != nil {
		t.Fatal(err)
	}
	if !o.StateMoved() {
		t.Error("without a directory nothing is noticed")
	}
	if err := os.Mkdir(o.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("another's"), 0o600); err != nil {
		t.Fatal(err)
	}
	err = errors.Join(hal.ReplaceFile(o.FS, file, []byte("mine")), o.FS.Remove(file))
	if b, _ := os.ReadFile(file); err == nil || string(b) != "another's" || !o.StateMoved() {
		t.Errorf("%v; the other directory's file is %q", err, b)
	}
}

// TestMissingSlotsAreToldInOneWay: what is missing is told in the same words each time. Other words would look like
// something that is there now, and start the daemon once more.
func TestMissingSlotsAreToldInOneWay(t *testing.T) {
	d := newDevice(t) // the devices of both slots are missing
	c := d.config("")
	first := fmt.Sprint(wire.Lacks(c))
	if strings.Count(first, "slots.") != 2 {
		t.Fatal(first)
	}
	for range 50 {
		if again := fmt.Sprint(wire.Lacks(c)); again != first {
			t.Fatalf("%s, and then %s", first, again)
		}
	}
}
