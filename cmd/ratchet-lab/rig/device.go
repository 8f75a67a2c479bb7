package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/stage"
)

// setUpRig makes the desk, the servers, all images and the disk.
func (r *rig) setUpRig(ctx context.Context) error {
	r.Chapter(r.target.Name + ": " + r.target.What)
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return err
	}
	for _, name := range r.target.Cached {
		if err := image.CopySparse(filepath.Join(r.o.Cache, name), r.path(filepath.Base(name))); err != nil {
			return fmt.Errorf("%w; run scripts/deps.sh rig", err)
		}
	}
	if err := r.SetUp(ctx, r.target.Rooted, stage.GuestsHost); err != nil {
		return err
	}
	if err := r.keepSettings(); err != nil {
		return err
	}
	state, err := r.provision()
	if err != nil {
		return err
	}
	if err := r.RunDesk(ctx, "enroll", "--dir", r.Desk(), stage.DeviceName, r.path("device.pem")); err != nil {
		return err
	}
	for _, v := range r.versions() {
		if err := r.makeVersion(ctx, v); err != nil {
			return err
		}
	}
	if err := r.target.MakeDisk(ctx, r.path("factory.img"), r.image("1.0.0"), state); err != nil {
		return err
	}
	if r.target.Make != nil {
		if err := r.target.Make(ctx, r.target,
			board.Factory{Dir: r.Dir, Bin: r.Bin, Cache: r.o.Cache, KVM: r.o.KVM}); err != nil {
			return err
		}
	}
	return r.listen()
}

// forGuest is an address as a guest in QEMU's user network reaches it.
func forGuest(url string) string { return strings.Replace(url, "127.0.0.1", stage.GuestsHost, 1) }

// provision makes what the factory puts on the state partition: the device's keys.
func (r *rig) provision() (map[string]image.File, error) {
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
	state := map[string]image.File{
		"device.key": {Text: string(private), Mode: 0o600}, "device.pem": {Text: string(public)},
		"mqtt.pem": {From: filepath.Join(r.PKI.Dir,
			stage.DeviceName+".pem")}, "mqtt.key": {From: filepath.Join(r.PKI.Dir, stage.DeviceName+".key"),
			Mode: 0o600},
	}
	if r.target.TPM() {
		state["make-counter"] = image.File{Text: "on the first start\n"}
	}
	return state, os.WriteFile(r.path("device.pem"), public, 0o644)
}

// versions are all images of a run. What ends in "all" only is not made for a smoke test.
func (r *rig) versions() []board.Version {
	if r.target.Matter {
		return append([]board.Version{{Name: "1.0.0", Sickness: ""}}, r.target.Versions...)
	}
	all := []board.Version{{Name: "1.0.0", Sickness: ""}, {Name: "2.0.0", Sickness: ""},
		{Name: "3.0.0", Sickness: "sick"}, {Name: "4.0.0", Sickness: "panic"}}
	if r.o.Mode == "all" {
		all = append(all, r.target.Versions...)
		all = append(all, board.Version{Name: "5.0.0", Sickness: "hang"},
			board.Version{Name: "6.0.0", Sickness: "freeze"}, board.Version{Name: "7.0.0", Sickness: "deaf"},
			board.Version{Name: "8.0.0", Sickness: ""})
	}
	return all
}

func (r *rig) image(version string) string { return r.path("v" + version + ".img") }

func (r *rig) makeVersion(ctx context.Context, v board.Version) error {
	kernel, err := r.target.KernelFile(r.o.Cache)
	if err != nil {
		return err
	}
	programs := filepath.Join(r.Bin, "rig", r.target.Arch)
	guest, agent := filepath.Join(programs, "guest"), filepath.Join(programs, "ratchet")
	initrd, err := r.target.Initrd(r.o.Cache, guest, v.Sickness)
	if err != nil {
		return err
	}
	path := r.path("initrd")
	if err := errors.Join(os.WriteFile(path, initrd, 0o644),
		image.CopySparse(kernel, r.path(r.target.Kernel))); err != nil {
		return err
	}
	dirs, files := r.target.Tree(board.System{Version: v.Name, Sickness: v.Sickness, Config: r.config(v),
		Kernel: kernel, Initrd: path, Agent: agent, Guest: guest,
		Anchor: r.anchorFile(), CA: r.PKI.CA()})
	size := int64(imageRoom)
	for _, f := range files {
		if f.From != "" {
			info, err := os.Stat(f.From)
			if err != nil {
				return err
			}
			size += info.Size()
		}
	}
	return image.Ext4(ctx, r.image(v.Name), (size+1<<20-1)&^(1<<20-1), 2, false, dirs, files)
}

// imageRoom is what a file system needs besides the files.
const imageRoom = 4 << 20

// config is the device's configuration, as it would be on a real one.
func (r *rig) config(v board.Version) string {
	broker := forGuest(r.Net.Broker)
	if v.Sickness == "deaf" {
		broker = "mqtts://" + stage.GuestsHost + ":1"
	}
	// A busy host must not make a healthy image fail; the others fail however long they are given.
	deadline := map[string]string{"sick": "8s", "deaf": "20s"}[v.Sickness]
	if deadline == "" {
		deadline = "90s"
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
%s
[trust]
%s

[health]
soak = "2s"
deadline = %q
interval = "500ms"
broker = true
%s[[health.command]]
name = "service"
run = ["/sbin/init", "health"]

[reboot]
command = ["/sbin/init", "reboot"]
%s`, stage.DeviceName, v.Name, r.target.Boot, broker, r.target.HTTP, r.target.Trusts(), deadline,
		r.target.Health, r.target.Config)
}
