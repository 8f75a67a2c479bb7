//go:build interop

package mqtt_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/mqtt"
)

// TestMain lets the test binary stand in for an idle agent: a process of its own, so that nothing
// but the client wakes it up.
func TestMain(m *testing.M) {
	if broker := os.Getenv("RATCHET_IDLE_CLIENT"); broker != "" {
		c, err := mqtt.New(mqtt.Options{
			Broker: broker, AllowPlain: true, DeviceID: "idle", Channel: "stable",
			Backoff: transport.Backoff{Min: time.Millisecond, Max: time.Second},
		})
		if err == nil {
			go func() { <-c.Connects(); fmt.Println("connected") }()
			err = c.Run(context.Background())
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// switches sums the voluntary context switches of all threads: each is a sleep that ended.
func switches(t *testing.T, pid int) (n int) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(tasks) == 0 {
		t.Fatalf("cannot read the threads of %d: %v", pid, err)
	}
	for _, f := range tasks {
		b, _ := os.ReadFile(f) // a thread may have ended
		for line := range bytes.Lines(b) {
			if v, ok := strings.CutPrefix(string(line), "voluntary_ctxt_switches:"); ok {
				i, _ := strconv.Atoi(strings.TrimSpace(v))
				n += i
			}
		}
	}
	return n
}

// An idle client with a keep-alive of 300 s hardly wakes up. RATCHET_IDLE_SECONDS=600 measures
// over two keep-alives; the short run only proves that nothing polls.
func TestIdleWakeups(t *testing.T) {
	seconds := 20
	if s := os.Getenv("RATCHET_IDLE_SECONDS"); s != "" {
		var err error
		if seconds, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	b := startMosquitto(t, plainConfig)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "RATCHET_IDLE_CLIENT="+b.url)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("client did not connect: %q, %v", line, err)
	}
	time.Sleep(2 * time.Second) // settled
	before := switches(t, cmd.Process.Pid)
	time.Sleep(time.Duration(seconds) * time.Second)
	n := switches(t, cmd.Process.Pid) - before
	perMinute := float64(n) * 60 / float64(seconds)
	t.Logf("%d voluntary context switches in %d s: %.1f per minute", n, seconds, perMinute)
	if perMinute > 30 {
		t.Errorf("idle client wakes up %.1f times a minute, at most 30 are allowed", perMinute)
	}
}
