package http_test

import (
	"bytes"
	nethttp "net/http"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/transport/http"
)

// drip serves the content at 100 bytes/s, which is enough for Stall.
func drip(content []byte) nethttp.HandlerFunc {
	return func(rw nethttp.ResponseWriter, r *nethttp.Request) {
		head(rw, 200, `ETag: "v1"`, "Content-Length: 200000")
		for b := content; len(b) > 0 && r.Context().Err() == nil; b = b[1000:] {
			_, _ = rw.Write(b[:1000])
			_ = nethttp.NewResponseController(rw).Flush()
			time.Sleep(10 * time.Second)
		}
	}
}

// A server that drips is left for the next mirror, and where there is none the body ends, to be tried later.
func TestDrip(t *testing.T) {
	content := random(15, 200_000)
	bubble(t, func(t *testing.T, w *world) {
		w.serve("updates.example:80", "192.0.2.1", drip(content))
		w.serve("good.example:80", "192.0.2.2", newStore(content).ServeHTTP)
		f := newFetcher(t, w.defaults())
		began := time.Now()
		got, _, err := fetch(t.Context(), f.Source([]string{payloadURL}, 200_000), 0, "")
		if d := time.Since(began); kind(err) != errLater || len(got) == 0 || d > 6*time.Minute {
			t.Errorf("one server: %d bytes, %v, after %v", len(got), err, d)
		}
		began = time.Now()
		got, _, err = fetch(t.Context(), f.Source([]string{payloadURL, "http://good.example/x"}, 200_000), 0, "")
		if d := time.Since(began); err != nil || !bytes.Equal(got, content) || d > 6*time.Minute {
			t.Errorf("with a mirror: %d bytes, %v, after %v", len(got), err, d)
		}
	})
}

// The limit that the operator sets is no slowness of the server.
func TestLimitBelowMinRate(t *testing.T) {
	content := random(16, 200_000)
	bubble(t, func(t *testing.T, w *world) {
		w.serve("updates.example:80", "192.0.2.1", newStore(content).ServeHTTP)
		o := w.defaults()
		o.Limit = http.DefaultMinRate / 2
		got, _, err := fetch(t.Context(), newFetcher(t, o).Source([]string{payloadURL}, 200_000), 0, "")
		if err != nil || !bytes.Equal(got, content) || len(w.dialled()) != 1 {
			t.Errorf("%d bytes, %v, %d connections", len(got), err, len(w.dialled()))
		}
	})
}
