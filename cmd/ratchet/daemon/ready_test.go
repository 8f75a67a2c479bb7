package daemon_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/control"
)

// A unit that is ordered after the daemon can ask it: READY=1 comes after the control socket, also in boot-safe mode.
func TestReadyMeansTheSocketAnswers(t *testing.T) {
	for _, bootSafe := range []bool{false, true} {
		b := newBox(t)
		config := b.Config()
		if bootSafe {
			config = strings.Replace(config, "vendor =", "vandal =", 1)
		}
		if bootSafe {
			b.during(b.Config(), nil) // the configuration that worked last says where the socket is
		}
		notify := filepath.Join(t.TempDir(), "notify")
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("NOTIFY_SOCKET", notify)
		answers := make(chan error, 1)
		go func() {
			buf := make([]byte, 4096)
			_ = l.SetReadDeadline(time.Now().Add(20 * time.Second))
			for {
				n, err := l.Read(buf)
				if err == nil && !strings.Contains(string(buf[:n]), "READY=1") {
					continue
				}
				if err == nil {
					var c *control.Client
					if c, err = control.Dial(b.Path("s")); err == nil {
						c.Close()
					}
				}
				answers <- err
				return
			}
		}()
		b.during(config, nil)
		if err := <-answers; err != nil {
			t.Errorf("boot-safe mode %v: the daemon is ready, and its socket does not answer: %v", bootSafe, err)
		}
		l.Close()
	}
}
