package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/agent/control"
)

// TestMain lets the test binary be a client of another user.
func TestMain(m *testing.M) {
	if path := os.Getenv("CONTROL_TEST_CLIENT"); path != "" {
		c, err := control.Dial(path)
		if err == nil {
			var out json.RawMessage
			out, err = c.Do(context.Background(), control.Verb(os.Getenv("CONTROL_TEST_VERB")), nil, nil, nil)
			fmt.Printf("%s", out)
		}
		if err != nil {
			fmt.Printf("%v", err)
		}
		os.Exit(control.Exit(err))
	}
	os.Exit(m.Run())
}

func TestRight(t *testing.T) {
	me := os.Geteuid()
	other := me + 4711
	a := control.Access{Read: []uint32{uint32(other + 1)}, Write: []uint32{uint32(other + 2)}, ReadGroup: []uint32{100},
		WriteGroup: []uint32{200}}
	for _, tt := range []struct {
		name string
		peer control.Peer
		want control.Right
	}{
		{"root", control.Peer{UID: 0, GID: 5}, control.Write},
		{"the daemon's own user", control.Peer{UID: me}, control.Write},
		{"stranger", control.Peer{UID: other, GID: 5}, control.None},
		{"stranger in group root", control.Peer{UID: other, GID: 0}, control.None},
		{"reader", control.Peer{UID: other + 1, GID: 5}, control.Read},
		{"writer", control.Peer{UID: other + 2, GID: 5}, control.Write},
		{"reader's group", control.Peer{UID: other, GID: 100}, control.Read},
		{"supplementary group", control.Peer{UID: other, GID: 5, Groups: []int{7, 200}}, control.Write},
		{"a group id is no user id", control.Peer{UID: 200, GID: 5}, control.None},
		{"a user id is no group id", control.Peer{UID: other, GID: other + 2}, control.None},
	} {
		if got := a.Right(tt.peer); got != tt.want {
			t.Errorf("%s: right %d, want %d", tt.name, got, tt.want)
		}
	}
	if got := (control.Access{}).Right(control.Peer{UID: other, GID: 5}); got != control.None {
		t.Errorf("without configuration: right %d", got)
	}
}

// stranger lets user 64001 ask at a socket that everybody may reach, in a process of its own.
func stranger(t *testing.T,
	path *string) (ask func(verb control.Verb, gid uint32, groups ...uint32) (out string, code int)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	exe := filepath.Join(filepath.Dir(*path), "client")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(exe, self, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(filepath.Dir(*path), 0o755), os.Chmod(*path, 0o666)); err != nil {
		t.Fatal(err)
	}
	return func(verb control.Verb, gid uint32, groups ...uint32) (string, int) {
		t.Helper()
		cmd := exec.Command(exe)
		cmd.Env = []string{"CONTROL_TEST_CLIENT=" + *path, "CONTROL_TEST_VERB=" + string(verb)}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 64001, Gid: gid, Groups: groups}}
		out, err := cmd.Output()
		if cmd.ProcessState == nil {
			t.Skipf("cannot be somebody else: %v", err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
}

// Real clients of another user, told apart by the kernel.
func TestOtherUsers(t *testing.T) {
	const gid, group = 64002, 64003
	path, _ := serve(t, control.Access{WriteGroup: []uint32{group + 1}},
		func(_ context.Context, r control.Request, _ func(any)) (any, error) {
			return r.Peer, nil
		})
	ask := stranger(t, &path)
	if out, code := ask(control.VerbStatus, gid); code != control.ExitNotPermitted ||
		!strings.Contains(out, "uid 64001 may not") {
		t.Errorf("stranger: %q, exit %d", out, code)
	}
	if out, code := ask(control.VerbConfirm, gid, group, group+1); code != control.ExitOK ||
		!strings.Contains(out, `"Groups":[64003,64004]`) {
		t.Errorf("writer by a supplementary group: %q, exit %d", out, code)
	}

	// The socket's own group may look, and no more.
	if err := os.Chown(path, 0, group); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path+"2")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chown(path+"2", 0, group), os.Chmod(path+"2", 0o660)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, l, control.Access{}, echo) }()
	defer func() { cancel(); <-done }()
	path += "2"
	if out, code := ask(control.VerbStatus, gid, group); code != control.ExitOK {
		t.Errorf("the socket's group: %q, exit %d", out, code)
	}
	if out, code := ask(control.VerbStatus, group); code != control.ExitOK {
		t.Errorf("the socket's group as the primary one: %q, exit %d", out, code)
	}
	if out, code := ask(control.VerbConfirm, gid, group); code != control.ExitNotPermitted ||
		!strings.Contains(out, "may not confirm") {
		t.Errorf("the socket's group writes: %q, exit %d", out, code)
	}
	if out, code := ask(control.VerbStatus, gid); code != control.ExitNotPermitted {
		t.Errorf("the file's mode: %q, exit %d", out, code)
	}
}

func TestPeerGroups(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fds[0]); _ = unix.Close(fds[1]) }()
	want, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	got := control.PeerGroups(uintptr(fds[0]))
	if got == nil {
		t.Skip("this kernel does not tell the groups of a peer")
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("groups %v, want %v", got, want)
	}
}

func TestListen(t *testing.T) {
	dir, err := os.MkdirTemp("", "ctl")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "made", "s")
	for _, umask := range []int{0, 0o022, 0o077} {
		old := syscall.Umask(umask)
		l, err := control.Listen(path, 0o660)
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil || st.Mode().Perm() != 0o660 {
			t.Errorf("umask %o: mode %v, %v", umask, st.Mode(), err)
		}
		if _, err := control.Listen(path, 0o660); !errors.Is(err, control.ErrInUse) {
			t.Errorf("a second daemon: %v", err)
		}
		// As after SIGKILL: the file stays, nobody listens.
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		l.Close()
		if _, err := os.Stat(path); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{file, dir, filepath.Join(file, "s"), "", "@abstract",
		filepath.Join(dir, strings.Repeat("x", 108))} {
		if l, err := control.Listen(bad, 0o660); err == nil {
			l.Close()
			t.Errorf("listens on %q", bad)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Errorf("the file is now %q, %v", b, err)
	}
}

func TestDial(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	for _, path := range []string{filepath.Join(dir, "none"), stale, dir + "/none/s"} {
		_, err := control.Dial(path)
		if !errors.Is(err, control.ErrUnreachable) || control.Exit(err) != control.ExitUnreachable {
			t.Errorf("%s: %v", path, err)
		}
	}
}
