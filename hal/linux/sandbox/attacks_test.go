package sandbox_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/hal/linux/sandbox"
)

func read(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, unix.ENXIO) { // a device that is not there could be opened
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

func socket(family, kind, protocol int) error {
	fd, err := unix.Socket(family, kind, protocol)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// call makes a system call whose success would be the attack's.
func call(nr uintptr, args ...uintptr) error {
	args = append(args, make([]uintptr, 6)...)
	if _, _, errno := syscall.Syscall6(nr, args[0], args[1], args[2], args[3], args[4], args[5]); errno != 0 {
		return errno
	}
	return nil
}

func bind() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	return unix.Listen(fd, 1)
}

func word(b []byte) uintptr { return uintptr(unsafe.Pointer(&b[0])) }

// attacks are what a process tries that was taken over; nil is its success.
var attacks = map[string]func(place) error{
	"read a file of root's":    func(p place) error { return read(p.Secret) },
	"read the disk":            func(p place) error { return read(p.Device) },
	"read the passwords":       func(place) error { return read("/etc/shadow") },
	"read memory of a process": func(p place) error { return read(fmt.Sprintf("/proc/%d/mem", p.Victim)) },
	"read what root started":   func(p place) error { return read(fmt.Sprintf("/proc/%d/environ", p.Victim)) },
	"read /sys":                func(place) error { return read("/sys/kernel/uevent_seqnum") },
	"list a folder":            func(p place) error { _, err := os.ReadDir(p.Dir); return err },
	"write a file":             func(p place) error { return os.WriteFile(p.Dir+"/new", []byte("x"), 0o600) },
	"change a file":            func(p place) error { return os.WriteFile(p.Dir+"/other", []byte("y"), 0) },
	"make a folder":            func(p place) error { return os.Mkdir(p.Dir+"/folder", 0o700) },
	"remove a file":            func(p place) error { return os.Remove(p.Dir + "/other") },
	"make a device":            func(p place) error { return unix.Mknod(p.Dir+"/disk", unix.S_IFBLK|0o600, 7<<8) },
	"start a program":          func(place) error { return start("/bin/true") },
	"start itself again":       func(place) error { return start("/proc/self/exe") },
	"signal a process":         func(p place) error { return unix.Kill(p.Victim, unix.SIGCONT) },
	"trace a process":          trace,
	"read a process":           readProcess,
	"take a process's file":    takeFile,
	"listen":                   func(place) error { return bind() },
	"a socket of routes":       func(place) error { return socket(unix.AF_NETLINK, unix.SOCK_RAW, 0) },
	"a socket of frames":       func(place) error { return socket(unix.AF_PACKET, unix.SOCK_RAW, 0) },
	"a socket of the machine":  func(place) error { return socket(unix.AF_UNIX, unix.SOCK_STREAM, 0) },
	"a raw socket":             func(place) error { return socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP) },
	"mount":                    mount,
	"a user namespace":         func(place) error { return spawn(unix.CLONE_NEWUSER) },
	"a mount namespace":        func(place) error { return spawn(unix.CLONE_NEWNS) },
	"become another user":      func(place) error { return call(unix.SYS_SETUID, 12345) },
	"change the root folder":   func(p place) error { return unix.Chroot("/") },
	"raise a limit":            func(place) error { return raise() },
	"name the host":            name,
	"executable memory":        func(place) error { return executable(unix.PROT_READ | unix.PROT_EXEC) },
	"memory made executable":   func(place) error { return executable(unix.PROT_READ | unix.PROT_WRITE) },
	"a file in memory":         func(place) error { return call(unix.SYS_MEMFD_CREATE, word([]byte("x\x00")), 0) },
	"io_uring":                 func(place) error { return call(unix.SYS_IO_URING_SETUP, 1, word(make([]byte, 256))) },
	"faults in user space":     func(place) error { return call(unix.SYS_USERFAULTFD, 0) },
	"the kernel's keys":        func(place) error { return call(unix.SYS_KEYCTL, 0, ^uintptr(2)+0, 1) },
	"be traced and dumped":     func(place) error { return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) },
	"more priority":            func(place) error { return call(unix.SYS_SETPRIORITY, 0, 0, ^uintptr(4)) },
	"rename a file":            func(p place) error { return os.Rename(p.Dir+"/third", p.Dir+"/fourth") },
}

func start(path string) error {
	pid, err := syscall.ForkExec(path, []string{path, "nothing"}, &syscall.ProcAttr{Env: []string{}})
	if err == nil {
		syscall.Wait4(pid, nil, 0, nil)
	}
	return err
}

// spawn makes a child in a new namespace, which ends by itself: a process of more than one thread
// cannot go into a user namespace.
func spawn(flag uintptr) error {
	pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{Env: []string{},
		Sys: &syscall.SysProcAttr{Cloneflags: flag}})
	if err == nil {
		syscall.Wait4(pid, nil, 0, nil)
	}
	return err
}

func trace(p place) error { return call(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(p.Victim)) }

func readProcess(p place) error {
	b := make([]byte, 1)
	local := []unix.Iovec{{Base: &b[0]}}
	local[0].SetLen(1)
	_, err := unix.ProcessVMReadv(p.Victim, local, []unix.RemoteIovec{{Base: 0x1000, Len: 1}}, 0)
	if err == unix.EFAULT { // nothing is there, but it might have read
		return nil
	}
	return err
}

