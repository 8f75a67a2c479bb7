package daemon_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/daemon"
	"github.com/ratchet-ota/ratchet/hal/linux/sandbox"
)

// taken runs the daemon with a network process that was taken over, until f says that it has seen enough, and returns
// the log. The slots, and which one boots, are as before.
func (b box) taken(name string, f func(st control.Status, log string) bool) string {
	b.t.Helper()
	b.write("offer", envelope(b.t, system7, b.Release))
	b.write("ratchet.toml", b.Config()+b.more+b.Rogue(name)+"password-file = \""+b.Path("offer")+"\"\n"+
		"[http]\nretry-max = \"1m\"\n")
	ctx, stop := context.WithCancel(b.t.Context())
	var log locked
	ended := make(chan error, 1)
	go func() { ended <- daemon.Run(ctx, b.Path("ratchet.toml"), b.Path("state"), &log) }()
	before, err := b.status(ctx)
	if err != nil {
		b.t.Fatal(err, log.String())
	}
	seen, last := false, ""
	for end := time.Now().Add(30 * time.Second); !seen && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var st control.Status
		raw, err := b.ask(ctx, control.VerbStatus)
		last = string(raw)
		if err == nil && json.Unmarshal(raw, &st) == nil {
			if seen = f(st, log.String()); st.Phase == "rebooting" || st.Phase == "trial" || st.Phase == "arming" ||
				st.Other.Bootable || !st.Running.Confirmed || st.Running.Name != before.Running.Name {
				b.t.Errorf("the device went on: %s", raw)
			}
		}
	}
	stop()
	began := time.Now()
	if err := <-ended; err != nil || time.Since(began) > 10*time.Second {
		b.t.Errorf("the daemon ended with %v after %v", err, time.Since(began))
	}
	if !seen {
		b.t.Errorf("not seen: %s\n%s", last, log.String())
	}
	return log.String()
}

// TestTakenOver: a network process that was taken over brings a good offer and lies about its payload: nothing is
// armed, and the same update can be installed afterwards, from a technician's hand.
func TestTakenOver(t *testing.T) {
	for _, name := range []string{"wrong-bytes", "one-bit", "too-short", "endless", "nothing", "changed", "gone",
		"unusable", "dies"} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.taken(name, func(st control.Status, _ string) bool {
				return st.Last != nil || st.Update != nil && st.Update.Reason != ""
			})
			b.write("image", string(system7))
			b.during(b.Config(), func(control.Status) {
				args := map[string]string{"step": control.StepInstall, "envelope": "good", "names": `["rootfs.img"]`}
				raw, err := b.request(t.Context(), control.VerbInstall, args,
					[]*os.File{b.open("offer"), b.open("image")}, nil)
				var done control.Done
				if err == nil {
					err = json.Unmarshal(raw, &done)
				}
				if err != nil || !done.Reboots {
					t.Errorf("the update is lost to this device: %+v, %v", done, err)
				}
			})
		})
	}
}

// TestForger: documents that a network process makes up are refused and recorded, and what it acknowledges without
// sending it stays in the evidence.
func TestForger(t *testing.T) {
	b := newBox(t)
	b.taken("forger", func(st control.Status, log string) bool {
		return st.Evidence.Sent > 5 && strings.Contains(log, "offer refused")
	})
	b.during(b.Config(), func(st control.Status) {
		out, err := os.Create(b.Path("evidence"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		var all control.EvidenceExport
		b.into(t.Context(), control.VerbEvidence, nil, []*os.File{out}, &all)
		if all.First != 1 || uint64(all.Records) < st.Evidence.Sent {
			t.Errorf("evidence %+v, and %d are said to be sent", all, st.Evidence.Sent)
		}
	})
}

// TestThief: a network process gets nothing but the files that the configuration names for connections, neither by the
// daemon nor by itself; also where one of the things by which it is confined is missing, which the status tells.
func TestThief(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a process of another user needs root")
	}
	for _, off := range append(sandbox.Names(), "") {
		t.Run("without "+off, func(t *testing.T) {
			b := newBox(t)
			b.more = fmt.Sprintf("[sandbox]\nwithout = [%q]\n", off)
			if off == "" {
				b.more = ""
			}
			var told []string
			log := b.taken("thief", func(st control.Status, log string) bool {
				told = nil
				for _, p := range st.Processes {
					for _, f := range p.Sandbox {
						if !f.On {
							told = append(told, f.Name)
						}
					}
				}
				return strings.Contains(log, "the thief is done") && len(st.Processes[0].Sandbox) > 0
			})
			for line := range strings.Lines(log) {
				// There a filter cannot tell sockets apart, and root may speak to the daemon.
				known := runtime.GOARCH == "386" && off == sandbox.User && strings.Contains(line, "the ear of")
				if strings.Contains(line, "STOLEN") && !known {
					t.Error(line)
				}
			}
			by := []string{sandbox.Dumps, sandbox.Limits, sandbox.Seccomp} // the process itself, which is not honest
			if strings.Join(told, " ") != off && !slices.Contains(by, off) {
				t.Errorf("told to be off: %q", told)
			}
		})
	}
}

// TestHeir: where the kernel does not keep a network process from making others, one that outlives it does not keep the
// next one from being started.
func TestHeir(t *testing.T) {
	b := newBox(t)
	b.more = "[sandbox]\nwithout = [\"seccomp\", \"namespaces\", \"landlock\"]\n"
	log := b.taken("heir", func(st control.Status, _ string) bool {
		return len(st.Processes) == 1 && st.Processes[0].Starts > 1
	})
	if strings.Contains(log, "without an heir") {
		t.Error(log)
	}
}

// TestCrash: people are told why a process crashed, in words that are the same each time, and not where.
func TestCrash(t *testing.T) {
	b := newBox(t)
	why := ""
	b.taken("crash", func(st control.Status, _ string) bool {
		if len(st.Processes) == 1 && strings.Contains(st.Processes[0].Error, "exit status 2") {
			why = st.Processes[0].Error
		}
		return why != ""
	})
	if why != "it ended: ended with exit status 2: panic: so it goes" {
		t.Errorf("told is %q", why)
	}
}

// TestWhyItWasStartedAgain: while a process runs the status tells why the one before ended.
func TestWhyItWasStartedAgain(t *testing.T) {
	b := newBox(t)
	why := ""
	b.taken("crash-once", func(st control.Status, _ string) bool {
		if len(st.Processes) == 1 && st.Processes[0].Error != "" {
			_ = os.Remove(b.Path("offer")) // the next one lives
		}
		if len(st.Processes) == 1 && st.Processes[0].Running && st.Processes[0].Starts > 1 {
			why = st.Processes[0].Ended
		}
		return why != ""
	})
	if why != "it ended: ended with exit status 2: panic: so it goes" {
		t.Errorf("told is %q", why)
	}
}

// TestDeaf: a network process that hears nothing, and would outlive the daemon, does not: the daemon ends in time, and
// the process with it.
func TestDeaf(t *testing.T) {
	b := newBox(t)
	pid := 0
	b.taken("deaf", func(st control.Status, _ string) bool {
		if len(st.Processes) == 1 && st.Processes[0].Running {
			pid = st.Processes[0].Pid
		}
		return pid > 0
	})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		p, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil || len(p) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("process %d is still there", pid)
		}
	}
}
