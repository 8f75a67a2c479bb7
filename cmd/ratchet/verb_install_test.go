package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
)

// installer is a daemon that installs: it answers the check, then reads the payloads.
type installer struct {
	check control.InstallCheck
	end   error
	got   atomic.Value // string
}

func (i *installer) seen() string { s, _ := i.got.Load().(string); return s }

func (i *installer) handle(_ context.Context, r control.Request, progress func(any)) (any, error) {
	var all []string
	for _, f := range r.Files {
		b, err := io.ReadAll(f)
		if err != nil {
			return nil, err
		}
		all = append(all, string(b))
	}
	if r.Args["step"] == control.StepCheck {
		return i.check, nil
	}
	names, err := r.Names()
	if err != nil {
		return nil, err
	}
	i.got.Store(fmt.Sprintf("%s%v%v", r.Args["envelope"], names, all))
	progress(control.Progress{Phase: "writing", Component: "rootfs", Percent: 50, Done: 1, Size: 2, ETASeconds: -1})
	time.Sleep(20 * time.Millisecond)
	return control.Done{Result: "rebooting", Says: "It reboots.", Reboots: true}, i.end
}

func bundle(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("<"+name+">"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, files[0])
}

func TestVerbInstall(t *testing.T) {
	need := func(names ...string) []control.Payload {
		out := []control.Payload{}
		for _, n := range names {
			out = append(out, control.Payload{Name: n, Component: "rootfs"})
		}
		return out
	}
	elsewhere := bundle(t, "other.img")
	for _, tt := range []struct {
		name  string
		files []string // beside the envelope u.suit
		args  []string
		check control.InstallCheck
		end   error
		code  int
		got   string
		want  string // on stderr
	}{
		{name: "beside the envelope",
			files: []string{"rootfs.img"}, check: control.InstallCheck{Outcome: "install", Need: need("rootfs.img")},
			got: "u.suit[rootfs.img][<u.suit> <rootfs.img>]", want: "writing rootfs   50 %"},
		{name: "nothing needed",
			check: control.InstallCheck{Outcome: "install", Need: need()}, got: "u.suit[][<u.suit>]"},
		{name: "two of them",
			files: []string{"a.img", "b.img"},
			check: control.InstallCheck{Outcome: "install", Need: need("b.img", "a.img")},
			got:   "u.suit[b.img a.img][<u.suit> <b.img> <a.img>]"},
		{name: "an encoded name",
			files: []string{"root fs.img"},
			check: control.InstallCheck{Outcome: "install", Need: need("root%20fs.img")},
			got:   "u.suit[root%20fs.img][<u.suit> <root fs.img>]"},
		{name: "somewhere else",
			args:  []string{"--payload", elsewhere},
			check: control.InstallCheck{Outcome: "install", Need: need("rootfs.img")},
			got:   "u.suit[rootfs.img][<u.suit> <other.img>]"},
		{name: "missing", check: control.InstallCheck{Outcome: "install", Need: need("rootfs.img")},
			code: control.ExitFailed, want: "--payload"},
		{name: "of another size", files: []string{"rootfs.img"},
			check: control.InstallCheck{Outcome: "install", Need: []control.Payload{{Name: "rootfs.img", Bytes: 5000}}},
			code:  control.ExitFailed, want: "12 bytes, and the update needs a file of 5000 bytes"},
		{name: "one too many",
			files: []string{"rootfs.img", "b.img"},
			args:  []string{"--payload", elsewhere, "--payload", elsewhere + "2"}, check: control.InstallCheck{
				Outcome: "install", Need: need("rootfs.img", "b.img")}, code: control.ExitUsage, want: "does not need"},
		{name: "a name with a path", check: control.InstallCheck{Outcome: "install", Need: need("../../etc/shadow")},
			code: control.ExitFailed, want: "not a plain file name"},
		{name: "refused",
			check: control.InstallCheck{Outcome: "refuse",
				Findings: []control.Finding{{Reason: "wrong-class", Says: "It is for another class."}}},
			code: control.ExitRefused, want: "[wrong-class]"},
		{name: "deferred",
			check: control.InstallCheck{Outcome: "defer",
				Findings: []control.Finding{{Reason: "low-battery", Says: "Too low."}}},
			code: control.ExitDeferred, want: "[low-battery]"},
		{name: "fails", check: control.InstallCheck{Outcome: "install", Need: need()},
			end: &control.Error{Reason: "image-corrupt", Message: "the image is damaged", Advice: "Copy it again.",
				Exit: control.ExitFailed},
			code: control.ExitFailed, want: "the image is damaged [image-corrupt]\n  Copy it again."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := &installer{check: tt.check, end: tt.end}
			socket := fakeDaemon(t, d.handle)
			env := bundle(t, append([]string{"u.suit"}, tt.files...)...)
			out, errs, code := verb(t, socket, append([]string{"install", env}, tt.args...)...)
			if code != tt.code || tt.got != "" && d.seen() != tt.got || !strings.Contains(errs, tt.want) {
				t.Errorf("exit %d, daemon got %q, %q", code, d.seen(), errs)
			}
			if code == 0 && !strings.HasPrefix(out, "It reboots.\n") {
				t.Errorf("stdout %q", out)
			}
		})
	}
}

