package health_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/health"
)

func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	for end := time.Now().Add(2 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); code == 0 && n > before {
		buf := make([]byte, 64<<10)
		fmt.Fprintf(os.Stderr, "%d goroutines leaked\n%s\n", n-before, buf[:runtime.Stack(buf, true)])
		code = 1
	}
	os.Exit(code)
}

func sh(script string) health.Command { return health.Command{Argv: []string{"/bin/sh", "-c", script}} }

// An address may hold a password or a token; what a check says of it is recorded and sent, and holds neither.
func TestSecretsOfAnAddress(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	for _, u := range []string{"http://user:hunter2@" + host + "/x?token=hunter2",
		"http://user:hunter2@127.0.0.1:1/?t=hunter2",
		"http://user:hunter2@" + host + ":x:/", "http://user:hunter2@[::1/?t=hunter2", "bad://user:hunter2@" + host} {
		for _, contains := range []string{"", "text"} {
			status := map[string]int{"": 200, "text": 404}[contains]
			h := health.HTTP{URL: u, Status: status, Contains: contains}
			if err := h.Run(t.Context()); err == nil || strings.Contains(err.Error()+h.Name(), "hunter2") {
				t.Errorf("%s: %v", h.Name(), err)
			}
		}
	}
}

// A check is a program with its arguments and a small environment; nothing of it goes through a shell (I9).
func TestCommand(t *testing.T) {
	t.Setenv("SECRET", "not-for-checks")
	tests := []struct {
		name, script string
		want         []string // in the error; none: it holds
	}{
		{"holds", "exit 0", nil},
		{"output alone is no failure", "echo broken >&2", nil},
		{"fails with its last line",
			"echo first; echo 'database is down' >&2; exit 3", []string{"exit status 3", "database is down"}},
		{"no environment of the agent's", `test -z "$SECRET" && test "$HOME" = / && test "$LANG" = C`, nil},
		{"no input", "read line && exit 1; exit 0", nil},
		{"escapes are dropped", `printf 'a\033[31mb\001\r\n'; exit 1`, []string{": a[31mb"}},
		{"killed by a signal", "kill -9 $$", []string{"signal: killed"}},
		{"long output", "i=0; while [ $i -lt 3000 ]; do echo 0123456789abcdef; i=$((i+1)); done; echo end; exit 1",
			[]string{": end"}},
		{"one long line", "head -c 100000 /dev/zero | tr '\\0' x; exit 1", []string{strings.Repeat("x", 200)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := sh(tt.script).Run(t.Context())
			if (err == nil) != (len(tt.want) == 0) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not contain %q", err, w)
				}
			}
			if err != nil && len(err.Error()) > 300 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
		})
	}
	for _, argv := range [][]string{nil, {""}, {"/nonexistent/program"}} {
		if err := (health.Command{Argv: argv}).Run(t.Context()); err == nil {
			t.Errorf("%q holds", argv)
		}
	}
}

// The whole process group dies at the timeout, and what a good program leaves behind dies too.
func TestCommandGroupDies(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		fails        bool
	}{
		{"at the timeout", "sleep 600 & echo $! >%s; wait", true},
		{"after a good end", "sleep 600 & echo $! >%s; exit 0", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pidFile := filepath.Join(t.TempDir(), "pid")
			ctx, cancel := context.WithTimeoutCause(t.Context(), 700*time.Millisecond, health.ErrTimeout)
			defer cancel()
			begin := time.Now()
			err := sh(fmt.Sprintf(tt.script, pidFile)).Run(ctx)
			if (err != nil) != tt.fails || tt.fails && !errors.Is(err, health.ErrTimeout) {
				t.Errorf("error %v", err)
			}
			if d := time.Since(begin); d > 3*time.Second {
				t.Errorf("took %v", d)
			}
			b, err := os.ReadFile(pidFile)
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; alive(pid); i++ {
				if i == 100 {
					t.Fatalf("process %d still lives", pid)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
}

// alive tells whether a process runs; one that waits for a reaper does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestHTTP(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "state: ready\n") })
	mux.HandleFunc("/late", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Repeat("x", 70<<10), "state: ready\n")
	})
	mux.HandleFunc("/500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/ok", http.StatusFound)
	})
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	tests := []struct {
		name  string
		check health.HTTP
		want  string
	}{
		{"holds", health.HTTP{URL: s.URL + "/ok"}, ""},
		{"body", health.HTTP{URL: s.URL + "/ok", Contains: "ready"}, ""},
		{"other body", health.HTTP{URL: s.URL + "/ok", Contains: "failed"}, `does not contain "failed"`},
		{"too far in the body", health.HTTP{URL: s.URL + "/late", Contains: "ready"}, "does not contain"},
		{"endless body", health.HTTP{URL: s.URL + "/endless", Contains: "ready"}, "does not contain"},
		{"endless body unread", health.HTTP{URL: s.URL + "/endless"}, ""},
		{"status", health.HTTP{URL: s.URL + "/500"}, "answers 500, not 200"},
		{"expected status", health.HTTP{URL: s.URL + "/500", Status: 500}, ""},
		{"redirect is not followed", health.HTTP{URL: s.URL + "/redirect"}, "answers 302"},
		{"hangs", health.HTTP{URL: s.URL + "/hang"}, "did not answer in time"},
		{"nobody there", health.HTTP{URL: "http://" + closedAddr(t)}, "refused"},
		{"no URL", health.HTTP{URL: "http://%zz"}, "cannot ask"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), 500*time.Millisecond, health.ErrTimeout)
			defer cancel()
			err := tt.check.Run(ctx)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := (health.TCP{Addr: l.Addr().String()}).Run(t.Context()); err != nil {
		t.Error(err)
	}
	if err := (health.TCP{Addr: closedAddr(t)}).Run(t.Context()); err == nil {
		t.Error("a closed port holds")
	}
	if err := (health.TCP{Addr: "nonsense"}).Run(t.Context()); err == nil {
		t.Error("an address without a port holds")
	}
}

