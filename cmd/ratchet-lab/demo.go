package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
)

const demoUsage = `ratchet-lab demo [--keep] [--dir DIR] [--bin DIR] [--verbose] [--keep-alive TIME]
                 [--mosquitto DIR] [--loop] [--size MIB] [--root]

Plays the whole main job on this machine: an MQTT broker (TLS 1.3, client certificates) and an image
server on loopback, the release desk, and a device made of files, whose slots are booted by a model
of U-Boot from a real environment and whose agent is the real "ratchet daemon" in its own process.
Needs no root and no network. Prints a timeline, then a table of what was expected and observed.

  --keep      leave everything running afterwards, to play with, until Ctrl-C
  --dir DIR   where to put it (default: a new temporary directory, removed at the end)
  --bin DIR   where the programs ratchet and ratchet-release are (default: beside this one)
  --verbose   show what the desk's commands print
  --keep-alive TIME   of the device's connection to the broker (default 30s)
  --mosquitto DIR     use the installed Mosquitto, with the example configuration in DIR, instead of the embedded broker
  --loop              put the slots on loop devices (root)
  --size MIB          of an image, 32 to 4096 (default 32)
  --root              give the device a trust root, so that each release needs a campaign plan and a pulse

Exit codes: 0 all as expected, 1 something differs, 2 usage.
`

func runDemo(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("demo", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	keep := f.Bool("keep", false, "")
	dir := f.String("dir", "", "")
	bin := f.String("bin", "", "")
	verbose := f.Bool("verbose", false, "")
	keepAlive := f.Duration("keep-alive", 30*time.Second, "")
	mosquitto := f.String("mosquitto", "", "")
	loop := f.Bool("loop", false, "")
	mib := f.Int64("size", 32, "")
	rooted := f.Bool("root", false, "")
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, demoUsage)
		return 0
	} else if err != nil || f.NArg() > 0 || *mib < 32 || *mib > 4096 {
		fmt.Fprintf(stderr, "ratchet-lab demo: unexpected arguments %q\n%s", args, demoUsage)
		return 2
	}
	if *bin == "" {
		self, err := os.Executable()
		if err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		*bin = filepath.Dir(self)
	}
	if *dir == "" {
		tmp, err := os.MkdirTemp("", "ratchet-demo-")
		if err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		*dir = tmp
		if !*keep {
			defer os.RemoveAll(tmp)
		}
	}
	abs, err := filepath.Abs(*dir)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	d := &demo{dir: abs, bin: *bin, out: stdout, verbose: *verbose, keepAlive: *keepAlive, mosquitto: *mosquitto, loop: *loop, size: *mib << 20, rooted: *rooted, began: time.Now()}
	err = d.run(ctx)
	good := d.table()
	if err != nil {
		fmt.Fprintf(stderr, "ratchet-lab demo: %v\n", err)
		if b, rerr := os.ReadFile(filepath.Join(abs, "device.log")); rerr == nil {
			fmt.Fprintf(stderr, "--- the end of the device's log\n%s\n", tailOf(b, 3000))
		}
	}
	if *keep && ctx.Err() == nil {
		fmt.Fprintf(stdout, "\nStill running. Try:\n  export RATCHET_SOCKET=%s\n  %s/ratchet status\n  %s/ratchet history\n  %s/ratchet-release watch --dir %s\nCtrl-C ends it; everything is in %s\n",
			d.socket(), *bin, *bin, *bin, d.desk(), abs)
		<-ctx.Done()
	}
	d.close()
	if err != nil || !good {
		return 1
	}
	return 0
}

// demo is one run.
type demo struct {
	dir, bin  string
	out       io.Writer
	verbose   bool
	mosquitto string        // directory of the example configuration; "": the embedded broker
	loop      bool          // slots on loop devices
	size      int64         // bytes of an image
	rooted    bool          // a trust root, campaign plans and pulses, instead of one release key
	keepAlive time.Duration // of the device's connection to the broker
	began     time.Time
	pki       *pki
	board     *board
	net       *network
	rows      []row
	sequence  int
	kind      string // of file system in the images
	cancel    context.CancelFunc
	broken    chan error
}

type row struct{ what, expected, observed string }

func (d *demo) desk() string   { return filepath.Join(d.dir, "desk") }
func (d *demo) socket() string { return filepath.Join(d.dir, "s") }

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "%6.2fs  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// chapter begins a scenario.
func (d *demo) chapter(title string) { fmt.Fprintf(d.out, "\n== %s\n", title) }

