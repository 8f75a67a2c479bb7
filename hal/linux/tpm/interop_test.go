//go:build linux && interop

package tpm_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/hal/haltest"
	"github.com/ratchet-ota/ratchet/hal/linux/tpm"
)

// swtpm is a real TPM 2.0 implementation (libtpms) on a unix socket, with its memory in a directory.
type swtpm struct {
	t    *testing.T
	dir  string
	path string // of the socket for TPM commands
	cmd  *exec.Cmd
	runs int
}

func startSWTPM(t *testing.T) *swtpm {
	t.Helper()
	if _, err := exec.LookPath("swtpm"); err != nil {
		t.Fatal("swtpm is not installed; run scripts/deps.sh interop")
	}
	dir, err := os.MkdirTemp("", "tpm") // short: a socket's path has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	s := &swtpm{t: t, dir: dir}
	t.Cleanup(func() { s.kill(); os.RemoveAll(dir) })
	s.start()
	return s
}

func (s *swtpm) start() {
	s.t.Helper()
	s.runs++
	s.path = filepath.Join(s.dir, fmt.Sprintf("s%d", s.runs))
	s.cmd = exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+s.dir, "--server",
		"type=unixio,path="+s.path, "--ctrl", "type=unixio,path="+s.path+".ctrl", "--flags",
		"not-need-init,startup-clear")
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		// The socket is there before somebody listens.
		if c, err := net.Dial("unix", s.path); err == nil {
			c.Close()
			return
		} else if time.Now().After(end) {
			s.t.Fatal("swtpm does not start")
		}
	}
}

// kill takes the TPM's power away.
func (s *swtpm) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// again is the TPM after a power cut.
func (s *swtpm) again() { s.kill(); s.start() }

func (s *swtpm) counter() *tpm.Counter { return tpm.New(s.path, index) }

