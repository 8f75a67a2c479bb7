// Package boxtest is a device made of files, for the tests of its program and of the daemon.
package boxtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

// Box is a device made of files below Dir. Slot A runs and is confirmed.
type Box struct {
	Dir     string
	Release *trust.Signer // whose releases it takes
	t       *testing.T
}

// New makes a box, which goes with the test.
func New(t *testing.T) *Box {
	t.Helper()
	dir, err := os.MkdirTemp("", "box") // short: a socket's path has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &Box{Dir: dir, t: t}
	for name, size := range map[string]int64{"a.img": 1 << 20, "b.img": 1 << 20, "env0": 8192, "env1": 8192} {
		b.Write(name, make([]byte, size))
	}
	b.Write("cmdline", []byte("ro ratchet.slot=A\n"))
	b.Write("root", []byte(b.Path("a.img")+"\n"))
	b.Write("boot_id", []byte("11111111-2222-3333-4444-555555555555\n"))
	env, err := ubootenv.New(linux.FS{}, ubootenv.Options{
		Copies: []ubootenv.Location{{Path: b.Path("env0"), Size: 8192}, {Path: b.Path("env1"), Size: 8192}},
		Locks:  []string{}, Defaults: []string{"bootcmd=x"}, Slots: []bootctl.Slot{"A", "B"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := env.Refresh(t.Context(), "A"); err != nil {
		t.Fatal(err)
	}
	if b.Release, err = trust.Generate(trust.ESP256); err != nil {
		t.Fatal(err)
	}
	pub, err := b.Release.Key().MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	b.Write("release.pem", pub)
	return b
}

// Path is that of a file of the box.
func (b *Box) Path(name string) string { return filepath.Join(b.Dir, name) }

// Write replaces a file of the box.
func (b *Box) Write(name string, data []byte) {
	b.t.Helper()
	if err := os.WriteFile(b.Path(name), data, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// Config is a configuration that works.
func (b *Box) Config() string {
	return strings.ReplaceAll(`[device]
id = "box"
vendor = ["example.com"]
class = ["gateway"]
version = "1.0.0"
[state]
directory = "DIR/state"
volatile = "allow" # /tmp may be a tmpfs
[running]
root-file = "DIR/root"
cmdline = "DIR/cmdline"
boot-id = "DIR/boot_id"
[slots.A.parts]
rootfs = "DIR/a.img"
[slots.B.parts]
rootfs = "DIR/b.img"
[boot]
backend = "u-boot"
locks = []
copies = [{path = "DIR/env0", size = 8192}, {path = "DIR/env1", size = 8192}]
[trust]
keys = ["DIR/release.pem"]
[control]
socket = "DIR/s"
[reboot]
command = ["/bin/true"]
force-command = ["/bin/true"]
`, "DIR", b.Dir)
}
