package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// serve starts a server on a new socket and returns its path and a stop function that also runs at
// the end of the test.
func serve(t testing.TB, a control.Access, h control.Handler) (path string, stop func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path = filepath.Join(dir, "s")
	l, err := control.Listen(path, 0o660)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, l, a, h) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Serve does not end")
		}
	})
	t.Cleanup(stop)
	return path, stop
}

func do(t testing.TB, path string, verb control.Verb, args map[string]string, files ...*os.File) (string, error) {
	t.Helper()
	c, err := control.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	raw, err := c.Do(ctx, verb, args, files, nil)
	return string(raw), err
}

func echo(_ context.Context, r control.Request, _ func(any)) (any, error) {
	return map[string]any{"verb": r.Verb, "args": r.Args, "files": len(r.Files), "uid": r.Peer.UID}, nil
}

func TestExchange(t *testing.T) {
	path, _ := serve(t, control.Access{}, func(_ context.Context, r control.Request, progress func(any)) (any, error) {
		progress(control.Progress{Phase: "writing", Percent: 50})
		time.Sleep(20 * time.Millisecond)
		progress(control.Progress{Phase: "writing", Percent: 100})
		return control.Done{Says: r.Args["note"]}, nil
	})
	c, err := control.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a client asks again on a new connection
		var seen []string
		raw, err := c.Do(t.Context(), control.VerbConfirm, map[string]string{"note": "naïve\n<&>"}, nil,
			func(p json.RawMessage) {
				var v control.Progress
				if err := json.Unmarshal(p, &v); err != nil {
					t.Error(err)
				}
				seen = append(seen, fmt.Sprint(v.Percent))
			})
		if err != nil {
			t.Fatal(err)
		}
		var d control.Done
		if err := json.Unmarshal(raw, &d); err != nil || d.Says != "naïve\n<&>" {
			t.Errorf("result %s (%v)", raw, err)
		}
		if strings.Join(seen, " ") != "50 100" {
			t.Errorf("progress %q", seen)
		}
	}
}

func TestErrors(t *testing.T) {
	var reported []error
	var mu sync.Mutex
	access := control.Access{Report: func(err error) { mu.Lock(); defer mu.Unlock(); reported = append(reported, err) }}
	path, _ := serve(t, access, func(_ context.Context, r control.Request, _ func(any)) (any, error) {
		switch r.Args["note"] {
		case "typed":
			return nil, fmt.Errorf("wrapped: %w", &control.Error{Reason: reason.SignatureInvalid,
				Message: "the signature is wrong", Advice: "Ask the release desk.", Exit: control.ExitRefused})
		case "odd exit":
			return nil, &control.Error{Message: "x", Exit: 99}
		case "typed nil":
			var e *control.Error
			return nil, e
		case "panic":
			panic("a defect")
		case "unsendable":
			return func() {}, nil
		case "huge":
			return strings.Repeat("x", control.MaxResponse), nil
		case "nothing":
			return nil, nil
		}
		return nil, errors.New("cannot do it: no reason")
	})
	tests := []struct {
		note string
		exit int
		want string
	}{
		{"plain", control.ExitFailed, "cannot do it: no reason"},
		{"typed", control.ExitRefused, "the signature is wrong"},
		{"odd exit", control.ExitFailed, "x"},
		{"panic", control.ExitFailed, "internal error while serving confirm"},
		{"unsendable", control.ExitFailed, "internal error"},
		{"huge", control.ExitFailed, "internal error"},
		{"nothing", control.ExitOK, ""},
	}
	for _, tt := range tests {
		t.Run(tt.note, func(t *testing.T) {
			_, err := do(t, path, control.VerbConfirm, map[string]string{"note": tt.note})
			if control.Exit(err) != tt.exit || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, exit %d, want %q, %d", err, control.Exit(err), tt.want, tt.exit)
			}
			var e *control.Error
			if tt.note == "typed" && (!errors.As(err, &e) || e.Reason != reason.SignatureInvalid || e.Advice == "") {
				t.Errorf("error %#v", err)
			}
		})
	}
	mu.Lock()
	defer mu.Unlock()
	var p *control.PanicError
	if len(reported) != 1 || !errors.As(reported[0], &p) || p.Value != "a defect" ||
		!strings.Contains(string(p.Stack), "control_test.go") {
		t.Errorf("reported %v", reported)
	}
}

