package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/trust"
)

const rigUsage = `ratchet-lab rig smoke|all|cut [flags]

Boots the real agent with real bootloaders and kernels in QEMU, and cuts its power: in each target a
healthy update from publish to confirm, a sick one and one whose kernel panics, which both must come back
by themselves, and then the healthy one again from the disk that a power cut would have left.
Needs scripts/deps.sh rig, and neither root nor a network.

  smoke   both targets, a hundred cuts, ten of them booted
  all     every cut looked at, every --every'th booted, and a report
  cut     one cut again, of the run in --dir: --target NAME --point N --variant whole|lost|torn

  --dir DIR       where to put it (default rig-out); kept
  --bin DIR       where ratchet and ratchet-release are (default: beside this one), and rig/ARCH/ with the guest's
  --cache DIR     unpacked kernels (default $RATCHET_RIG_CACHE or ~/.cache/ratchet-rig)
  --target NAME   only this one: arm64-uboot, x86-grub
  --seed N        of the choice of cuts and of torn writes (default 1)
  --every N       all: boot every Nth cut (default 10)
  --kvm           let KVM run the guests
  --verbose       show the desk's commands and the guests' consoles

Exit codes: 0 all as expected, 1 something differs, 2 usage.
`

// rigFlags are what the command line said.
type rigFlags struct {
	mode, dir, bin, cache, target, variant string
	seed                                   int64
	point, every                           int
	kvm, verbose                           bool
}

func runRig(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o rigFlags
	f := flag.NewFlagSet("rig", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.dir, "dir", "rig-out", "")
	f.StringVar(&o.bin, "bin", "", "")
	f.StringVar(&o.cache, "cache", os.Getenv("RATCHET_RIG_CACHE"), "")
	f.StringVar(&o.target, "target", "", "")
	f.StringVar(&o.variant, "variant", string(whole), "")
	f.Int64Var(&o.seed, "seed", 1, "")
	f.IntVar(&o.point, "point", -1, "")
	f.IntVar(&o.every, "every", 10, "")
	f.BoolVar(&o.kvm, "kvm", false, "")
	f.BoolVar(&o.verbose, "verbose", false, "")
	if len(args) > 0 {
		o.mode, args = args[0], args[1:]
	}
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) || o.mode == "-h" || o.mode == "--help" {
		fmt.Fprint(stdout, rigUsage)
		return 0
	} else if err != nil || f.NArg() > 0 || !strings.Contains(" smoke all cut ", " "+o.mode+" ") || o.every < 1 || o.mode == "cut" && (o.point < 0 || o.target == "") {
		fmt.Fprintf(stderr, "ratchet-lab rig: %v\n%s", errors.Join(err, fmt.Errorf("unexpected arguments %q", f.Args())), rigUsage)
		return 2
	}
	if err := o.complete(); err != nil {
		fmt.Fprintf(stderr, "ratchet-lab rig: %v\n", err)
		return 1
	}
	good, err := o.run(ctx, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "ratchet-lab rig: %v\n", err)
	}
	if err != nil || !good {
		return 1
	}
	return 0
}

// complete fills in what was not said.
func (o *rigFlags) complete() error {
	if o.bin == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		o.bin = filepath.Dir(self)
	}
	if o.cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return err
		}
		o.cache = filepath.Join(home, ".cache", "ratchet-rig")
	}
	for _, p := range []*string{&o.dir, &o.bin, &o.cache} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	return nil
}

func (o *rigFlags) run(ctx context.Context, out io.Writer) (bool, error) {
	good, began := true, time.Now()
	var runs []*rig
	for _, t := range targets {
		if o.target != "" && o.target != t.name {
			continue
		}
		r := &rig{demo: &demo{dir: filepath.Join(o.dir, t.name), bin: o.bin, out: out, verbose: o.verbose, began: began}, target: t, o: o}
		runs = append(runs, r)
		err := r.play(ctx)
		r.close()
		if err != nil {
			return false, fmt.Errorf("%s: %w", t.name, err)
		}
	}
	if len(runs) == 0 {
		return false, fmt.Errorf("there is no target %q", o.target)
	}
	if o.mode == "cut" {
		return runs[0].good(), nil
	}
	for _, r := range runs {
		good = r.good() && good
	}
	return good, writeReport(o, out, runs, time.Since(began))
}

// rig is one target: the demo's desk and servers, and a device in QEMU.
type rig struct {
	*demo
	o       *rigFlags
	target  target
	machine *machine
	boots   int    // of the machine, so far
	status  string // last status line of the device
	said    []string
	times   []span
	cuts    []cutResult
	log     *writeLog
}

// span is how long something took.
type span struct {
	what string
	took time.Duration
}

// settings are what a replay needs besides the files.
type settings struct {
	Broker, Images string // host:port
}

func (r *rig) path(parts ...string) string {
	return filepath.Join(append([]string{r.dir}, parts...)...)
}

func (r *rig) good() bool {
	for _, row := range r.rows {
		if row.expected != row.observed {
			return false
		}
	}
	for _, c := range r.cuts {
		if c.failed() {
			return false
		}
	}
	return len(r.rows) > 0 || len(r.cuts) > 0
}

