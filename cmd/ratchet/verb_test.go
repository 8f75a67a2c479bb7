package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/render"
)

// fakeDaemon serves h on a real control socket.
func fakeDaemon(t *testing.T, h control.Handler) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "verb")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := control.Listen(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, l, control.Access{Report: func(err error) { t.Log(err) }}, h) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		os.RemoveAll(dir)
	})
	return path
}

// verb runs a verb against the daemon at socket.
func verb(t *testing.T, socket string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	t.Setenv("RATCHET_SOCKET", socket)
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	code = run(ctx, args, strings.NewReader(""), &out, &errs)
	return out.String(), errs.String(), code
}

// recorder keeps what a handler saw and says how it shall answer.
type recorder struct {
	mu     sync.Mutex
	status control.Status
	fail   bool
	asked  []string
}

func (r *recorder) with(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func answer(v any) control.Handler {
	return func(context.Context, control.Request, func(any)) (any, error) { return v, nil }
}

// quiet is the status of a device on which nothing happens.
func quiet() control.Status {
	return control.Status{Schema: 1, Device: "gw-0042", Phase: "idle", Mode: control.ModeNormal,
		Running: control.SlotStatus{Name: "A", Running: true, Bootable: true, Confirmed: true,
			Holds: &control.SlotHolds{Version: "2.4.1", Sequence: 17}},
		Other: control.SlotStatus{Name: "B", Bootable: true, Confirmed: true},
		Boot:  control.BootStatus{Backend: "u-boot", PowerSafe: true, Next: "A"}}
}

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func TestVerbStatus(t *testing.T) {
	socket := fakeDaemon(t, answer(quiet()))
	out, errs, code := verb(t, socket, "status")
	if code != 0 || errs != "" || out != render.Status(quiet(), 80) {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	out, _, code = verb(t, socket, "status", "--json")
	var s control.Status
	if err := json.Unmarshal([]byte(out), &s); code != 0 || err != nil || s.Device != "gw-0042" ||
		s.Running.Holds.Sequence != 17 {
		t.Errorf("exit %d, %v, %s", code, err, out)
	}
}

// What a newer daemon adds goes through, and nothing that a terminal would obey.
func TestVerbJSONAsItIs(t *testing.T) {
	socket := fakeDaemon(t, answer(map[string]any{"schema": 1, "device": "a\u009b2J\u202eb\x1b", "new": []int{1}}))
	out, _, code := verb(t, socket, "status", "--json")
	var v map[string]any
	if err := json.Unmarshal([]byte(out), &v); code != 0 || err != nil || v["device"] != "a\u009b2J\u202eb\x1b" ||
		v["new"] == nil {
		t.Errorf("exit %d, %v, %q", code, err, out)
	}
	if strings.ContainsAny(out, "\u009b\u202e\x1b") {
		t.Errorf("%q", out)
	}
}

func TestVerbWatch(t *testing.T) {
	var n atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	socket := fakeDaemon(t, func(context.Context, control.Request, func(any)) (any, error) {
		s := quiet()
		if n.Add(1) > 2 {
			s.Phase = "arming"
			cancel()
		}
		return s, nil
	})
	t.Setenv("RATCHET_SOCKET", socket)
	var out, errs bytes.Buffer
	code := run(ctx, []string{"status", "--watch"}, nil, &out, &errs)
	if code != 0 || errs.Len() > 0 || !strings.HasPrefix(out.String(), "gw-0042: in order\n") ||
		strings.Count(out.String(), "in order") != 1 {
		t.Errorf("exit %d, %q, %q", code, out.String(), errs.String())
	}
}

func TestVerbSlotsAndHistory(t *testing.T) {
	s := quiet()
	var rec recorder
	socket := fakeDaemon(t, func(_ context.Context, r control.Request, _ func(any)) (any, error) {
		if r.Verb == control.VerbSlots {
			return control.Slots{Slots: []control.SlotStatus{s.Running, s.Other}, Boot: s.Boot}, nil
		}
		rec.with(func() { rec.asked = append(rec.asked, r.Args["n"]) })
		return control.History{
			Entries: []control.HistoryEntry{{Seq: 1, Kind: "start", Text: "hello", Quality: "unknown"}}}, nil
	})
	if out, _, code := verb(t, socket, "slots"); code != 0 || !strings.HasPrefix(out, "Slot A, running\n") {
		t.Errorf("exit %d, %q", code, out)
	}
	if out, _, code := verb(t, socket, "slots", "--json"); code != 0 || !json.Valid([]byte(out)) {
		t.Errorf("exit %d, %q", code, out)
	}
	if out, _, code := verb(t, socket, "history", "-n", "7"); code != 0 || !strings.Contains(out, "hello") {
		t.Errorf("exit %d, %q", code, out)
	}
	if out, _, code := verb(t, socket, "history", "--json"); code != 0 || !json.Valid([]byte(out)) {
		t.Errorf("exit %d, %q", code, out)
	}
	rec.with(func() {
		if fmt.Sprint(rec.asked) != "[7 20]" {
			t.Errorf("asked for %v entries", rec.asked)
		}
	})
}

func TestVerbUsage(t *testing.T) {
	socket := fakeDaemon(t, answer(nil))
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"bogus"}, `no verb "bogus"`},
		{[]string{"status", "extra"}, "unexpected argument"},
		{[]string{"status", "--bogus"}, "not defined"},
		{[]string{"history", "-n", "0"}, "1 to 1000"},
		{[]string{"history", "-n", "x"}, "invalid value"},
		{[]string{"install"}, "one envelope file"},
		{[]string{"install", "a", "b"}, "one envelope file"},
		{[]string{"evidence"}, "use one of: evidence export"},
		{[]string{"evidence", "export", "x"}, "unexpected argument"},
		{[]string{"approve", "a", "b"}, "unexpected argument"},
		{[]string{"retry", "a", "b"}, "unexpected argument"},
		{[]string{"confirm", "--note", strings.Repeat("x", 201)}, "at most 200"},
	} {
		_, errs, code := verb(t, socket, tt.args...)
		if code != control.ExitUsage || !strings.Contains(errs, tt.want) {
			t.Errorf("%q: exit %d, %q", tt.args, code, errs)
		}
	}
}

