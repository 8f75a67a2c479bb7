//go:build interop

package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
)

// TestInteropMosquitto publishes to a real broker, whose access list acknowledges and drops.
func TestInteropMosquitto(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	broker := t.TempDir()
	write(t, filepath.Join(broker, "acl"), "topic readwrite ratchet/v1/offer/stable\ntopic read ratchet/v1/offer/+\n"+
		"topic read ratchet/v1/device/+/status\ntopic read ratchet/v1/device/+/presence\n"+
		"topic read ratchet/v1/device/+/evidence\n")
	conf := write(t, filepath.Join(broker, "conf"),
		"listener "+port+" 127.0.0.1\nallow_anonymous true\nuser root\nacl_file "+filepath.Join(broker, "acl")+"\n")
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto" // not in every PATH
	}
	cmd := exec.Command(path, "-c", conf)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("cannot start mosquitto: %v; install it to run the interop tests", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	until(t, "mosquitto", func() bool {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	dir := newDesk(t, "mqtt://127.0.0.1:"+port)
	file := released(t, dir, "r", "5")
	out, _ := do(t, 0, "publish", "--dir", dir, file)
	contains(t, out, "offered, acknowledged and read back: sequence 5")
	out, _ = do(t, 0, "publish", "--dir", dir, file)
	contains(t, out, "is offered there already")
	_, stderr := do(t, cli.ExitFailed, "publish", "--dir", dir, "--channel", "beta", file)
	contains(t, stderr, "acknowledged the offer, but does not keep it on ratchet/v1/offer/beta")
	out, _ = do(t, 0, "publish", "--dir", dir, "--withdraw")
	contains(t, out, "cleared")
	out, _ = do(t, 0, "watch", "--dir", dir, "--once")
	contains(t, out, "0 devices")
}
