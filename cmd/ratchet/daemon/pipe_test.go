package daemon_test

import (
	"strings"
	"syscall"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/control"
)

// A pipe that nobody writes to, in the place of a file that the configuration names, is a problem that people are told:
// the daemon answers.
func TestPipeForAFile(t *testing.T) {
	for name, change := range map[string][2]string{
		"trust.keys":       {`"DIR/release.pem"`, `"DIR/pipe"`},
		"device.id-file":   {`id = "box"`, `id-file = "DIR/pipe"`},
		"reset-cause-file": {`backend = "u-boot"`, "backend = \"u-boot\"\nreset-cause-file = \"DIR/pipe\""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.during(b.Config(), func(control.Status) {}) // leaves a last good configuration
			if err := syscall.Mkfifo(b.Path("pipe"), 0o600); err != nil {
				t.Fatal(err)
			}
			at := strings.NewReplacer("DIR", b.Dir)
			config := strings.Replace(b.Config(), at.Replace(change[0]), at.Replace(change[1]), 1)
			b.during(config, func(control.Status) {})
		})
	}
}
