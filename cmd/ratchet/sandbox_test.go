package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/hal/linux/sandbox"
	"github.com/ratchet-ota/ratchet/hal/linux/sandbox/sandboxtest"
)

// connects waits until the network process has tried to connect, and returns it.
func (b *box) connects() control.ProcessStatus {
	b.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		st := b.status()
		if strings.Contains(st.Broker.Error, "connection refused") && len(st.Processes) == 1 {
			return st.Processes[0]
		}
		if time.Now().After(end) {
			b.t.Fatalf("nothing is connected to: %+v, %+v\n%s", st.Broker, st.Processes, b.log.String())
		}
	}
}

// gone waits until there is no process of this number.
func gone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err != nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("process %d is still there", pid)
		}
	}
}

// TestKernels: on a kernel, or in a unit, that lacks something by which the network process is confined, it connects
// all the same, and the status tells what is missing and why. However the daemon ends, the process ends with it.
func TestKernels(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a kernel is played by a filter, which needs root")
	}
	all := sandboxtest.Lacks()
	kernels := map[string][]sandboxtest.Lack{"one that has all": nil, "one that has nothing": all}
	for _, l := range all {
		kernels[l.Name] = []sandboxtest.Lack{l}
	}
	for name, lacks := range kernels {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t)
			more := "[mqtt]\nurl = \"mqtts://127.0.0.1:1\"\nbackoff-min = \"20ms\"\n[proxy]\nurl = \"direct\"\n"
			b.Write("ratchet.toml", []byte(b.Config()+more))
			b.startOn(lacks...)
			p := b.connects()
			var want, off []string
			short := testing.Short() && name != "one that has all" && name != "one that has nothing"
			for _, l := range lacks {
				also := l.Feature
				if also == sandbox.Privileges {
					also = sandbox.Seccomp // a filter is for whoever gains nothing by it
				}
				for _, f := range []string{l.Feature, also} {
					if f != "" && !slices.Contains(want, f) {
						want = append(want, f)
					}
				}
			}
			for _, f := range p.Sandbox {
				if !f.On {
					off = append(off, f.Name)
					if f.Detail == "" {
						t.Errorf("%s is off, and nobody says why", f.Name)
					}
				}
			}
			slices.Sort(want)
			slices.Sort(off)
			if !slices.Equal(want, off) || len(p.Sandbox) < 9 {
				t.Errorf("off is %q, want %q: %+v", off, want, p.Sandbox)
			}
			b.kill()
			gone(t, p.Pid)
			if short {
				return
			}
			b.startOn(lacks...)
			p = b.connects()
			if code := b.stop(); code != 0 {
				t.Errorf("exit %d\n%s", code, b.log.String())
			}
			gone(t, p.Pid)
		})
	}
}

// TestNetIsNotForPeople: the verb says who starts it.
func TestNetIsNotForPeople(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "net")
	cmd.Env = append(os.Environ(), "RATCHET_TEST_MAIN=1")
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "started by `ratchet daemon`") {
		t.Errorf("%v: %s", err, out)
	}
}
