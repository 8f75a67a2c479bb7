package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/boxtest"
	"github.com/ratchet-ota/ratchet/hal/linux/sandbox/sandboxtest"
)

// TestMain lets the test binary be the program: the daemon under test is a process of its own, which
// can be killed.
func TestMain(m *testing.M) {
	if os.Getenv("RATCHET_TEST_MAIN") == "1" {
		main()
		return
	}
	boxtest.Main(m, nil)
}

// box is a device made of files, and the daemon that runs on it.
type box struct {
	*boxtest.Box
	t   *testing.T
	cmd *exec.Cmd
	log bytes.Buffer
}

func newBox(t *testing.T) *box {
	t.Helper()
	b := &box{Box: boxtest.New(t), t: t}
	b.Write("ratchet.toml", []byte(b.Config()))
	return b
}

func (b *box) start() {
	b.t.Helper()
	b.startOn()
}

// startOn starts the daemon on a machine that lacks something.
func (b *box) startOn(lacks ...sandboxtest.Lack) {
	b.t.Helper()
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	b.cmd = exec.Command(self, "daemon", "--config", b.Path("ratchet.toml"), "--state", b.Path("state"))
	b.cmd.Env = append(os.Environ(), "RATCHET_TEST_MAIN=1")
	b.cmd.Stderr = &b.log
	start := b.cmd.Start
	if len(lacks) > 0 {
		start = func() error { return sandboxtest.Start(b.cmd, lacks...) }
	}
	if err := start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.kill() })
}

func (b *box) kill() {
	if b.cmd != nil {
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait()
		b.cmd = nil
	}
}

// stop ends the daemon as systemd does, and returns its exit code.
func (b *box) stop() int {
	b.t.Helper()
	_ = b.cmd.Process.Signal(os.Interrupt)
	_ = b.cmd.Wait()
	code := b.cmd.ProcessState.ExitCode()
	b.cmd = nil
	return code
}

// status asks the daemon until it answers.
func (b *box) status() control.Status {
	b.t.Helper()
	var st control.Status
	var last error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		c, err := control.Dial(b.Path("s"))
		if err != nil {
			last = err
			continue
		}
		raw, err := c.Do(context.Background(), control.VerbStatus, nil, nil, nil)
		_ = c.Close()
		if err != nil {
			last = err
			continue
		}
		if err := json.Unmarshal(raw, &st); err != nil {
			b.t.Fatal(err)
		}
		if st.Phase == "idle" && (st.Mode == control.ModeBootSafe || st.Running.Name != "") {
			return st
		}
	}
	b.t.Fatalf("the daemon does not answer: %v\n%s", last, b.log.String())
	return st
}

func TestDaemonNormal(t *testing.T) {
	b := newBox(t)
	b.start()
	st := b.status()
	if st.Mode != control.ModeNormal || st.Running.Name != "A" || !st.Running.Confirmed || st.Other.Name != "B" {
		t.Errorf("status %+v", st)
	}
	if code := b.stop(); code != 0 {
		t.Errorf("exit %d\n%s", code, b.log.String())
	}
	for _, f := range []string{"state/device.key", "state/device.pem", "state/last-good.toml", "state/provisioned"} {
		if _, err := os.Stat(b.Path(f)); err != nil {
			t.Error(err)
		}
	}
}

// TestBrokerTrouble: a technician sees in the status why there is no connection to the broker.
func TestBrokerTrouble(t *testing.T) {
	b := newBox(t)
	b.Write("ratchet.toml", []byte(b.Config()+"[mqtt]\nurl = \"mqtts://127.0.0.1:1\"\n[proxy]\nurl = \"direct\"\n"))
	b.start()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		got := b.status().Broker
		if strings.Contains(got.Error, "connection refused") && !got.Online {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the status says %+v", got)
		}
	}
}