func (d *demo) expect(what, expected, observed string) {
	d.rows = append(d.rows, row{what, expected, observed})
}

func (d *demo) table() bool {
	good := len(d.rows) > 0
	fmt.Fprintln(d.out)
	w := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tSCENARIO\tEXPECTED\tOBSERVED")
	for _, r := range d.rows {
		mark := "ok"
		if r.expected != r.observed {
			mark, good = "DIFFERS", false
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", mark, r.what, r.expected, r.observed)
	}
	_ = w.Flush()
	fmt.Fprintf(d.out, "\n%d scenarios in %.1f s\n", len(d.rows), time.Since(d.began).Seconds())
	return good
}

func (d *demo) run(ctx context.Context) error {
	ctx, d.cancel = context.WithCancel(ctx)
	if err := d.setUp(ctx); err != nil {
		return err
	}
	for _, scene := range []func(context.Context) error{d.healthy, d.powerCut, d.sick, d.tampered, d.rollback, d.foreign, d.audit} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

// setUp makes the desk, the servers and the device.
func (d *demo) setUp(ctx context.Context) error {
	d.chapter("Setting up: broker, image server, release desk, and a device that runs version 1.0.0 in slot A")
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return err
	}
	var err error
	if d.pki, err = newPKI(filepath.Join(d.dir, "pki")); err != nil {
		return err
	}
	if d.net, err = startNetwork(d.pki, filepath.Join(d.desk(), "images"), d.mosquitto, anywhere); err != nil {
		return err
	}
	if _, err := d.pki.issue(deskName); err != nil {
		return err
	}
	if err := d.release(ctx, "init", "--vendor", "demo.example", "--class", "gateway-v1", "--broker", d.net.broker, "--channel", "stable",
		"--base-url", d.net.images, d.desk()); err != nil {
		return err
	}
	if err := d.deskTLS(); err != nil {
		return err
	}
	if d.rooted {
		if err := d.release(ctx, "root", "init", "--development", "--dir", d.desk()); err != nil {
			return err
		}
	}
	v1 := filepath.Join(d.dir, "v1.img")
	if d.kind, err = image.Make(ctx, d.dir, v1, d.size, d.content("1.0.0", 1, false)); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(d.dir, "device.log"))
	if err != nil {
		return err
	}
	d.board = &board{dir: filepath.Join(d.dir, "device"), ratchet: filepath.Join(d.bin, "ratchet"), log: log}
	if err := d.board.provision(v1, d.size*3/2, d.loop); err != nil {
		return err
	}
	if _, err := d.pki.issue(deviceName); err != nil {
		return err
	}
	if err := d.configure(); err != nil {
		return err
	}
	d.say("images are %s file systems of %d MiB; broker %s; images %s", d.kind, d.size>>20, d.net.broker, d.net.images)
	if err := d.board.boot(); err != nil {
		return err
	}
	d.broken = make(chan error, 1)
	go func() {
		d.broken <- d.board.watchButton(ctx, func(slot string) { d.say("    U-Boot boots slot %s", slot) })
	}()
	if err := d.waitFor(ctx, 10*time.Second, "the device's key", func() bool {
		_, err := os.Stat(d.board.path("state", "device.pem"))
		return err == nil
	}); err != nil {
		return err
	}
	if err := d.release(ctx, "enroll", "--dir", d.desk(), deviceName, d.board.path("state", "device.pem")); err != nil {
		return err
	}
	if err := d.net.watch(d.board.path("state", "device.pem"), func(r evidence.Record) {
		if line := storyLine(r); line != "" {
			d.say("  device: %s", line)
		}
	}); err != nil {
		return err
	}
	return d.waitFor(ctx, 10*time.Second, "the device's first report", func() bool { return d.net.heard() })
}

// content is a small root file system: something that looks like a system, and data to carry around.
func (d *demo) content(version string, seed byte, sick bool) map[string]string {
	files := map[string]string{
		"etc/os-release": "NAME=\"Ratchet demo\"\nVERSION_ID=" + version + "\n",
		"usr/lib/data":   image.Filler(seed, int(d.size)*5/8),
	}
	if sick {
		files["usr/lib/service.conf"] = sickMark + "\n"
	}
	return files
}

