package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
)

// demo is one run.
type demo struct {
	*stage
	demoOptions
	board    *board
	sequence int    // of the releases, so far
	kind     string // of file system in the images
	cancel   context.CancelFunc
}

// demoOptions are what is played, and with what.
type demoOptions struct {
	loop      bool          // slots on loop devices
	size      int64         // bytes of an image
	rooted    bool          // a trust root, campaign plans and pulses, instead of one release key
	keepAlive time.Duration // of the device's connection to the broker
}

func (d *demo) socket() string { return filepath.Join(d.dir, "s") }

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
	if d.net, err = startNetwork(d.pki, filepath.Join(d.desk(), "images"), d.mosquitto, addresses{}); err != nil {
		return err
	}
	if _, err := d.pki.issue(deskName); err != nil {
		return err
	}
	if err := d.runDesk(ctx, "init", "--vendor", "demo.example", "--class", "gateway-v1", "--broker", d.net.broker, "--channel", "stable",
		"--base-url", d.net.images, d.desk()); err != nil {
		return err
	}
	if err := d.deskTLS(); err != nil {
		return err
	}
	if d.rooted {
		if err := d.runDesk(ctx, "root", "init", "--development", "--dir", d.desk()); err != nil {
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
	if err := d.runDesk(ctx, "enroll", "--dir", d.desk(), deviceName, d.board.path("state", "device.pem")); err != nil {
		return err
	}
	if err := d.net.watch(d.board.path("state", "device.pem"), func(r evidence.Record) {
		if line := storyLine(r); line != "" {
			d.say("  device: %s", line)
		}
	}); err != nil {
		return err
	}
	return d.waitFor(ctx, 10*time.Second, "the device's first report", func() bool { return d.net.count() > 0 })
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
