package http_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/http"
	"github.com/ratchet-ota/ratchet/transport/secure"
	"github.com/ratchet-ota/ratchet/transport/transporttest"
)

func rig(url string, f *http.Fetcher, s *store, size int64) transporttest.SourceRig {
	return transporttest.SourceRig{
		Source: f.Source([]string{url}, size),
		Change: s.change,
		Remove: func() { s.mu.Lock(); s.gone = true; s.mu.Unlock() },
		Break:  func(n int64) { s.breakAfter(n) },
	}
}

// The suite over real TCP, plain and TLS, with the size known and not, with either validator.
func TestConformance(t *testing.T) {
	for name, tc := range map[string]struct {
		tls, sized, dated bool
	}{
		"Plain": {false, true, false},
		"TLS":   {true, true, false},
		"Size":  {false, false, false},
		"Dated": {false, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			transporttest.Source(t, func(t *testing.T, content []byte) transporttest.SourceRig {
				s := newStore(content)
				if tc.dated {
					s.etag = ""
				}
				o := http.Options{Backoff: fast}
				var server *httptest.Server
				if tc.tls {
					server = httptest.NewTLSServer(s)
					o.TLS = secure.Fixed(server.Client().Transport.(*nethttp.Transport).TLSClientConfig)
				} else {
					server = httptest.NewServer(s)
					o.AllowPlain = []string{server.URL}
				}
				t.Cleanup(server.Close)
				size := int64(0)
				if tc.sized {
					size = int64(len(content))
				}
				r := rig(server.URL+"/payload.img", newFetcher(t, o), s, size)
				if tc.dated {
					change := r.Change
					r.Change = func(b []byte) { change(b); s.mu.Lock(); s.etag = ""; s.mu.Unlock() }
				}
				return r
			})
		})
	}
}

const payloadURL = "http://updates.example/payload.img"

// one is a world with one server at updates.example.
func one(t *testing.T, h nethttp.HandlerFunc) (*world, *http.Fetcher) {
	w := newWorld(t)
	w.serve("updates.example:80", "192.0.2.1", h)
	return w, newFetcher(t, w.options())
}

func TestRequest(t *testing.T) {
	content := random(1, 1000)
	s := newStore(content)
	_, f := one(t, s.ServeHTTP)
	src := f.Source([]string{payloadURL}, 1000)
	_, v, err := fetch(t.Context(), src, 0, "")
	if err != nil || v != `"v1"` {
		t.Fatal(v, err)
	}
	if _, _, err := fetch(t.Context(), src, 400, v); err != nil {
		t.Fatal(err)
	}
	r := s.served()
	for i, want := range []map[string]string{
		{"Accept-Encoding": "identity", "Range": "", "If-Range": "", "User-Agent": "ratchet"},
		{"Accept-Encoding": "identity", "Range": "bytes=400-", "If-Range": `"v1"`, "User-Agent": "ratchet"},
	} {
		for field, value := range want {
			if got := r[i].Header.Get(field); got != value {
				t.Errorf("request %d: %s is %q, want %q", i, field, got, value)
			}
		}
	}
}

// The body goes on at the exact byte, however often the connection breaks, as long as it gets on.
func TestManyBreaks(t *testing.T) {
	content := random(2, 3<<20)
	s := newStore(content)
	_, f := one(t, s.ServeHTTP)
	for range 40 {
		s.breakAfter(70_000)
	}
	got, _, err := fetch(t.Context(), f.Source([]string{payloadURL}, int64(len(content))), 0, "")
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%d of %d bytes, %v", len(got), len(content), err)
	}
	if n := len(s.served()); n != 41 {
		t.Errorf("%d requests, want 41", n)
	}
	at := 0
	for _, r := range s.served() {
		if want := fmt.Sprintf("bytes=%d-", at); at > 0 && r.Header.Get("Range") != want {
			t.Errorf("range %q, want %q", r.Header.Get("Range"), want)
		}
		at += 70_000
	}
}

// A connection that never gets anywhere is given up after a bounded number of requests.
func TestGivesUp(t *testing.T) {
	content := random(3, 1<<20)
	s := newStore(content)
	w := newWorld(t)
	w.serve("updates.example:80", "192.0.2.1", s.ServeHTTP)
	o := w.options()
	o.Retries = 5
	for range 1000 {
		s.breakAfter(100)
	}
	got, _, err := fetch(t.Context(), newFetcher(t, o).Source([]string{payloadURL}, int64(len(content))), 0, "")
	if err == nil || errors.Is(err, transport.ErrGone) || errors.Is(err, transport.ErrChanged) ||
		errors.Is(err, transport.ErrForbidden) {
		t.Errorf("got %v, want an error that invites to try later", err)
	}
	if !bytes.HasPrefix(content, got) || len(got) != 600 {
		t.Errorf("%d bytes delivered, want 600", len(got))
	}
	if n := len(s.served()); n != 6 {
		t.Errorf("%d requests, want 6", n)
	}
	if !strings.Contains(err.Error(), "at byte 600") || !strings.Contains(err.Error(), "ended early") {
		t.Errorf("error says %q", err)
	}
}