func takeFile(p place) error {
	fd, err := unix.PidfdOpen(p.Victim, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	got, err := unix.PidfdGetfd(fd, 0, 0)
	if err == nil {
		unix.Close(got)
	}
	return err
}

func executable(prot int) error {
	b, err := unix.Mmap(-1, 0, 4096, prot, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	defer unix.Munmap(b)
	return unix.Mprotect(b, unix.PROT_READ|unix.PROT_EXEC)
}

func mount(p place) error {
	err := unix.Mount("none", p.Dir, "tmpfs", unix.MS_RDONLY, "")
	if err == nil {
		unix.Unmount(p.Dir, unix.MNT_DETACH)
	}
	return err
}

func name(place) error {
	old, err := os.Hostname()
	if err != nil {
		return err
	}
	return unix.Sethostname([]byte(old))
}

func raise() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return err
	}
	return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1})
}

// stopped says what each feature stops by itself, all others being off.
var stopped = map[string][]string{
	sandbox.User: {"read a file of root's", "read the disk", "read the passwords", "read memory of a process",
		"read what root started", "make a device", "signal a process", "trace a process", "read a process",
		"take a process's file", "a socket of frames", "a raw socket", "mount", "a mount namespace",
		"become another user", "change the root folder", "raise a limit", "name the host", "more priority"},
	sandbox.Namespaces: {"signal a process", "trace a process", "read a process", "take a process's file"},
	sandbox.Capabilities: {"make a device", "a socket of frames", "a raw socket", "mount", "a mount namespace",
		"become another user", "change the root folder", "raise a limit", "name the host", "more priority",
		"read memory of a process", "trace a process"},
	sandbox.Landlock: {"read a file of root's", "read the disk", "read memory of a process", "read what root started",
		"read /sys", "list a folder",
		"write a file", "change a file", "make a folder", "remove a file", "make a device",
		"start a program", "signal a process", "trace a process", "read a process", "take a process's file", "listen",
		"mount", "rename a file"},
	sandbox.Seccomp: {"write a file", "change a file", "make a folder", "remove a file", "make a device",
		"start a program", "start itself again", "signal a process", "trace a process", "read a process",
		"take a process's file", "listen", "a socket of routes", "a socket of frames", "a socket of the machine",
		"mount", "a user namespace", "a mount namespace", "become another user", "change the root folder",
		"raise a limit", "name the host", "executable memory", "memory made executable", "a file in memory",
		"io_uring", "faults in user space", "the kernel's keys", "be traced and dumped", "more priority",
		"rename a file"},
}

// unseen are sockets that the filter does not see on one processor.
func unseen(name string) bool {
	return runtime.GOARCH == "386" && strings.HasPrefix(name, "a socket of ")
}

// later tells whether the kernel's Landlock, which detail begins with, is too old for what it stops in a newer one.
func later(name, detail string) bool {
	var version int
	fmt.Sscanf(detail, "version %d", &version)
	return version > 0 && (name == "listen" && version < 4 || name == "signal a process" && version < 6)
}

func last(name string) string {
	if name == "become another user" {
		return name
	}
	return ""
}

func all() (names []string) {
	for name := range attacks {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { // what changes the process comes last
		return cmp.Or(strings.Compare(last(a), last(b)), strings.Compare(a, b))
	})
	return names
}

// TestAttacksWorkWithoutASandbox: else the other tests would show nothing.
func TestAttacksWorkWithoutASandbox(t *testing.T) {
	p := newPlace(t)
	a := run(t, order{Attacks: all(), Place: p, Policy: sandbox.Policy{Without: sandbox.Names()}},
		func(o *sandbox.Options) { o.Without = sandbox.Names() })
	for name, err := range a.Errors {
		// Root need not have CAP_SYS_RESOURCE where tests run, nor the kernel all of the rest.
		if err != "" && !slices.Contains([]string{"read /sys", "the kernel's keys", "raise a limit"}, name) {
			t.Errorf("%s: %s", name, err)
		}
	}
}

// TestEachFeatureStopsAttacksByItself: no feature counts on another.
func TestEachFeatureStopsAttacksByItself(t *testing.T) {
	for name, stops := range stopped {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			on := []string{name}
			if name == sandbox.Seccomp {
				on = append(on, sandbox.Privileges)
			}
			a := run(t, order{Attacks: all(), Place: p,
				Policy: sandbox.Policy{Network: true, Read: true, Without: everythingBut(on...)}},
				func(o *sandbox.Options) { o.Without = everythingBut(on...) })
			if f := feature(t, a.Features, name); !f.On {
				t.Fatalf("it is off: %s", f.Detail)
			}
			for _, s := range stops {
				if attacks[s] == nil {
					t.Errorf("%q is no attack", s)
				} else if a.Errors[s] == "" && !unseen(s) && !later(s, feature(t, a.Features, name).Detail) {
					t.Errorf("it does not stop: %s", s)
				}
			}
			for s, err := range a.Errors {
				if err != "" && !slices.Contains(stops, s) {
					t.Logf("it stops, too: %s: %s", s, err)
				}
			}
		})
	}
}

// TestTakenOverProcessReachesNothing: with all features each attack fails.
func TestTakenOverProcessReachesNothing(t *testing.T) {
	p := newPlace(t)
	for _, network := range []bool{true, false} {
		a := run(t, order{Attacks: all(), Place: p, Policy: sandbox.Policy{Network: network, Read: network}},
			func(o *sandbox.Options) { o.Network = network })
		for _, f := range a.Features {
			if !f.On {
				t.Errorf("%s is off: %s", f.Name, f.Detail)
			}
			t.Logf("%s: %s", f.Name, f.Detail)
		}
		for name, err := range a.Errors {
			if err == "" && !(network && unseen(name)) {
				t.Errorf("it did: %s (network %v)", name, network)
			}
		}
	}
}