func TestVerbNoDaemon(t *testing.T) {
	out, errs, code := verb(t, filepath.Join(t.TempDir(), "none"), "status")
	if code != control.ExitUnreachable || out != "" || !strings.Contains(errs, "does not answer") ||
		!strings.Contains(errs, "systemctl status ratchet") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
}

func TestVerbErrors(t *testing.T) {
	socket := fakeDaemon(t, func(context.Context, control.Request, func(any)) (any, error) {
		return nil, &control.Error{Reason: "update-in-progress", Message: "an update is in progress\x1b[2J",
			Advice: "Wait for it.", Exit: control.ExitBusy}
	})
	for _, name := range []string{"status", "slots", "history", "confirm", "revert", "approve", "retry"} {
		_, errs, code := verb(t, socket, name)
		if want := "ratchet " + name + ": an update is in progress?[2J [update-in-progress]\n" +
			"  Wait for it.\n"; code != control.ExitBusy || errs != want {
			t.Errorf("%s: exit %d, %q", name, code, errs)
		}
	}
}

func TestVerbOperate(t *testing.T) {
	rec := recorder{status: quiet()}
	rec.status.Update = &control.UpdateStatus{Manifest: digest("d"), Sequence: 18, Version: "2.5.0", ETASeconds: -1}
	socket := fakeDaemon(t, func(_ context.Context, r control.Request, _ func(any)) (out any, err error) {
		rec.with(func() {
			if r.Verb == control.VerbStatus {
				out = rec.status
				return
			}
			rec.asked = append(rec.asked, fmt.Sprintf("%s %v", r.Verb, r.Args))
			out = control.Done{Says: "so be it"}
		})
		return out, nil
	})
	for _, args := range [][]string{{"confirm", "--note", "by hand"}, {"revert"}, {"approve"},
		{"approve", "sha256:ff", "--note", "x"}, {"retry"}, {"retry", "sha256:ff", "--yes", "--note", "x"}} {
		if out, errs, code := verb(t, socket, args...); code != 0 || out != "so be it\n" {
			t.Errorf("%q: exit %d, %q, %q", args, code, out, errs)
		}
	}
	want := []string{"confirm map[note:by hand]", "revert map[]", "approve map[manifest:" + digest("d") + "]",
		"approve map[manifest:sha256:ff note:x]", "retry map[]", "retry map[manifest:sha256:ff note:x sure:yes]"}
	rec.with(func() {
		if fmt.Sprint(rec.asked) != fmt.Sprint(want) {
			t.Errorf("asked %q, want %q", rec.asked, want)
		}
		rec.status.Phase = "trial"
	})
	for range 2 { // it is on trial, and then there is none
		if _, errs, code := verb(t, socket, "approve"); code != control.ExitRefused ||
			!strings.Contains(errs, "no update waits") || strings.Contains(errs, "Waiting:") {
			t.Errorf("exit %d, %q", code, errs)
		}
		rec.with(func() { rec.status.Update, rec.status.Phase = nil, "idle" })
	}
}