func TestMirrors(t *testing.T) {
	content := random(4, 200_000)
	urls := []string{"http://a.example/x", "http://b.example/x", "http://c.example/x"}
	setup := func(t *testing.T) (*world, map[string]*store, transport.Source) {
		w := newWorld(t)
		stores := map[string]*store{}
		for i, name := range []string{"a", "b", "c"} {
			stores[name] = newStore(content)
			w.serve(name+".example:80", fmt.Sprintf("192.0.2.%d", i+1), stores[name].ServeHTTP)
		}
		o := w.options()
		o.Retries = 3
		return w, stores, newFetcher(t, o).Source(urls, int64(len(content)))
	}
	whole := func(t *testing.T, src transport.Source, off int64, v string) {
		t.Helper()
		got, _, err := fetch(t.Context(), src, off, v)
		if err != nil || !bytes.Equal(got, content[off:]) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
	t.Run("Order", func(t *testing.T) {
		_, s, src := setup(t)
		whole(t, src, 0, "")
		if len(s["a"].served()) != 1 || len(s["b"].served()) != 0 {
			t.Error("the first address is not preferred")
		}
	})
	t.Run("FirstGone", func(t *testing.T) {
		_, s, src := setup(t)
		s["a"].gone = true
		s["b"].breakAfter(100_000)
		whole(t, src, 0, "")
		if len(s["a"].served()) != 1 {
			t.Errorf("asked %d times for what is gone", len(s["a"].served()))
		}
	})
	t.Run("FirstDown", func(t *testing.T) {
		w, _, src := setup(t)
		w.down("a.example:80", true)
		whole(t, src, 0, "")
	})
	t.Run("StaysWithTheOneThatWorks", func(t *testing.T) {
		w, s, src := setup(t)
		w.down("a.example:80", true)
		s["b"].breakAfter(70_000, 70_000)
		whole(t, src, 0, "")
		want := []string{"a.example:80", "b.example:80", "b.example:80", "b.example:80"}
		if d := w.dialled(); !slices.Equal(d, want) {
			t.Errorf("dialled %v", d)
		}
	})
	t.Run("OverInTheMiddle", func(t *testing.T) { // the same validator: b goes on where a stopped
		w, s, src := setup(t)
		body, _, err := src.Open(t.Context(), 0, "")
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		head := make([]byte, 1000)
		if _, err := io.ReadFull(body, head); err != nil {
			t.Fatal(err)
		}
		w.down("a.example:80", true)
		s["a"].breakAfter(0)
		w.servers[0].Close()
		rest, err := io.ReadAll(body)
		if err != nil || !bytes.Equal(append(head, rest...), content) {
			t.Errorf("%d bytes, %v", len(rest), err)
		}
	})
	t.Run("AnotherVersionIsNotMixedIn", func(t *testing.T) {
		_, s, src := setup(t)
		s["b"].change(random(5, len(content)))
		s["a"].gone = true
		whole(t, src, 1000, `"v1"`) // c has it still
		if len(s["b"].served()) != 1 {
			t.Error("b was not asked")
		}
	})
	t.Run("ChangedEverywhere", func(t *testing.T) {
		_, s, src := setup(t)
		s["a"].gone = true
		s["b"].change(content)
		s["c"].change(content)
		if _, _, err := fetch(t.Context(), src, 1000, `"v1"`); !errors.Is(err, transport.ErrChanged) {
			t.Errorf("%v, want ErrChanged", err)
		}
	})
	t.Run("ChangedButOneIsDown", func(t *testing.T) { // the one that is down may save 80% of a download
		w, s, src := setup(t)
		w.down("a.example:80", true)
		s["b"].change(content)
		s["c"].gone = true
		_, _, err := fetch(t.Context(), src, 1000, `"v1"`)
		if err == nil || errors.Is(err, transport.ErrChanged) || errors.Is(err, transport.ErrGone) {
			t.Errorf("%v, want an error that invites to try later", err)
		}
	})
	t.Run("GoneEverywhere", func(t *testing.T) {
		_, s, src := setup(t)
		for _, x := range s {
			x.gone = true
		}
		if _, _, err := fetch(t.Context(), src, 0, ""); !errors.Is(err, transport.ErrGone) {
			t.Errorf("%v, want ErrGone", err)
		}
		if n := len(s["a"].served()) + len(s["b"].served()) + len(s["c"].served()); n != 3 {
			t.Errorf("%d requests, want 3", n)
		}
	})
	t.Run("ForbiddenAreSkipped", func(t *testing.T) {
		w, s, _ := setup(t)
		src := newFetcher(t, w.options()).Source([]string{"file:///etc/passwd", "http://other.example/x",
			"http://b.example/x"}, int64(len(content)))
		whole(t, src, 0, "")
		if !slices.Equal(w.dialled(), []string{"b.example:80"}) {
			t.Errorf("dialled %v", w.dialled())
		}
		_ = s
	})
}

// Nothing runs on after a body has ended, been closed half way, or failed to open.
func TestLeavesNothingBehind(t *testing.T) {
	content := random(6, 1<<20)
	s := newStore(content)
	server := httptest.NewServer(s)
	defer server.Close()
	f := newFetcher(t, http.Options{AllowPlain: []string{server.URL}, Backoff: fast, Retries: -1})
	src := f.Source([]string{server.URL + "/x"}, int64(len(content)))
	before := runtime.NumGoroutine()
	for range 20 {
		if _, _, err := fetch(t.Context(), src, 0, ""); err != nil {
			t.Fatal(err)
		}
		body, _, err := src.Open(t.Context(), 0, "")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadFull(body, make([]byte, 100))
		body.Close()
		_, _, _ = src.Open(t.Context(), 5, `"other"`)
	}
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before+2; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}