// raw sends bytes as they are and returns the first line of the answer.
func raw(t *testing.T, path, request string) string {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(8 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Log(err)
	}
	buf := make([]byte, 4096)
	n, _ := conn.Read(buf)
	return string(buf[:n])
}

func TestBadRequests(t *testing.T) {
	path, _ := serve(t, control.Access{}, func(ctx context.Context, r control.Request, _ func(any)) (any, error) {
		t.Errorf("handler was called with %+v", r)
		return nil, nil
	})
	for _, tt := range []struct{ name, request, want string }{
		{"no JSON", "hello\n", "not understood"},
		{"empty line", "\n", "not understood"},
		{"array", "[]\n", "not understood"},
		{"unknown member", `{"v":1,"verb":"status","root":true}` + "\n", "not understood"},
		{"two objects", `{"v":1,"verb":"status"}{}` + "\n", "something follows"},
		{"two lines", `{"v":1,"verb":"status"}` + "\n{}\n", "something follows"},
		{"version", `{"v":2,"verb":"status"}` + "\n", "protocol version 2"},
		{"no version", `{"verb":"status"}` + "\n", "protocol version 0"},
		{"no verb", `{"v":1}` + "\n", "unknown verb"},
		{"unknown verb", `{"v":1,"verb":"reboot"}` + "\n", `unknown verb \"reboot\"`},
		{"unknown argument", `{"v":1,"verb":"status","args":{"x":"1"}}` + "\n", "no argument"},
		{"number as argument", `{"v":1,"verb":"history","args":{"n":1}}` + "\n", "not understood"},
		{"zero byte", `{"v":1,"verb":"confirm","args":{"note":"a\u0000b"}}` + "\n", "zero byte"},
		{"long note",
			`{"v":1,"verb":"confirm","args":{"note":"` + strings.Repeat("x", 201) + `"}}` + "\n", "longer than 200"},
		{"announced descriptors",
			`{"v":1,"verb":"status","files":1}` + "\n", "1 descriptors were announced and 0 arrived"},
		{"install without envelope",
			`{"v":1,"verb":"install","args":{"step":"check"}}` + "\n", "takes 1 to 4 descriptors"},
		{"too long", `{"v":1,"verb":"` + strings.Repeat("x", control.MaxRequest) + "\n", "longer than 65536"},
		{"endless", strings.Repeat("x", 1<<20), "longer than 65536"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := raw(t, path, tt.request)
			if !strings.HasPrefix(got, `{"error":`) || !strings.Contains(got, tt.want) ||
				!strings.Contains(got, `"exit":2`) {
				t.Errorf("answer %q, want an error with %q", got, tt.want)
			}
		})
	}
}

// A request of exactly the limit is served.
func TestLongestRequest(t *testing.T) {
	path, _ := serve(t, control.Access{}, echo)
	head, tail := `{"v":1,"verb":"approve","args":{"manifest":"`, `"}}`+"\n"
	line := head + strings.Repeat("x", control.MaxRequest-len(head)-len(tail)) + tail
	if got := raw(t, path, line); !strings.HasPrefix(got, `{"result":`) {
		t.Errorf("answer %.80q", got)
	}
	if got := raw(t, path, line[:len(head)]+"x"+line[len(head):]); !strings.Contains(got, "longer than") {
		t.Errorf("one byte more: answer %.80q", got)
	}
}