// TestSignerUnknownAdvice: ratchet status shows whom the device trusts, as the advice of this reason promises.
func TestSignerUnknownAdvice(t *testing.T) {
	if advice := reason.SignerUnknown.Info().Advice; !strings.Contains(advice, "`ratchet status` shows its keys") {
		t.Errorf("signer-unknown advises %q", advice)
	}
	b := newBox(t)
	pem, err := os.ReadFile(b.Path("release.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := trust.ParsePublic(pem)
	if err != nil {
		t.Fatal(err)
	}
	b.start()
	b.status()
	out, errs, code := verb(t, b.Path("s"), "status")
	if want := "Trusts      1 release key: " + key.ID()[:16] + "\n"; code != 0 || !strings.Contains(out, want) {
		t.Errorf("status: exit %d, %s, without %q:\n%s", code, errs, want, out)
	}
}

// TestDaemonBadConfig: the daemon never exits; it says what is wrong, from the last good
// configuration when there is one, and from nothing when there is none.
func TestDaemonBadConfig(t *testing.T) {
	b := newBox(t)
	b.start()
	b.status()
	b.stop()
	b.Write("ratchet.toml", []byte(b.Config()+"[policy]\nmin-batery-percent = 3\n"))
	b.start()
	st := b.status()
	if st.Mode != control.ModeBootSafe || !strings.Contains(st.ModeWhy, "min-batery-percent") ||
		!strings.Contains(st.ModeWhy, "ratchet.toml:") {
		t.Errorf("mode %s, why %q", st.Mode, st.ModeWhy)
	}
	if st.Running.Name != "A" || !st.Running.Confirmed {
		t.Errorf("boot-safe mode does not know what runs: %+v", st.Running)
	}
	b.stop()
	if err := os.Remove(b.Path("state/last-good.toml")); err != nil {
		t.Fatal(err)
	}
	b.Write("ratchet.toml", []byte("this is no TOML"))
	b.cmd = nil
	self, _ := os.Executable()
	cmd := exec.Command(self, "daemon", "--config", b.Path("ratchet.toml"), "--state", b.Path("state"))
	cmd.Env = append(os.Environ(), "RATCHET_TEST_MAIN=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Errorf("the daemon has exited on its own: %v", err)
	}
	_ = cmd.Wait()
}

// TestDaemonUnusableConfig: a configuration that reads well and cannot be wired leaves the device with
// the last good one, so that the running slot is still looked after.
func TestDaemonUnusableConfig(t *testing.T) {
	b := newBox(t)
	b.start()
	b.status()
	b.stop()
	b.Write("ratchet.toml", []byte(strings.Replace(b.Config(), "[boot]", "[boot]\nmax-trial-boots = 3\ntries = 77", 1)))
	b.start()
	st := b.status()
	if st.Mode != control.ModeBootSafe || !strings.Contains(st.ModeWhy, "77") || st.Running.Name != "A" ||
		!st.Running.Confirmed {
		t.Errorf("mode %s, why %q, running %+v", st.Mode, st.ModeWhy, st.Running)
	}
}

// TestDaemonTellsFaultsInOneLine: a status has one line for why it is as it is, whatever the file has.
func TestDaemonTellsFaultsInOneLine(t *testing.T) {
	b := newBox(t)
	b.start()
	b.status()
	b.stop()
	b.Write("ratchet.toml", []byte(b.Config()+"[policy]\nmin-batery-percent = 3\n[lgo]\n"))
	b.start()
	if st := b.status(); !strings.Contains(st.ModeWhy, "min-batery-percent") || !strings.Contains(st.ModeWhy, "; ") ||
		!strings.Contains(st.ModeWhy, "lgo") || strings.Contains(st.ModeWhy, "\n") {
		t.Errorf("why %q", st.ModeWhy)
	}
}

// TestDaemonTwice: a second daemon ends and touches nothing; the first one goes on.
func TestDaemonTwice(t *testing.T) {
	b := newBox(t)
	b.start()
	b.status()
	env := func() string {
		var all string
		for _, f := range []string{"env0", "env1"} {
			raw, err := os.ReadFile(b.Path(f))
			if err != nil {
				t.Fatal(err)
			}
			all += string(raw)
		}
		return all
	}
	before := env()
	for calm := 0; calm < 10; calm++ { // the first one looks after them when it starts
		time.Sleep(50 * time.Millisecond)
		if now := env(); now != before {
			before, calm = now, 0
		}
	}
	self, _ := os.Executable()
	cmd := exec.Command(self, "daemon", "--config", b.Path("ratchet.toml"), "--state", b.Path("state"))
	cmd.Env = append(os.Environ(), "RATCHET_TEST_MAIN=1")
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "another ratchet daemon") {
		t.Errorf("%v\n%s", err, out)
	}
	if env() != before {
		t.Error("the second daemon wrote boot metadata")
	}
	if st := b.status(); st.Mode != control.ModeNormal {
		t.Errorf("the first daemon is in mode %s", st.Mode)
	}
}

// TestDaemonCorruptJournal: it is set aside, said so, and the device works; the loss shows in the evidence.
func TestDaemonCorruptJournal(t *testing.T) {
	b := newBox(t)
	b.start()
	b.status()
	b.stop()
	journal := b.Path("state/journal.db")
	data, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 64<<10; i++ {
		data[i] ^= 0x5a
	}
	b.Write("state/journal.db", data)
	b.start()
	st := b.status()
	if st.Mode != control.ModeNormal || st.Running.Name != "A" {
		t.Errorf("status %+v", st)
	}
	if m, _ := filepath.Glob(journal + ".corrupt-*"); len(m) != 1 {
		t.Errorf("the corrupt journal was not set aside: %v", m)
	}
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"history", "--socket", b.Path("s")}, nil, &out, &errs); code != 0 ||
		!strings.Contains(out.String(), "journal-lost") {
		t.Errorf("history: %d %s%s", code, out.String(), errs.String())
	}
}

