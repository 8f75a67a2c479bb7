package daemon_test

import (
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/control"
)

// TestResetCauseIsRead: what the board, or the bootloader, says of the last start is read as the configuration says
// where, and shown; what makes no sense is unknown.
func TestResetCauseIsRead(t *testing.T) {
	b := newBox(t)
	with := strings.Replace(b.Config(), "[boot]\n", "[boot]\nreset-cause-file = \""+b.Path("cause")+"\"\n", 1)
	for _, c := range []struct{ config, file, cmdline, want, says string }{
		{with, "power-on PMIC: VSYS\n", "", "power-on", `cause says "power-on PMIC: VSYS"`},
		{with, "watchdog\n", " ratchet.reset=power-on", "watchdog", "cause says"},
		{with, "garbage\n", " ratchet.reset=power-on", "unknown", "garbage"},
		{b.Config(), "power-on\n", " ratchet.reset=gremlins", "", "gremlins"},
	} {
		b.write("cause", c.file)
		b.write("cmdline", "ro ratchet.slot=A"+c.cmdline+"\n")
		b.during(c.config, func(st control.Status) {
			// Without a file the machine that the test runs on has a say too: it is never a loss of power here.
			if c.want == "" && st.Reset.Cause == "power-on" || c.want != "" &&
				(st.Reset.Cause != c.want || !strings.Contains(st.Reset.Source, c.says)) {
				t.Errorf("%q, %q: %+v, want %s for %q", c.file, c.cmdline, st.Reset, c.want, c.says)
			}
		})
	}
}