func TestVerbInstallBadFile(t *testing.T) {
	socket := fakeDaemon(t, answer(nil))
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, make([]byte, 65<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"/nonexistent": "no such file", t.TempDir(): "",
		big: "is this the payload?", fifo: "", "/dev/null": ""} {
		_, errs, code := verb(t, socket, "install", file, "--yes")
		if code != control.ExitFailed || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d, %q", file, code, errs)
		}
	}
}

// The connection ends when the machine reboots; that is no failure then, and one otherwise.
func TestVerbInstallLost(t *testing.T) {
	for phase, want := range map[string]int{"rebooting": control.ExitOK, "writing": control.ExitFailed} {
		path := filepath.Join(t.TempDir(), "s")
		l, err := control.Listen(path, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for _, line := range []string{`{"result":{"outcome":"install","need":[]}}`,
				`{"progress":{"phase":"` + phase + `","percent":-1}}`} {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, line+"\n")
				_ = conn.Close()
			}
		}()
		if _, errs, code := verb(t, path, "install", bundle(t, "u.suit")); code != want {
			t.Errorf("lost in %s: exit %d, %q", phase, code, errs)
		}
		l.Close()
	}
}

// pty is a terminal of 100 columns: the side of the person, and that of the program.
func pty(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminal: %v", err)
	}
	t.Cleanup(func() { person.Close() })
	fd := int(person.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Skipf("no terminal: %v", err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal: %v", err)
	}
	t.Cleanup(func() { program.Close() })
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 25, Col: 100}); err != nil {
		t.Fatal(err)
	}
	return person, program
}

func TestVerbOnTerminal(t *testing.T) {
	for _, tt := range []struct {
		answer string
		code   int
		got    string
	}{{"y\n", 0, "u.suit[][<u.suit>]"}, {"\n", control.ExitFailed, ""}, {"n\n", control.ExitFailed, ""}} {
		d := &installer{check: control.InstallCheck{Outcome: "install", Need: []control.Payload{}}}
		t.Setenv("RATCHET_SOCKET", fakeDaemon(t, d.handle))
		person, program := pty(t)
		if !screen.Terminal(program) || screen.Width(program) != 100 {
			t.Fatalf("terminal %v, width %d", screen.Terminal(program), screen.Width(program))
		}
		seen := make(chan string, 1)
		go func() {
			var all []byte
			buf := make([]byte, 4096)
			for !bytes.Contains(all, []byte("THE END")) {
				n, err := person.Read(buf)
				all = append(all, buf[:n]...)
				if err != nil {
					break
				}
				if bytes.HasSuffix(all, []byte("[y/N] ")) {
					_, _ = person.WriteString(tt.answer)
				}
			}
			seen <- string(all)
		}()
		code := run(t.Context(), []string{"install", bundle(t, "u.suit")}, program, program, program)
		fmt.Fprint(program, "THE END")
		text := <-seen
		if code != tt.code || d.seen() != tt.got {
			t.Errorf("answer %q: exit %d, daemon got %q\n%s", tt.answer, code, d.seen(), text)
		}
		if code == 0 && (!strings.Contains(text, "\rwriting rootfs  [####") || !strings.Contains(text, "\x1b[K")) {
			t.Errorf("no progress bar: %q", text)
		}
		if code != 0 && !strings.Contains(text, "Nothing was done.") {
			t.Errorf("%q", text)
		}
	}
	_, program := pty(t)
	if code := run(t.Context(), []string{"evidence", "export"}, program,
		program, io.Discard); code != control.ExitUsage {
		t.Errorf("binary on a terminal: exit %d", code)
	}
}

// Ctrl-C leaves the installation to the daemon.
func TestVerbInstallLeft(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Setenv("RATCHET_SOCKET", fakeDaemon(t, func(ctx context.Context, r control.Request, _ func(any)) (any, error) {
		if r.Args["step"] == control.StepCheck {
			return control.InstallCheck{Outcome: "install"}, nil
		}
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	var errs bytes.Buffer
	if code := run(ctx, []string{"install", bundle(t, "u.suit")}, nil, io.Discard, &errs); code != control.ExitFailed ||
		!strings.Contains(errs.String(), "goes on in the daemon") {
		t.Errorf("exit %d, %q", code, errs.String())
	}
}
