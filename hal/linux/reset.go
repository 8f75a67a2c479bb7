//go:build linux

package linux

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/hal"
)

// Reset tells why this machine was started, from what the board, the bootloader and the kernel say.
//
// Only what nobody contradicts is a loss of power: a source that says anything else, or that makes no sense, takes
// precedence. A driver that cannot tell (bootstatus 0, "unknown reason") says nothing.
type Reset struct {
	// File is the board's own word. When it is set, no other source is asked, but for records of panics.
	File string
	// Cmdline holds the kernel's command line, "" for /proc/cmdline.
	Cmdline string
	// Root is where /sys, /proc and /var are, "" for "/".
	Root string
}

const (
	resetKey    = "ratchet.reset" // on the kernel command line
	maxSays     = 120             // bytes of a source that are shown
	maxArchived = 1024            // panic records that are looked at
)

// claim is what one source says. Without a kind it contradicts every other.
type claim struct {
	kind   hal.ResetKind
	source string
}

// weight orders claims: what speaks against a loss of power comes first.
func (c claim) weight() int {
	return slices.Index([]hal.ResetKind{hal.ResetPowerOn, "", hal.ResetSoftware, hal.ResetWatchdog, hal.ResetPanic},
		c.kind)
}

// Cause reads what the machine says now. It never fails: what cannot be read is unknown.
func (r Reset) Cause() hal.ResetCause {
	out := hal.ResetCause{Kind: hal.ResetUnknown, Panics: r.panics()}
	if r.File != "" {
		c := fileClaim(r.File)
		out.Source = c.source
		if c.kind != "" {
			out.Kind = c.kind
		}
		return out
	}
	best := claim{}
	for _, c := range slices.Concat(r.loader(), r.chip(), r.watchdogs()) {
		if best.source == "" || c.weight() > best.weight() {
			best = c
		}
	}
	out.Source = best.source
	if best.kind != "" {
		out.Kind = best.kind
	}
	return out
}

//go:noinline
func (r Reset) path(elem ...string) string {
	return filepath.Join(append([]string{"/", r.Root}, elem...)...)
}

// shown is a source's text as people may see it.
func shown(s string) string { return strconv.Quote(s[:min(len(s), maxSays)]) }

// fileClaim: the first word is the kind; what follows is for people.
func fileClaim(path string) claim {
	text, err := readSmall(path)
	if err != nil {
		return claim{source: err.Error()}
	}
	text = strings.TrimSpace(text)
	word, _, _ := strings.Cut(strings.ReplaceAll(text, "\n", " "), " ")
	kind, ok := hal.ParseReset(word)
	c := claim{kind, filepath.Base(path) + " says " + shown(text)}
	if !ok {
		c.kind = ""
	}
	return c
}

// loader is what the bootloader says on the kernel command line.
func (r Reset) loader() []claim {
	line, err := readSmall(orDefault(r.Cmdline, r.path("proc/cmdline")))
	if err != nil {
		return nil
	}
	word, err := parameter(line, resetKey)
	if err != nil {
		return []claim{{source: err.Error()}}
	}
	kind, ok := hal.ParseReset(word)
	switch source := "the bootloader says " + shown(word); {
	case word == "" || ok && kind == hal.ResetUnknown:
		return nil
	case !ok:
		return []claim{{source: source}}
	default:
		return []claim{{kind, source}}
	}
}

// chip is what a driver of the chip's reset controller says (Documentation/ABI/testing/sysfs-platform-power-on-reason,
// Linux 6.5).
func (r Reset) chip() (out []claim) {
	files, _ := filepath.Glob(r.path("sys/bus/platform/devices/*/power_on_reason"))
	for _, f := range files {
		text, err := readSmall(f)
		text = strings.TrimSpace(text)
		c := claim{source: filepath.Base(filepath.Dir(f)) + " says " + shown(text)}
		switch text {
		case "unknown reason":
			continue
		case "regular power-up", "brown-out reset":
			c.kind = hal.ResetPowerOn
		case "watchdog timeout":
			c.kind = hal.ResetWatchdog
		case "software reset":
			c.kind = hal.ResetSoftware
		}
		if err != nil {
			c = claim{source: err.Error()}
		}
		out = append(out, c)
	}
	return out
}

// watchdogs is what their drivers found at boot (Documentation/ABI/testing/sysfs-class-watchdog).
func (r Reset) watchdogs() (out []claim) {
	files, _ := filepath.Glob(r.path("sys/class/watchdog/watchdog*/bootstatus"))
	for _, f := range files {
		text, err := readSmall(f)
		text = strings.TrimSpace(text)
		name := filepath.Base(filepath.Dir(f))
		bits, bad := strconv.ParseUint(text, 0, 32)
		c := claim{source: name + " says " + shown(text)}
		switch {
		case err != nil:
			c.source = err.Error()
		case bad != nil:
		case bits == unix.WDIOF_POWERUNDER:
			c = claim{hal.ResetPowerOn, name + " found too little power"}
		case bits&unix.WDIOF_CARDRESET != 0:
			c = claim{hal.ResetWatchdog, name + " reset the machine"}
		case bits == 0:
			continue
		}
		out = append(out, c)
	}
	return out
}

// panics counts the records of kernel panics in pstore, and in the archive that systemd-pstore makes of it.
func (r Reset) panics() (p hal.Panics) {
	for _, pattern := range []string{"sys/fs/pstore/dmesg*", "var/lib/systemd/pstore/dmesg*",
		"var/lib/systemd/pstore/*/dmesg*", "var/lib/systemd/pstore/*/*/dmesg*"} {
		files, _ := filepath.Glob(r.path(pattern))
		for _, f := range files[:min(len(files), maxArchived)] {
			st, err := os.Stat(f)
			if err != nil || orderly(f) {
				continue
			}
			p.Count++
			p.Newest = max(p.Newest, st.ModTime().UnixNano())
		}
	}
	return p
}

// orderly: the kernel can be told to leave a record of each shutdown, too. The first lines say why it is there
// (fs/pstore/platform.c); a record that does not is taken for a panic's.
func orderly(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, 80)
	n, _ := f.Read(b)
	head := string(b[:n])
	for _, why := range []string{"Shutdown", "Restart", "Halt", "Poweroff", "Unload"} {
		if at := strings.Index(head, why+"#"); at >= 0 && (at == 0 || head[at-1] == '\n') {
			return true
		}
	}
	return false
}
