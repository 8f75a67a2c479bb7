package wire_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
	"github.com/ratchet-ota/ratchet/hal/linux/tpm"
)

// device is a folder in which a device's files lie.
type device struct {
	t   *testing.T
	dir string
}

func newDevice(t *testing.T) device {
	t.Helper()
	d := device{t, t.TempDir()}
	s, err := trust.Generate(trust.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := s.Key().MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	d.put("release.pem", string(pub))
	return d
}

func (d device) path(name string) string { return filepath.Join(d.dir, name) }

func (d device) put(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(d.path(name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// least is a good configuration for the folder DIR.
const least = `[device]
id = "box"
vendor = ["example.com"]
class = ["gateway"]
[state]
directory = "DIR/state"
volatile = "allow"
[slots.X]
index = 1
parts = { rootfs = "DIR/x" }
[slots]
Y = { index = 0, parts = { rootfs = "DIR/y" } }
[boot]
backend = "grub"
grubenv = "DIR/grubenv"
[trust]
keys = ["DIR/release.pem"]
`

// config is a good configuration, and more below it.
func (d device) config(more string) *config.Config {
	d.t.Helper()
	c, err := config.Parse("ratchet.toml", []byte(strings.ReplaceAll(least+more, "DIR", d.dir)))
	if err != nil {
		d.t.Fatal(err)
	}
	return &c
}

var discard = slog.New(slog.DiscardHandler)

// TestOptions: a device that is made for the first time gets its slots by index, a journal and a key; the
// same key at the next start.
func TestOptions(t *testing.T) {
	d := newDevice(t)
	var key string
	for _, start := range []string{"first", "second"} {
		o, fleet, err := wire.Options(d.config(""), nil, discard)
		if err != nil || len(o.Safe) > 0 || fleet == nil || o.Inbox != nil || o.JournalLost != reason.None {
			t.Fatalf("%s start: %v, safe %q", start, err, o.Safe)
		}
		if o.Slots[0].Name != "Y" || o.Slots[1].Name != "X" ||
			o.Slots[1].Index != 1 || o.Slots[1].Parts["rootfs"] != d.path("x") {
			t.Errorf("%s start: slots %+v", start, o.Slots)
		}
		pub, err := os.ReadFile(d.path("state/device.pem"))
		if err != nil {
			t.Fatal(err)
		}
		if k, err := trust.ParsePublic(pub); err != nil || k.ID() != o.Signer.Key().ID() || key != "" && key != k.ID() {
			t.Errorf("%s start: the key beside the device's is not its public half, or was made again: %v", start, err)
		} else {
			key = k.ID()
		}
		if err := o.Journal.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOptionsBad: what the device boots by is an error; what it can do without puts it into boot-safe
// mode or is logged.
func TestOptionsBad(t *testing.T) {
	for _, tt := range []struct {
		name, more string
		ruin       func(device)
		// parts of them, "": none
		err, safe, log, problem string
	}{
		{name: "slots with one index", err: "index"},
		{name: "no release key", ruin: func(d device) { _ = os.Remove(d.path("release.pem")) },
			safe: "release.pem", log: "trust anchors are bad"},
		{name: "state is a file",
			ruin: func(d device) { d.put("state", "") }, safe: "state directory", log: "no device key"},
		{name: "bad broker", more: "[mqtt]\nurl = \"mqtt://broker\"\n", log: "no connection to the fleet",
			problem: "mqtt.url: "},
		{name: "bad decryption key", more: "decryption-keys = [\"DIR/nothing.pem\"]\n",
			log: "encrypted images cannot be installed"},
		{name: "bad health check", more: "[health]\ncommand = [{run = [\"true\"]}]\n", safe: "absolute path"},
		{name: "no watchdog", more: "[health]\nwatchdog = \"DIR/watchdog9\"\n", problem: "health.watchdog: "},
	} {
		d := newDevice(t)
		var c *config.Config
		if tt.name == "slots with one index" {
			c = d.config("")
			one := 1
			c.Slots["Y"] = config.Slot{Index: &one}
		} else {
			c = d.config(tt.more)
		}
		if tt.ruin != nil {
			tt.ruin(d)
		}
		var log bytes.Buffer
		o, _, err := wire.Options(c, []string{"said before"}, slog.New(slog.NewTextHandler(&log, nil)))
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v", tt.name, err)
		}
		added := strings.Join(o.Safe[1:], "; ")
		if o.Safe[0] != "said before" || tt.safe == "" != (added == "") || !strings.Contains(added, tt.safe) {
			t.Errorf("%s: boot-safe because %q", tt.name, o.Safe)
		}
		if tt.log == "" != !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), tt.log) {
			t.Errorf("%s: %s", tt.name, log.String())
		}
		problems := ""
		if o.Problems != nil {
			for _, p := range o.Problems() {
				problems += p.Text + "; "
			}
		}
		if tt.problem == "" != (problems == "") || !strings.Contains(problems, tt.problem) {
			t.Errorf("%s: the problem %q", tt.name, problems)
		}
		if o.Journal != nil {
			_ = o.Journal.Close()
		}
	}
}

// TestDeviceKeyIsLeft: a key that is there and cannot be read is never replaced: it may be the one that was enrolled.
func TestDeviceKeyIsLeft(t *testing.T) {
	d := newDevice(t)
	if err := os.Mkdir(d.path("state"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"no key", strings.Repeat("x", 64<<10+1)} {
		d.put("state/device.key", text)
		var log bytes.Buffer
		o, _, err := wire.Options(d.config(""), nil, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil || o.Signer != nil || !strings.Contains(log.String(), "evidence.key: ") {
			t.Errorf("%d bytes: %v, signer %v, %s", len(text), err, o.Signer, log.String())
		}
		_ = o.Journal.Close()
		if after, err := os.ReadFile(d.path("state/device.key")); err != nil || string(after) != text {
			t.Errorf("%d bytes: the key was replaced: %v", len(text), err)
		}
	}
}

// TestDeviceKeyElsewhere: a key on a file system that is not mounted yet is not made a second time, neither where the
// folder is not there nor where the mount point is empty; it is missing until it is there.
func TestDeviceKeyElsewhere(t *testing.T) {
	d := newDevice(t)
	for _, name := range []string{"x", "y"} {
		d.put(name, "")
	}
	c := d.config("[evidence]\nkey = \"DIR/keys/device.key\"\n")
	start := func(when string, want bool) (id string) {
		t.Helper()
		lacks := len(wire.Lacks(c)) > 0 // as the daemon does, before it reads
		o, _, err := wire.Options(c, nil, discard)
		if err != nil || (o.Signer != nil) != want || lacks == want {
			t.Fatalf("%s: %v, signer %v, missing %v", when, err, o.Signer, lacks)
		}
		if err := o.Journal.Close(); err != nil || !want {
			return ""
		}
		return o.Signer.Key().ID()
	}
	move := func(from, to string) {
		if err := os.Rename(d.path(from), d.path(to)); err != nil {
			t.Fatal(err)
		}
	}
	start("without the folder", false)
	if err := os.Mkdir(d.path("keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	first := start("at the first start", true)
	move("keys", "away")
	start("without the mount point", false)
	if err := os.Mkdir(d.path("keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	start("with an empty mount point", false)
	if err := os.Remove(d.path("keys")); err != nil {
		t.Fatal(err)
	}
	move("away", "keys")
	if again := start("when it is mounted", true); again != first {
		t.Errorf("another key is used: %s, not %s", again, first)
	}
	// A new one, when a person says so.
	for _, name := range []string{"keys/device.key", "state/device-elsewhere.pem"} {
		if err := os.Remove(d.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	if again := start("after it was given up", true); again == first {
		t.Error("no new key was made")
	}
}

// TestDeviceKeyIsMade: one in the state directory, however that is written, is made anew when it is gone.
func TestDeviceKeyIsMade(t *testing.T) {
	d := newDevice(t)
	c := d.config("")
	c.State.Directory += "//."
	for range 2 {
		o, _, err := wire.Options(c, nil, discard)
		if err != nil || o.Signer == nil {
			t.Fatalf("signer %v, %v", o.Signer, err)
		}
		if err := errors.Join(o.Journal.Close(), os.Remove(d.path("state/device.key"))); err != nil {
			t.Fatal(err)
		}
	}
}

// TestJournal: one that another daemon has is left alone; one that is corrupt is set aside, and its loss is known.
func TestJournal(t *testing.T) {
	d := newDevice(t)
	o, _, err := wire.Options(d.config(""), nil, discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := wire.Options(d.config(""), nil, discard); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("a second daemon: %v", err)
	}
	if err := o.Journal.Close(); err != nil {
		t.Fatal(err)
	}
	d.put("state/journal.db", strings.Repeat("no journal ", 1000))
	o, _, err = wire.Options(d.config(""), nil, discard)
	if err != nil || o.JournalLost != reason.JournalLost || o.Journal == nil || len(o.Safe) > 0 {
		t.Fatalf("a corrupt journal: %v, lost %q, safe %q", err, o.JournalLost, o.Safe)
	}
	_ = o.Journal.Close()
	if aside, _ := filepath.Glob(d.path("state/journal.db.corrupt-*")); len(aside) != 1 {
		t.Errorf("set aside: %v", aside)
	}
}

// TestMetered: the link is metered while the file says so, and not without the file.
func TestMetered(t *testing.T) {
	d := newDevice(t)
	o, _, err := wire.Options(d.config("[policy]\nmetered-file = \"DIR/metered\"\n"), nil, discard)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Journal.Close()
	for _, tt := range []struct {
		text string
		want bool
	}{{"yes\n", true}, {"1", true}, {" true ", true}, {"no", false}, {"", false}, {"yes please", false}} {
		if d.put("metered", tt.text); o.Metered() != tt.want {
			t.Errorf("%q: metered %v", tt.text, !tt.want)
		}
	}
	if err := os.Remove(d.path("metered")); err != nil {
		t.Fatal(err)
	}
	if o.Metered() {
		t.Error("metered without the file")
	}
}

func TestSocketMode(t *testing.T) {
	for text, want := range map[string]os.FileMode{"": 0o660, "0600": 0o600, "777": 0o777, "1777": 0, "rw": 0} {
		var c config.Config
		c.Control.SocketMode = text
		if got, err := wire.SocketMode(&c); got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %o, %v", text, got, err)
		}
	}
}

// TestCounter: the file's counter begins at nothing; without a TPM none can be made, and that is said.
func TestCounter(t *testing.T) {
	d := newDevice(t)
	if err := os.Mkdir(d.path("state"), 0o700); err != nil {
		t.Fatal(err)
	}
	if v, err := wire.Counter(d.config("")).Read(t.Context()); err != nil || v != 0 {
		t.Errorf("counter %d, %v", v, err)
	}
	var how tpm.Provision
	made, err := wire.MakeCounter(t.Context(), d.config(""), how, "")
	if made || err == nil || !strings.Contains(err.Error(), "does not have to be made") {
		t.Errorf("made %v, %v", made, err)
	}
	inTPM := "[counter]\nkind = \"tpm2\"\ndevice = \"DIR/no-tpm\"\n"
	for n, want := range map[int]string{64: "is there a TPM", 65: "more than 64 bytes"} {
		d.put("password", strings.Repeat("x", n)+"\n")
		made, err := wire.MakeCounter(t.Context(), d.config(inTPM), how, d.path("password"))
		if made || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a password of %d bytes: made %v, %v", n, made, err)
		}
	}
}

// TestCheckNamesTheKey: what is wrong beyond the grammar is said with the line of its key, by the check as by the
// daemon.
func TestCheckNamesTheKey(t *testing.T) {
	hook := func(more string) func(string) string {
		return func(s string) string {
			return strings.Replace(s, "backend = \"grub\"", "backend = \"hook\"\n"+more, 1)
		}
	}
	uefi := func(numbers string) func(string) string {
		return func(s string) string {
			return strings.Replace(s, "backend = \"grub\"", "backend = \"uefi\"\nload-options = "+numbers, 1)
		}
	}
	swap := func(old, other string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, other, 1) }
	}
	for _, tt := range []struct {
		name, more string
		edit       func(string) string
		want       string
	}{
		{name: "two slots with one index", edit: swap("index = 0", "index = 1"),
			want: `12: slots.Y.index: one slot has index 0`},
		{name: "a component in one slot", edit: swap(`{ rootfs = "DIR/y" }`, `{ rootfs = "DIR/y", boot = "DIR/b" }`),
			want: `10: slots.X.parts.boot: missing: slot Y has the component boot`},
		{name: "no hook", edit: hook(""), want: `13: boot.hook: missing`},
		{name: "relative hook", edit: hook(`hook = "bin/hook"`), want: `15: boot.hook: "bin/hook" is not an absolute`},
		{name: "no such hook", edit: hook(`hook = "DIR/hook"`), want: `15: boot.hook: cannot run it`},
		{name: "relative grubenv", edit: swap(`"DIR/grubenv"`, `"grubenv"`),
			want: `15: boot.grubenv: "grubenv" is not an absolute path`},
		{name: "too many tries", edit: swap(`grubenv =`, "tries = 10\ngrubenv ="),
			want: `15: boot.tries: 10 is not 1 to 9`},
		{name: "no hexadecimal number", edit: uefi(`{ X = "11" }`), want: `15: boot.load-options.X: "11" is not four`},
		{name: "no such slot", edit: uefi(`{ C = "0011" }`), want: `15: boot.load-options.C: there is no slot C`},
		{name: "one number twice", edit: uefi(`{ X = "0011", Y = "0011" }`),
			want: `15: boot.load-options.Y: slot X has the number 0011 already`},
		{name: "no environment", edit: swap(`"grub"`, `"u-boot"`), more: "[log]\n",
			want: `13: boot.fw-env-config: open /etc/fw_env.config`},
		{name: "two copies in one place", edit: func(s string) string {
			return swap(`"grub"`, `"u-boot"`)(swap(`grubenv = "DIR/grubenv"`, `copies = [{ path = "DIR/release.pem", `+
				`size = 1024 }, { path = "/proc/self/rootDIR/release.pem", size = 1024 }]`)(s))
		}, want: `13: boot: the copies overlap: DIR/release.pem`},
		{name: "no release key", edit: swap("release.pem", "nobody.pem"), want: `17: trust.keys: open `},
		{name: "one key twice", edit: swap(`["DIR/release.pem"]`, `["DIR/release.pem", "DIR/release.pem"]`),
			want: `17: trust.keys: `},
		{name: "public decryption key", more: "decryption-keys = [\"DIR/release.pem\"]\n",
			want: `18: trust.decryption-keys: DIR/release.pem is a public key`},
		{name: "no root", edit: swap("keys =", "root = \"DIR/root.cbor\" #"), want: `17: trust.root: cannot open `},
		{name: "a key as root", edit: swap("keys =", "root = \"DIR/release.pem\" #"),
			want: `17: trust.root: DIR/release.pem is in PEM, as keys are: name the bundle of roots`},
		{name: "journal", edit: swap("directory =", "journal-bytes = 5\ndirectory ="),
			want: `6: state.journal-bytes: cannot use a journal of 5 bytes`},
		{name: "no root file system", edit: swap("{ rootfs = \"DIR/x\" }", "{}"),
			want: `10: slots.X.parts.rootfs: missing: slot Y has the component rootfs`},
		{name: "another root file system", more: "[running]\nroot-component = \"system\"\n",
			want: `12: slots.Y.parts.system: missing: running.root-component is mounted at /`},
		{name: "CA of images", more: "[http]\nca = \"DIR/nothing.pem\"\n", want: `19: http.ca: `},
		{name: "limit", more: "[http]\nlimit-bytes-per-second = 7\n", want: `19: http.limit-bytes-per-second: `},
		{name: "plain origin", more: "[http]\nallow-plain = [\"ftp://x\"]\n", want: `19: http.allow-plain: `},
		{name: "token", more: "[[http.credentials]]\norigin = \"https://x\"\nbearer-file = \"DIR/token\"\n",
			want: `20: http.credentials[1].bearer-file: open `},
		{name: "origin", more: "[[http.credentials]]\norigin = \"x\"\n", want: `19: http.credentials[1].origin: `},
		{name: "proxy", more: "[proxy]\nurl = \"socks5://p\"\n",
			want: `19: proxy.url: cannot use proxy: scheme "socks5"`},
		{name: "list without a proxy", more: "[proxy]\nno-proxy = [\"*\"]\n", want: `19: proxy.no-proxy: `},
		{name: "list", more: "[proxy]\nurl = \"http://p\"\nno-proxy = [\"a/b\"]\n", want: `20: proxy.no-proxy: `},
		{name: "password of no proxy", more: "[proxy]\nurl = \"http://p\"\npassword-file = \"DIR/x\"\n",
			want: `20: proxy.password-file: `},
		{name: "password for the proxy",
			more: "[proxy]\nurl = \"http://p\"\nusername = \"u\"\npassword-file = \"DIR/none\"\n",
			want: `21: proxy.password-file: open `},
		{name: "CA of the proxy", more: "[proxy]\nurl = \"https://p\"\nca = \"DIR/none\"\n", want: `20: proxy.ca: `},
		{name: "plain broker", more: "[mqtt]\nurl = \"mqtt://broker\"\n",
			want: `19: mqtt.url: cannot use broker: mqtt:// is not encrypted; use mqtts://, or set allow-plain = true`},
		{name: "CA of the broker", more: "[mqtt]\nurl = \"mqtts://broker\"\nca = \"DIR/ca.pem\"\n",
			want: `20: mqtt.ca: `},
		{name: "half a pair",
			more: "[mqtt]\nurl = \"mqtts://broker\"\nkey = \"DIR/k.pem\"\n", want: `20: mqtt.key: `},
		{name: "channel", more: "[mqtt]\nurl = \"mqtts://broker\"\nchannel = \"a/b\"\n", want: `20: mqtt.channel: `},
		{name: "keep-alive", more: "[mqtt]\nurl = \"mqtts://broker\"\nkeep-alive = \"1s\"\n",
			want: `20: mqtt.keep-alive: `},
		{name: "password of nobody", more: "[mqtt]\nurl = \"mqtts://broker\"\npassword-file = \"x\"\n",
			want: `20: mqtt.password-file: `},
		{name: "no password", more: "[mqtt]\nurl = \"mqtts://b\"\nusername = \"u\"\npassword-file = \"DIR/none\"\n",
			want: `21: mqtt.password-file: open `},
		{name: "late soak", more: "[health]\nsoak = \"1h\"\n",
			want: `19: health.soak: the deadline (10m0s) must be later`},
		{name: "early deadline", more: "[health]\ndeadline = \"1s\"\n", want: `19: health.deadline: `},
		{name: "relative command", more: "[[health.command]]\nrun = [\"true\"]\n",
			want: `19: health.command[1].run: want an absolute path`},
		{name: "two checks of one name",
			more: "[[health.tcp]]\naddress = \"a:1\"\n[[health.tcp]]\naddress = \"b:1\"\nname = \"tcp a:1\"\n",
			want: `22: health.tcp[2].name: two checks are named "tcp a:1"`},
		{name: "short unit", more: "[health]\nunits = [\"sshd\"]\n", want: `19: health.units: `},
		{name: "broker of nobody", more: "[health]\nbroker = true\n",
			want: `19: health.broker: there is no table [mqtt]`},
		{name: "relative socket", more: "[control]\nsocket = \"s\"\n",
			want: `19: control.socket: want an absolute path`},
		{name: "long socket", more: "[control]\nsocket = \"/" + strings.Repeat("x", 120) + "\"\n",
			want: `19: control.socket: the path has 121 bytes, and that of a socket has at most 107`},
		{name: "password in an origin", more: "[[http.credentials]]\norigin = \"https://user:hunter2@x\"\n",
			want: `19: http.credentials[1].origin: cannot use credentials for "https://x": need`},
		{name: "password in a plain origin", more: "[http]\nallow-plain = [\"http://user:hunter2@x?t=hunter2\"]\n",
			want: `19: http.allow-plain: cannot allow plain origin "http://x": need`},
		{name: "few boots", edit: swap("backend =", "max-trial-boots = 2\nbackend ="),
			want: `14: boot.max-trial-boots: 2 is less than boot.tries (3)`},
		{name: "little evidence", more: "[evidence]\nbytes = -5\n", want: `19: evidence.bytes: -5 is less than 4096`},
		{name: "loud", more: "[log]\nlevel = \"loud\"\n", want: `19: log.level: "loud" is not one of debug`},
		{name: "vendor", edit: swap("example.com", "Example.com"),
			want: `3: device.vendor: "Example.com" is not a domain name in lower case`},
		{name: "class", edit: swap("gateway", "gate\\u0007way"), want: `4: device.class: `},
		{name: "mode", more: "[control]\nmode = \"rw\"\n", want: `19: control.mode: "rw" is not an octal mode`},
	} {
		d := newDevice(t)
		text := least + tt.more
		if tt.edit != nil {
			text = tt.edit(text)
		}
		c, err := config.Parse("ratchet.toml", []byte(strings.ReplaceAll(text, "DIR", d.dir)))
		if err == nil {
			err = wire.Check(&c)
		}
		want := strings.ReplaceAll("ratchet.toml:"+tt.want, "DIR", d.dir)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %q", tt.name, err, want)
		}
	}
}
