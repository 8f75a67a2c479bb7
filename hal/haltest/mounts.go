//go:build linux

package haltest

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// insideMounts tells a test's process that it is the one with mounts of its own.
const insideMounts = "RATCHET_TEST_MOUNTS"

// PrivateMounts plays the rest of a top-level test in a process with a mount namespace of its own, as its root: it
// returns true there, and mounts go with it. It returns false in the test itself, when that process has ended; a test
// is skipped where the kernel allows no such process.
func PrivateMounts(t *testing.T) (inside bool) {
	t.Helper()
	if os.Getenv(insideMounts) == t.Name() {
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	c.Env = append(os.Environ(), insideMounts+"="+t.Name())
	one := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	group := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, UidMappings: one,
		GidMappings: group, Pdeathsig: syscall.SIGKILL}
	out, err := c.CombinedOutput()
	if c.ProcessState == nil {
		t.Skipf("no user and mount namespace to be had here: %v", err)
	}
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("the process with its own mounts: %v", err)
	}
	return false
}