func TestVerbEvidence(t *testing.T) {
	payload := bytes.Repeat([]byte("record"), 50000)
	var rec recorder
	socket := fakeDaemon(t, func(_ context.Context, r control.Request, _ func(any)) (any, error) {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		n := len(payload)
		if rec.fail {
			n /= 2
		}
		if _, err := r.Files[0].Write(payload[:n]); err != nil {
			return nil, err
		}
		if rec.fail {
			return nil, errors.New("the journal is gone")
		}
		return control.EvidenceExport{Records: 2, First: 1, Last: 2, Bytes: int64(len(payload))}, nil
	})
	out, errs, code := verb(t, socket, "evidence", "export")
	if code != 0 || out != string(payload) || !strings.HasPrefix(errs, "2 records, 1 to 2") {
		t.Errorf("exit %d, %d bytes, %q", code, len(out), errs)
	}
	file := filepath.Join(t.TempDir(), "e")
	if _, errs, code = verb(t, socket, "evidence", "export", "-o", file); code != 0 {
		t.Errorf("exit %d, %q", code, errs)
	}
	if b, err := os.ReadFile(file); err != nil || !bytes.Equal(b, payload) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	// What fails leaves the file that was there.
	rec.with(func() { rec.fail = true })
	if _, errs, code = verb(t, socket, "evidence", "export", "-o", file); code != control.ExitFailed ||
		!strings.Contains(errs, "journal is gone") {
		t.Errorf("exit %d, %q", code, errs)
	}
	if b, err := os.ReadFile(file); err != nil || !bytes.Equal(b, payload) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if names, _ := filepath.Glob(file + "*"); len(names) != 1 {
		t.Errorf("left behind: %q", names)
	}
	rec.with(func() { rec.fail = false })
	begin := time.Now()
	if _, errs, code = verb(t, socket, "evidence", "export", "-o", "/dev/full"); code != control.ExitFailed ||
		!strings.Contains(errs, "no space left") {
		t.Errorf("full disk: exit %d, %q", code, errs)
	}
	if d := time.Since(begin); d > 4*time.Second {
		t.Errorf("full disk: the daemon's writing ends after %v", d)
	}
	if _, _, code = verb(t, socket, "evidence", "export", "-o", filepath.Join(file, "x")); code != control.ExitFailed {
		t.Errorf("bad path: exit %d", code)
	}
}

// TestRetryAsks: what is quarantined is tried again only where a person says so. Without a terminal that is --yes, and
// the refusal says it.
func TestRetryAsks(t *testing.T) {
	socket := fakeDaemon(t, func(_ context.Context, r control.Request, _ func(any)) (any, error) {
		if r.Args["sure"] == "yes" {
			return control.Done{Says: "so be it"}, nil
		}
		return nil, &control.Error{Reason: "quarantined", Message: "this image failed", Exit: control.ExitRefused}
	})
	if _, errs, code := verb(t, socket, "retry"); code != control.ExitRefused ||
		!strings.Contains(errs, "this image failed") || !strings.Contains(errs, "ratchet retry --yes") {
		t.Errorf("exit %d, %q", code, errs)
	}
	if out, errs, code := verb(t, socket, "retry", "--yes"); code != 0 || out != "so be it\n" {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
}