// closedAddr is a loopback address that nobody listens on.
func closedAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// fakeSystemctl is a program that answers like systemctl.
func fakeSystemctl(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "systemctl")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnit(t *testing.T) {
	tests := []struct {
		name, script string
		unit         health.Unit
		want         string
	}{
		{"active", `[ "$*" = "is-active -- a.service" ] && echo active`, health.Unit{Units: []string{"a.service"}}, ""},
		{"reloading", "echo reloading", health.Unit{Units: []string{"a.service"}}, ""},
		{"inactive", "echo inactive; exit 3", health.Unit{Units: []string{"a.service"}}, "unit a.service is inactive"},
		// The exit status is 0 when one of them is active.
		{"one of two", "echo active; echo failed; exit 0",
			health.Unit{Units: []string{"a.service", "b.mount"}}, "unit b.mount is failed"},
		{"no bus", "echo 'Failed to connect to bus: No such file' >&2; exit 1",
			health.Unit{Units: []string{"a.service"}}, "Failed to connect to bus"},
		{"short answer", "echo active", health.Unit{Units: []string{"a.service", "b.service"}}, "not understood"},
		{"no answer", "exit 0", health.Unit{Units: []string{"a.service"}}, "not understood"},
		{"system running", "echo running", health.Unit{NoneFailed: true}, ""},
		{"system starting", "echo starting; exit 1", health.Unit{NoneFailed: true}, "the system is starting"},
		{"degraded",
			`case $1 in is-system-running) echo degraded; exit 1;; *) echo "x.service loaded failed failed X";; esac`,
			health.Unit{NoneFailed: true}, "failed units: x.service"},
		{"both", `case $1 in is-active) echo active;; *) echo running;; esac`,
			health.Unit{Units: []string{"a.service"}, NoneFailed: true}, ""},
		{"option as a name", "echo active", health.Unit{Units: []string{"--help.service"}}, "not the name"},
		{"pattern", "echo active", health.Unit{Units: []string{"*.service"}}, "not the name"},
		{"no type", "echo active", health.Unit{Units: []string{"sshd"}}, "not the name"},
		{"shell", "echo active", health.Unit{Units: []string{"a;reboot.service"}}, "not the name"},
		{"nothing", "echo active", health.Unit{}, "without a unit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.unit.Systemctl = fakeSystemctl(t, tt.script)
			err := tt.unit.Run(t.Context())
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	if err := (health.Unit{Units: []string{"a.service"}, Systemctl: "/nonexistent"}).Run(t.Context()); err == nil {
		t.Error("holds without systemctl")
	}
}

func TestBroker(t *testing.T) {
	var online bool
	var since time.Time
	b := &health.Broker{Online: func() (bool, time.Time) { return online, since }}
	look := func(on bool, at int64, want bool) {
		t.Helper()
		online, since = on, time.Unix(at, 0)
		if err := b.Run(t.Context()); (err == nil) != want {
			t.Errorf("online %v since %d: %v", on, at, err)
		}
	}
	look(false, 0, false)
	look(true, 10, true)
	look(true, 10, true)
	look(true, 12, false) // lost and made again between two rounds
	look(true, 12, true)
	look(false, 13, false)
	look(true, 14, true)
}

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		c    health.Check
		want string
	}{
		{health.Command{Argv: []string{"/usr/bin/check-app", "-v"}}, "command check-app"},
		{health.Command{Title: "app"}, "app"},
		{health.HTTP{URL: "http://127.0.0.1:8080/health"}, "http 127.0.0.1:8080"},
		{health.TCP{Addr: "127.0.0.1:22"}, "tcp 127.0.0.1:22"},
		{health.Unit{Units: []string{"sshd.service"}}, "unit sshd.service"},
		{health.Unit{NoneFailed: true}, "no failed units"},
		{&health.Broker{}, "broker"},
	} {
		if got := tt.c.Name(); got != tt.want {
			t.Errorf("%T is named %q, want %q", tt.c, got, tt.want)
		}
	}
}