func (r *rig) play(ctx context.Context) error {
	if r.o.mode == "cut" {
		return r.replay(ctx)
	}
	if err := os.RemoveAll(r.dir); err != nil {
		return err
	}
	if err := r.timed("set up", func() error { return r.setUpRig(ctx) }); err != nil {
		return err
	}
	defer r.table()
	for _, s := range r.scenes() {
		if err := r.timed(s.what, func() error { return s.play(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// scene is one part of a run.
type scene struct {
	what string
	play func(context.Context) error
}

func (r *rig) scenes() []scene {
	all := []scene{{"healthy update", r.playHealthy}, {"sick update", r.playSick}, {"kernel panic", r.playPanic}}
	if r.o.mode == "all" {
		all = append(all, scene{"hang before the agent", r.playHang}, scene{"hang after the agent", r.playFreeze}, scene{"broker not reached", r.playDeaf},
			scene{"damaged image", r.playDamaged}, scene{"forged manifest", r.playForged})
	}
	return append(all, scene{"power cuts", r.playCuts})
}

func (r *rig) timed(what string, f func() error) error {
	began := time.Now()
	err := f()
	r.times = append(r.times, span{what, time.Since(began)})
	return err
}

// setUpRig makes the desk, the servers, all images and the disk.
func (r *rig) setUpRig(ctx context.Context) error {
	r.chapter(r.target.name + ": " + r.target.what)
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	var err error
	if r.pki, err = newPKI(r.path("pki")); err != nil {
		return err
	}
	if err := r.serve(anywhere); err != nil {
		return err
	}
	s := settings{strings.TrimPrefix(r.net.broker, "mqtts://"), strings.TrimSuffix(strings.TrimPrefix(r.net.images, "https://"), "/images")}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(r.path("settings.json"), b, 0o644); err != nil {
		return err
	}
	for _, name := range []string{deskName, deviceName} {
		if _, err := r.pki.issue(name); err != nil {
			return err
		}
	}
	if err := r.release(ctx, "init", "--vendor", "demo.example", "--class", "gateway-v1", "--broker", r.net.broker, "--channel", "stable",
		"--base-url", forGuest(r.net.images), r.desk()); err != nil {
		return err
	}
	if err := r.deskTLS(); err != nil {
		return err
	}
	state, err := r.provision()
	if err != nil {
		return err
	}
	if err := r.release(ctx, "enroll", "--dir", r.desk(), deviceName, r.path("device.pem")); err != nil {
		return err
	}
	for _, v := range r.versions() {
		if err := r.makeVersion(ctx, v); err != nil {
			return err
		}
	}
	if err := r.target.makeDisk(ctx, r.path("factory.img"), r.image("1.0.0"), state); err != nil {
		return err
	}
	return r.listen()
}

func (r *rig) serve(at addresses) error {
	var err error
	r.net, err = startNetwork(r.pki, filepath.Join(r.desk(), "images"), "", at)
	return err
}

// forGuest is an address as a guest in QEMU's user network reaches it.
func forGuest(url string) string { return strings.Replace(url, "127.0.0.1", guestsHost, 1) }

// provision makes what the factory puts on the state partition: the device's keys.
func (r *rig) provision() (map[string]file, error) {
	s, err := trust.Generate(trust.ESP256)
	if err != nil {
		return nil, err
	}
	private, err := s.MarshalPEM()
	if err != nil {
		return nil, err
	}
	public, err := s.Key().MarshalPEM()
	if err != nil {
		return nil, err
	}
	return map[string]file{
		"device.key": {text: string(private), mode: 0o600}, "device.pem": {text: string(public)},
		"mqtt.pem": {from: filepath.Join(r.pki.dir, deviceName+".pem")}, "mqtt.key": {from: filepath.Join(r.pki.dir, deviceName+".key"), mode: 0o600},
	}, os.WriteFile(r.path("device.pem"), public, 0o644)
}

// version is one release, and what it suffers from.
type version struct{ name, sickness string }

// versions are all images of a run. What ends in "all" only is not made for a smoke test.
func (r *rig) versions() []version {
	all := []version{{"1.0.0", ""}, {"2.0.0", ""}, {"3.0.0", "sick"}, {"4.0.0", "panic"}}
	if r.o.mode == "all" {
		all = append(all, version{"5.0.0", "hang"}, version{"6.0.0", "freeze"}, version{"7.0.0", "deaf"}, version{"8.0.0", ""})
	}
	return all
}

func (r *rig) image(version string) string { return r.path("v" + version + ".img") }

func (r *rig) makeVersion(ctx context.Context, v version) error {
	kernels := filepath.Join(r.o.cache, r.target.arch)
	found, err := filepath.Glob(filepath.Join(kernels, "boot", "vmlinuz-*"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("there is not one kernel in %s but %q; run scripts/deps.sh rig: %w", kernels, found, errors.Join(err, os.ErrNotExist))
	}
	guest, agent := filepath.Join(r.bin, "rig", r.target.arch, "guest"), filepath.Join(r.bin, "rig", r.target.arch, "ratchet")
	more := map[string]string{}
	if v.sickness == "panic" {
		more["panic"] = "yes\n"
	}
	initrd, err := initramfs(guest, filepath.Join(kernels, "lib", "modules"),
		[]string{"virtio_pci", "virtio_blk", "virtio_net", "ext4", "crc32c_generic", "vfat", "nls_cp437", "nls_ascii", "softdog"}, more)
	if err != nil {
		return err
	}
	path := r.path("initrd")
	if err := os.WriteFile(path, initrd, 0o644); err != nil {
		return err
	}
	dirs, files := r.target.slotTree(v.name, found[0], agent, guest, path, filepath.Join(r.desk(), "keys", "release.pub.pem"), r.pki.ca(), v.sickness, r.config(v))
	size := int64(imageRoom)
	for _, f := range files {
		if f.from != "" {
			info, err := os.Stat(f.from)
			if err != nil {
				return err
			}
			size += info.Size()
		}
	}
	return makeExt4(ctx, r.image(v.name), (size+1<<20-1)&^(1<<20-1), 2, false, dirs, files)
}

// imageRoom is what a file system needs besides the files.
const imageRoom = 4 << 20

// config is the device's configuration, as it would be on a real one.
func (r *rig) config(v version) string {
	broker := forGuest(r.net.broker)
	if v.sickness == "deaf" {
		broker = "mqtts://" + guestsHost + ":1"
	}
	return fmt.Sprintf(`# Configuration of the rig's device.
[device]
id = %q
vendor = ["demo.example"]
class = ["gateway-v1"]
version = %q

[slots.A.parts]
rootfs = "/dev/vda2"
[slots.B.parts]
rootfs = "/dev/vda3"

[boot]
%s
[mqtt]
url = %q
channel = "stable"
ca = "/etc/ratchet/ca.pem"
certificate = "/var/lib/ratchet/mqtt.pem"
key = "/var/lib/ratchet/mqtt.key"
keep-alive = "30s"
backoff-min = "200ms"
backoff-max = "2s"

[http]
ca = "/etc/ratchet/ca.pem"

[trust]
keys = ["/etc/ratchet/release.pub.pem"]

[health]
soak = "2s"
deadline = "10s"
interval = "500ms"
broker = true
[[health.command]]
name = "service"
run = ["/sbin/init", "health"]

[reboot]
command = ["/sbin/init", "reboot"]
`, deviceName, v.name, r.target.bootSection(), broker)
}

// listen takes the device's evidence.
func (r *rig) listen() error { return r.net.watch(r.path("device.pem"), r.hear) }

// boot switches the device on, with the disk given.
func (r *rig) boot(ctx context.Context, disk, log, name string) error {
	r.off()
	r.boots, r.status, r.said = 0, "", nil
	var err error
	r.machine, err = r.target.power(ctx, r.dir, disk, log, r.path(name+".console"), r.o.kvm)
	return err
}

func (r *rig) off() {
	if r.machine != nil {
		r.machine.cut()
		r.machine = nil
	}
}

func (r *rig) close() {
	r.off()
	if r.net != nil {
		r.net.close()
	}
}

var statusField = regexp.MustCompile(`(\S+)=(\S*)`)

// field is one value of the device's last status line.
func (r *rig) field(name string) string {
	for _, m := range statusField.FindAllStringSubmatch(r.status, -1) {
		if m[1] == name {
			return m[2]
		}
	}
	return ""
}

// until follows the console until the device's status is as wanted.
func (r *rig) until(ctx context.Context, within time.Duration, what string, ok func() bool) error {
	err := r.machine.follow(ctx, within, what, func(line string) bool {
		for _, mark := range []string{"Ratchet: ", "rig: "} {
			if i := strings.Index(line, mark); i >= 0 {
				line = line[i:]
				r.said = append(r.said, line)
				if strings.HasPrefix(line, "Ratchet: booting slot") {
					r.boots++
				}
				if strings.HasPrefix(line, "rig: status ") {
					r.status = line
				}
				if r.o.verbose || mark == "Ratchet: " {
					r.say("    %s", line)
				}
				return strings.HasPrefix(line, "rig: status ") && ok()
			}
		}
		return false
	})
	if err != nil {
		return fmt.Errorf("%w (last: %s)", err, r.status)
	}
	return nil
}

// ends says how the last update ended and what runs: "updated/1; slot B runs, confirmed".
func (r *rig) ends() string {
	confirmed, _ := strconv.ParseBool(r.field("confirmed"))
	word := "confirmed"
	if !confirmed {
		word = "not confirmed"
	}
	return fmt.Sprintf("%s; slot %s runs, %s, %s is next", r.field("last"), r.field("running"), word, r.field("next"))
}

// reopen serves a run that is there, for the device that it made.
func (r *rig) reopen() error {
	b, err := os.ReadFile(r.path("settings.json"))
	if err != nil {
		return fmt.Errorf("%w; there is no run to repeat in %s", err, r.dir)
	}
	var s settings
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if r.pki, err = openPKI(r.path("pki")); err != nil {
		return err
	}
	if err := r.serve(addresses{s.Broker, s.Images}); err != nil {
		return err
	}
	return r.listen()
}
