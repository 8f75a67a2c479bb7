package wire

import (
	"os"
	"os/exec"
	"syscall"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/transport/network"
	"github.com/ratchet-ota/ratchet/transport/wire/pair"
)

// child is a process of this program.
type child struct {
	cmd  *exec.Cmd
	conn pair.Conn
}

func startNetwork(_ *config.Config) (network.Child, error) {
	conn, theirs, err := pair.Sockets()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := exec.Command("/proc/self/exe", "net")
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &child{cmd, conn}, nil
}

func (c *child) Conn() pair.Conn          { return c.conn }
func (c *child) Pid() int                 { return c.cmd.Process.Pid }
func (c *child) Features() []pair.Feature { return nil }
func (c *child) Kill() error              { return c.cmd.Process.Kill() }
func (c *child) Wait() error              { return c.cmd.Wait() }
