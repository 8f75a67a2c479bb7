//go:build linux

package tpmtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// SWTPM is a real TPM 2.0 implementation (libtpms) on a unix socket, with its memory in a directory.
type SWTPM struct {
	Path string // of the socket for TPM commands; another one after each power cut
	t    *testing.T
	dir  string
	cmd  *exec.Cmd
	runs int
}

// StartSWTPM starts one, which goes with the test. The interop suite is for machines that have it: a missing one is a
// failure.
func StartSWTPM(t *testing.T) *SWTPM {
	t.Helper()
	if _, err := exec.LookPath("swtpm"); err != nil {
		t.Fatal("swtpm is not installed; run scripts/deps.sh interop")
	}
	dir, err := os.MkdirTemp("", "tpm") // short: a socket's path has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	s := &SWTPM{t: t, dir: dir}
	t.Cleanup(func() { s.kill(); os.RemoveAll(dir) })
	s.start()
	return s
}

func (s *SWTPM) start() {
	s.t.Helper()
	s.runs++
	s.Path = filepath.Join(s.dir, fmt.Sprintf("s%d", s.runs))
	s.cmd = exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+s.dir, "--server",
		"type=unixio,path="+s.Path, "--ctrl", "type=unixio,path="+s.Path+".ctrl", "--flags",
		"not-need-init,startup-clear")
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		// The socket is there before somebody listens.
		if c, err := net.Dial("unix", s.Path); err == nil {
			c.Close()
			return
		} else if time.Now().After(end) {
			s.t.Fatal("swtpm does not start")
		}
	}
}

// kill takes the TPM's power away.
func (s *SWTPM) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// Again is the TPM after a power cut.
func (s *SWTPM) Again() {
	s.t.Helper()
	s.kill()
	s.start()
}

// Tool asks tpm2-tools, which is somebody else's implementation.
func (s *SWTPM) Tool(args ...string) string {
	s.t.Helper()
	if _, err := exec.LookPath(args[0]); err != nil {
		s.t.Fatal(args[0] + " is not installed; run scripts/deps.sh interop")
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "TPM2TOOLS_TCTI=swtpm:path="+s.Path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