func (d *demo) deskTLS() error {
	path := filepath.Join(d.desk(), "ratchet-release.toml")
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for from, to := range map[string]string{
		"ca = \"\"":          fmt.Sprintf("ca = %q", d.pki.ca()),
		"certificate = \"\"": fmt.Sprintf("certificate = %q", filepath.Join(d.pki.dir, deskName+".pem")),
		"key = \"\"":         fmt.Sprintf("key = %q", filepath.Join(d.pki.dir, deskName+".key")),
	} {
		b = bytes.Replace(b, []byte(from), []byte(to), 1)
	}
	return os.WriteFile(path, b, 0o644)
}

// configure writes the device's configuration: the one that a real device would have, with its
// paths below the demo's directory.
func (d *demo) configure() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b := d.board
	trusted := fmt.Sprintf("keys = [%q]", filepath.Join(d.desk(), "keys", "release.pub.pem"))
	if d.rooted {
		trusted = fmt.Sprintf("root = %q", filepath.Join(d.desk(), "root-bundle.cbor"))
	}
	config := fmt.Sprintf(`# Configuration of the demo's device.
[device]
id = "demo-1"
vendor = ["demo.example"]
class = ["gateway-v1"]
version = "1.0.0"

[state]
directory = %q

[running]
root-file = %q
cmdline = %q
boot-id = %q

[slots.A.parts]
rootfs = %q
[slots.B.parts]
rootfs = %q

[boot]
backend = "u-boot"
fw-env-config = %q
locks = []

[mqtt]
url = %q
channel = "stable"
ca = %q
certificate = %q
key = %q
keep-alive = %q
backoff-min = "200ms"

[http]
ca = %q

[trust]
%s

[policy]
checkpoint-bytes = 4194304

[health]
soak = "1s"
deadline = "5s"
interval = "200ms"
broker = true
[[health.command]]
name = "service"
run = [%q, %q, %q]

[control]
socket = %q

[reboot]
command = [%q, %q, %q]
force-command = [%q, %q, %q]
`, b.path("state"), b.path("run", "root-device"), b.path("proc", "cmdline"), b.path("proc", "boot_id"),
		b.slots["A"], b.slots["B"], b.path("etc", "fw_env.config"),
		d.net.broker, d.pki.ca(), filepath.Join(d.pki.dir, deviceName+".pem"), filepath.Join(d.pki.dir, deviceName+".key"), d.keepAlive.String(), d.pki.ca(),
		trusted, self, healthVerb, b.dir, d.socket(), self, buttonVerb, b.dir, self, buttonVerb, b.dir)
	path := b.path("etc", "ratchet.toml")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		return err
	}
	out, err := exec.Command(filepath.Join(d.bin, "ratchet"), "daemon", "--config", path, "--check-config").CombinedOutput()
	if err != nil {
		return fmt.Errorf("the device's configuration is refused: %s", out)
	}
	return nil
}

// release runs the release desk's program.
func (d *demo) release(ctx context.Context, args ...string) error {
	d.say("$ ratchet-release %s", strings.Join(shorten(args, d.dir), " "))
	out, err := exec.CommandContext(ctx, filepath.Join(d.bin, "ratchet-release"), args...).CombinedOutput()
	if d.verbose || err != nil {
		fmt.Fprintf(d.out, "%s", out)
	}
	if err != nil {
		return fmt.Errorf("ratchet-release %s: %w", args[0], err)
	}
	return nil
}

func shorten(args []string, dir string) []string {
	var out []string
	for _, a := range args {
		out = append(out, strings.ReplaceAll(a, dir+"/", ""))
	}
	return out
}

// waitFor polls until ok, the time is over, or the board is broken.
func (d *demo) waitFor(ctx context.Context, within time.Duration, what string, ok func() bool) error {
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v in vain for %s", within, what)
		}
		select {
		case err := <-d.broken:
			return errors.Join(errors.New("the board stopped"), err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

func (d *demo) close() {
	if d.cancel != nil {
		d.cancel()
	}
	if d.broken != nil {
		select {
		case <-d.broken:
		case <-time.After(time.Second):
		}
	}
	if d.board != nil {
		d.board.stop()
		d.board.release()
		_ = d.board.log.Close()
	}
	if d.net != nil {
		d.net.close()
	}
}

func tailOf(b []byte, n int) []byte { return b[max(0, len(b)-n):] }