// A request that does not arrive in time is turned away, and others are served meanwhile.
func TestSlowRequest(t *testing.T) {
	t.Parallel()
	path, _ := serve(t, control.Access{}, echo)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	begin := time.Now()
	if _, err := io.WriteString(conn, `{"v":1,`); err != nil {
		t.Fatal(err)
	}
	if _, err := do(t, path, control.VerbStatus, nil); err != nil {
		t.Error(err)
	}
	b, err := io.ReadAll(conn)
	if took := time.Since(begin); took < control.ReadWithin || took > control.ReadWithin+2*time.Second {
		t.Errorf("turned away after %v", took)
	}
	if err != nil || !strings.Contains(string(b), "did not arrive within") {
		t.Errorf("answer %q, %v", b, err)
	}
}

// When the client goes, the handler's context ends; so it does when the server stops.
func TestContextEnds(t *testing.T) {
	why := make(chan error, 2)
	begun := make(chan struct{}, 2)
	path, stop := serve(t, control.Access{}, func(ctx context.Context, _ control.Request, _ func(any)) (any, error) {
		begun <- struct{}{}
		<-ctx.Done()
		why <- context.Cause(ctx)
		return nil, ctx.Err()
	})
	call := func() (net.Conn, error) {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.WriteString(conn, `{"v":1,"verb":"confirm"}`+"\n")
		<-begun
		return conn, err
	}
	conn, err := call()
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := <-why; err == nil || err.Error() != "the client has gone" {
		t.Errorf("cause %v", err)
	}
	conn, err = call()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stop()
	if err := <-why; !errors.Is(err, context.Canceled) {
		t.Errorf("cause %v", err)
	}
}

// A client that reads nothing delays neither the handler nor others; the newest progress is kept.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	handled := make(chan time.Duration, 1)
	path, _ := serve(t, control.Access{}, func(_ context.Context, r control.Request, progress func(any)) (any, error) {
		if r.Verb == control.VerbStatus {
			return nil, nil
		}
		begin := time.Now()
		for i := range 20000 {
			progress(control.Progress{Phase: "writing", Done: int64(i), Says: strings.Repeat("x", 500)})
		}
		handled <- time.Since(begin)
		return control.Done{Says: "done"}, nil
	})
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, `{"v":1,"verb":"confirm"}`+"\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case d := <-handled:
		t.Logf("20000 reports took %v", d)
	case <-time.After(5 * time.Second):
		t.Fatal("progress blocks the handler")
	}
	if _, err := do(t, path, control.VerbStatus, nil); err != nil {
		t.Error(err)
	}
	// It wakes up in time: whole lines, the last report, the result.
	_ = conn.SetDeadline(time.Now().Add(8 * time.Second))
	b, err := io.ReadAll(conn)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if n := len(lines); err != nil || n < 2 || !strings.Contains(lines[n-2], `"done":19999`) ||
		!strings.Contains(lines[n-1], `"result"`) {
		t.Errorf("%v, last of %d lines: %.200q", err, len(lines), lines[len(lines)-1])
	}
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Fatalf("torn line %.100q", line)
		}
	}
}

func TestLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answers := []string{"", `{"progress":{}}` + "\n", `{"result":{`, "garbage\n", `{"unknown":1}` + "\n"}
	go func() {
		for _, a := range answers {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 100))
			_, _ = io.WriteString(conn, a)
			_ = conn.Close()
		}
	}()
	for _, a := range answers {
		_, err := do(t, path, control.VerbStatus, nil)
		if lost := errors.Is(err, control.ErrLost); err == nil || lost == (a == "garbage\n") {
			t.Errorf("after %q: %v", a, err)
		}
	}
}

// An answer without end does not fill the client's memory.
func TestEndlessAnswer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			if _, err := conn.Write([]byte(strings.Repeat("x", 64<<10))); err != nil {
				return
			}
		}
	}()
	if _, err := do(t, path, control.VerbStatus, nil); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("error %v", err)
	}
}

func TestClientContext(t *testing.T) {
	path, _ := serve(t, control.Access{}, func(ctx context.Context, _ control.Request, _ func(any)) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	c, err := control.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	if _, err := c.Do(ctx, control.VerbStatus, nil, nil, nil); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
}