// tool asks tpm2-tools, which is somebody else's implementation.
func (s *swtpm) tool(args ...string) string {
	s.t.Helper()
	if _, err := exec.LookPath(args[0]); err != nil {
		s.t.Fatal(args[0] + " is not installed; run scripts/deps.sh interop")
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "TPM2TOOLS_TCTI=swtpm:path="+s.path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// The suite of every counter, on a real TPM, for both who may own it.
func TestTPMConformance(t *testing.T) {
	for _, how := range []tpm.Provision{{}, {Platform: true}} {
		c := startSWTPM(t).counter()
		if made, err := c.Make(t.Context(), how); !made || err != nil {
			t.Fatal(made, err)
		}
		haltest.Counter(t, c, true)
	}
}

// The TPM loses its power between increments, and in the middle of them: the counter never goes
// back, and never beyond what was asked.
func TestTPMPowerCuts(t *testing.T) {
	s := startSWTPM(t)
	if _, err := s.counter().Make(t.Context(), tpm.Provision{}); err != nil {
		t.Fatal(err)
	}
	done, asked := uint64(0), uint64(0)
	for i := range 20 {
		c := s.counter()
		asked = done + 8
		raised := make(chan error, 1)
		go func() { raised <- c.Raise(t.Context(), asked) }()
		time.Sleep(time.Duration(i) * 500 * time.Microsecond)
		s.again()
		err := <-raised
		v, rerr := s.counter().Read(t.Context())
		if rerr != nil || v < done || v > asked || err == nil && v != asked {
			t.Fatalf("cut %d: %d -> %d, asked for %d (%v, %v)", i, done, v, asked, err, rerr)
		}
		done = v
	}
	t.Logf("20 cuts, at %d of %d", done, 20*8)
}

// A power cut at any time while the counter is made: it is made by running it again.
func TestTPMMakePowerCuts(t *testing.T) {
	for i := range 12 {
		s := startSWTPM(t)
		c := s.counter()
		made := make(chan error, 1)
		go func() { _, err := c.Make(t.Context(), tpm.Provision{Version: 1}); made <- err }()
		time.Sleep(time.Duration(i) * time.Millisecond)
		s.again()
		err := <-made
		c = s.counter()
		if v, rerr := c.Read(t.Context()); rerr == nil && v > 1 || rerr != nil && !errors.Is(rerr, tpm.ErrMissing) &&
			!errors.Is(rerr, tpm.ErrUnfinished) {
			t.Errorf("cut %d: %d, %v (%v)", i, v, rerr, err)
		}
		if _, err := c.Make(t.Context(), tpm.Provision{Version: 1}); err != nil {
			t.Fatalf("cut %d: cannot be made again: %v", i, err)
		}
		is(t, c, 1)
	}
}

// tpm2-tools sees the index as it is described in docs/formats/state.md, and what it can do to it is noticed.
func TestTPMTools(t *testing.T) {
	s := startSWTPM(t)
	c := s.counter()
	if _, err := c.Make(t.Context(), tpm.Provision{Version: 3}); err != nil {
		t.Fatal(err)
	}
	before, err := c.Origin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	public := s.tool("tpm2_nvreadpublic", fmt.Sprintf("%#x", index))
	for _, want := range []string{"0x22070014", "nt=0x1|",
		fmt.Sprintf("%X", "ratchet counter, base 1\x00"), "size: 8"} {
		if !strings.Contains(public, want) {
			t.Errorf("%q is not in\n%s", want, public)
		}
	}
	s.tool("tpm2_nvincrement", fmt.Sprintf("%#x", index))
	is(t, c, 4)

	// The owner deletes it: missing, not zero. Makes it again: another origin.
	s.tool("tpm2_nvundefine", "-C", "o", fmt.Sprintf("%#x", index))
	if v, err := c.Read(t.Context()); !errors.Is(err, tpm.ErrMissing) {
		t.Errorf("a deleted counter is %d, %v", v, err)
	}
	s.tool("tpm2_nvdefine", "-C", "o", "-s", "8", "-a", "nt=counter|authread|authwrite|ownerread|ppread|no_da",
		fmt.Sprintf("%#x", index))
	if v, err := c.Read(t.Context()); !errors.Is(err, tpm.ErrForeign) {
		t.Errorf("somebody else's counter is %d, %v", v, err)
	}
	s.tool("tpm2_nvundefine", "-C", "o", fmt.Sprintf("%#x", index))
	if _, err := c.Make(t.Context(), tpm.Provision{Version: 4}); err != nil {
		t.Fatal(err)
	}
	if after, err := c.Origin(t.Context()); after == before || err != nil {
		t.Errorf("origin %q, then %q, %v", before, after, err)
	}

	// With a password that nobody knows any more the owner cannot.
	s.tool("tpm2_changeauth", "-c", "owner", "secret")
	if _, err := c.Make(t.Context(), tpm.Provision{Replace: true}); err == nil ||
		!strings.Contains(err.Error(), "password") {
		t.Error(err)
	}
	is(t, c, 4)
	if _, err := c.Make(t.Context(), tpm.Provision{Replace: true, Password: []byte("secret")}); err != nil {
		t.Error(err)
	}
}

// The platform's counter outlives the owner and a clear of the TPM; the owner's does not.
func TestTPMCleared(t *testing.T) {
	s := startSWTPM(t)
	owners, platforms := tpm.New(s.path, index), tpm.New(s.path, index+1)
	if _, err := owners.Make(t.Context(), tpm.Provision{Version: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := platforms.Make(t.Context(), tpm.Provision{Version: 2, Platform: true}); err != nil {
		t.Fatal(err)
	}
	s.tool("tpm2_clear", "-c", "l")
	if _, err := owners.Read(t.Context()); !errors.Is(err, tpm.ErrMissing) {
		t.Error(err)
	}
	is(t, platforms, 2)
	if err := exec.Command("tpm2_nvundefine", "-T", "swtpm:path="+s.path, "-C", "o",
		fmt.Sprintf("%#x", index+1)).Run(); err == nil {
		t.Error("the owner deleted the platform's counter")
	}
	is(t, platforms, 2)
}