// TestDaemonKilled: SIGKILL at any instant is harmless.
func TestDaemonKilled(t *testing.T) {
	b := newBox(t)
	for i := 0; i < 12; i++ {
		b.start()
		time.Sleep(time.Duration(7*i) * time.Millisecond)
		b.kill()
	}
	b.start()
	if st := b.status(); st.Mode != control.ModeNormal || !st.Running.Confirmed {
		t.Errorf("status %+v\n%s", st, b.log.String())
	}
}

// TestDaemonReadOnlyState: said plainly, and the device goes on.
func TestDaemonUnusableState(t *testing.T) {
	b := newBox(t)
	b.Write("state", []byte("a file where the state directory should be"))
	b.start()
	st := b.status()
	if st.Mode != control.ModeBootSafe || !strings.Contains(st.ModeWhy, "state directory") {
		t.Errorf("mode %s, why %q", st.Mode, st.ModeWhy)
	}
}

func TestCheckConfig(t *testing.T) {
	b := newBox(t)
	tests := []struct {
		name, config, want string
		code               int
	}{
		{"good", b.Config(), "is good", 0},
		{"unknown key", b.Config() + "[log]\nlevle = \"info\"\n", `unknown key "log.levle"`, 1},
		{"wrong type", strings.Replace(b.Config(), `id = "box"`, "id = 7", 1), "c.toml:2:6: device.id", 1},
		{"no key", strings.Replace(b.Config(), "release.pem", "nothing.pem", 1), "nothing.pem", 1},
		{"bad backend",
			strings.Replace(b.Config(), `"u-boot"`, `"lilo"`, 1), "u-boot, grub, systemd-boot, uefi, hook", 1},
		{"systemd-boot",
			strings.Replace(b.Config(), `"u-boot"`, "\"systemd-boot\"\nentries = \"/efi/loader/entries\"", 1),
			"is good", 0},
		{"relative entries",
			strings.Replace(b.Config(), `"u-boot"`, "\"systemd-boot\"\nentries = \"entries\"", 1), "absolute", 1},
		{"uefi",
			strings.Replace(b.Config(), `"u-boot"`, "\"uefi\"\nload-options = { A = \"0010\", B = \"001A\" }", 1),
			"is good", 0},
		{"bad load option", strings.Replace(b.Config(), `"u-boot"`, "\"uefi\"\nload-options = { A = \"Boot0010\" }", 1),
			"boot.load-options.A", 1},
		{"load option of no slot",
			strings.Replace(b.Config(), `"u-boot"`, "\"uefi\"\nload-options = { C = \"0010\" }", 1), "no slot", 1},
		{"relative slot", strings.Replace(b.Config(), b.Path("b.img"), "b.img", 1), "absolute", 1},
		{"bad id", strings.Replace(b.Config(), `id = "box"`, `id = "a/b"`, 1), "device.id", 1},
		{"bad window", b.Config() + "[policy]\nwindows = [{from = \"2\", to = \"04:00\"}]\n", "time of day", 1},
		{"one slot", strings.Replace(b.Config(), "[slots.B.parts]", "[slots.A.more]", 1), "", 1},
		{"broker check without broker", b.Config() + "[health]\nbroker = true\n", "[mqtt]", 1},
	}
	for _, tt := range tests {
		b.Write("c.toml", []byte(tt.config))
		var out, errs bytes.Buffer
		code := run(context.Background(), []string{"daemon", "--check-config", "--config", b.Path("c.toml")},
			nil, &out, &errs)
		if all := out.String() + errs.String(); code != tt.code || !strings.Contains(all, tt.want) {
			t.Errorf("%s: exit %d, %q; want %d and %q", tt.name, code, all, tt.code, tt.want)
		}
	}
}
