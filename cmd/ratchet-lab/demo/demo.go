// Package demo is the demonstration: a device made of files, whose slots a model of U-Boot boots from a real
// environment, and whose agent is the real daemon in a process of its own, is updated, has its power cut, and is lied
// to. It needs neither root nor a network. Nothing of it outlives its folder.
package demo

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/stage"
)

// Options are what is played, and with what.
type Options struct {
	Loop      bool          // put the slots on loop devices; needs root
	Size      int64         // bytes of an image, 32 MiB or more
	Rooted    bool          // a trust root, campaign plans and pulses, instead of one release key
	KeepAlive time.Duration // of the device's connection to the broker
}

// Demo is one run: a stage, and a board of files on it. It is not safe for concurrent use.
type Demo struct {
	*stage.Stage
	Options
	board    *board
	sequence int    // of the releases, so far
	kind     string // of file system in the images
	cancel   context.CancelFunc
}

// New is a run on a stage that has its folders, its output and its clock, and no network yet. Close it.
func New(s *stage.Stage, o Options) *Demo { return &Demo{Stage: s, Options: o} }

// Socket is the device's control socket.
func (d *Demo) Socket() string { return filepath.Join(d.Dir, "s") }

// Run sets everything up and plays all scenes, until one fails. The rows of the stage say what was expected and
// observed.
func (d *Demo) Run(ctx context.Context) error {
	ctx, d.cancel = context.WithCancel(ctx)
	if err := d.setUp(ctx); err != nil {
		return err
	}
	for _, scene := range []func(context.Context) error{d.healthy, d.powerCut, d.sick, d.tampered, d.rollback,
		d.foreign, d.audit} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

// setUp makes the desk, the servers and the device.
func (d *Demo) setUp(ctx context.Context) error {
	d.Chapter("Setting up: broker, image server, release desk, and a device that runs version 1.0.0 in slot A")
	if err := os.MkdirAll(d.Dir, 0o755); err != nil {
		return err
	}
	if err := d.SetUp(ctx, d.Rooted, ""); err != nil {
		return err
	}
	v1 := filepath.Join(d.Dir, "v1.img")
	var err error
	if d.kind, err = image.Make(ctx, d.Dir, v1, d.Size, d.content("1.0.0", 1, false)); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(d.Dir, "device.log"))
	if err != nil {
		return err
	}
	d.board = &board{dir: filepath.Join(d.Dir, "device"), ratchet: filepath.Join(d.Bin, "ratchet"), log: log}
	if err := d.board.provision(v1, d.Size*3/2, d.Loop); err != nil {
		return err
	}
	if err := d.configure(); err != nil {
		return err
	}
	d.Say("images are %s file systems of %d MiB; broker %s; images %s", d.kind, d.Size>>20, d.Net.Broker, d.Net.Images)
	if err := d.board.boot(); err != nil {
		return err
	}
	broken := make(chan error, 1)
	d.Broken = broken
	go func() {
		broken <- d.board.watchButton(ctx, func(slot string) { d.Say("    U-Boot boots slot %s", slot) })
	}()
	if err := d.WaitFor(ctx, 10*time.Second, "the device's key", func() bool {
		_, err := os.Stat(d.board.path("state", "device.pem"))
		return err == nil
	}); err != nil {
		return err
	}
	if err := d.RunDesk(ctx, "enroll", "--dir", d.Desk(), stage.DeviceName,
		d.board.path("state", "device.pem")); err != nil {
		return err
	}
	if err := d.Net.Watch(d.board.path("state", "device.pem"), func(r evidence.Record) {
		if line := stage.StoryLine(r); line != "" {
			d.Say("  device: %s", line)
		}
	}); err != nil {
		return err
	}
	return d.WaitFor(ctx, 10*time.Second, "the device's first report", func() bool { return d.Net.Count() > 0 })
}

// content is a small root file system: something that looks like a system, and data to carry around.
func (d *Demo) content(version string, seed byte, sick bool) map[string]string {
	files := map[string]string{
		"etc/os-release": "NAME=\"Ratchet demo\"\nVERSION_ID=" + version + "\n",
		"usr/lib/data":   image.Filler(seed, int(d.Size)*5/8),
	}
	if sick {
		files["usr/lib/service.conf"] = sickMark + "\n"
	}
	return files
}

// configure writes the device's configuration: the one that a real device would have, with its
// paths below the demo's directory.
func (d *Demo) configure() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b := d.board
	trusted := fmt.Sprintf("keys = [%q]", filepath.Join(d.Desk(), "keys", "release.pub.pem"))
	if d.Rooted {
		trusted = fmt.Sprintf("root = %q", filepath.Join(d.Desk(), "root-bundle.cbor"))
	}
	config := fmt.Sprintf(`# Configuration of the demo's device.
[device]
id = "demo-1"
vendor = ["demo.example"]
class = ["gateway-v1"]
version = "1.0.0"

[state]
directory = %q
volatile = "allow" # the folder of a demo is often in memory

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
		d.Net.Broker, d.PKI.CA(), filepath.Join(d.PKI.Dir, stage.DeviceName+".pem"), filepath.Join(d.PKI.Dir,
			stage.DeviceName+".key"), d.KeepAlive.String(), d.PKI.CA(),
		trusted, self, HealthVerb, b.dir, d.Socket(), self, ButtonVerb, b.dir, self, ButtonVerb, b.dir)
	path := b.path("etc", "ratchet.toml")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		return err
	}
	out, err := exec.Command(filepath.Join(d.Bin, "ratchet"), "daemon", "--config", path,
		"--check-config").CombinedOutput()
	if err != nil {
		return fmt.Errorf("the device's configuration is refused: %s", out)
	}
	return nil
}

// Close ends the device and the servers.
func (d *Demo) Close() {
	if d.cancel != nil {
		d.cancel()
	}
	if d.Broken != nil {
		select {
		case <-d.Broken:
		case <-time.After(time.Second):
		}
	}
	if d.board != nil {
		d.board.stop()
		d.board.release()
		_ = d.board.log.Close()
	}
	if d.Net != nil {
		d.Net.Close()
	}
}
