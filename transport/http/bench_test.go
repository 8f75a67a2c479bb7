package http_test

import (
	"io"
	nethttp "net/http"
	"net/http/httptest"
	"testing"

	"github.com/ratchet-ota/ratchet/transport/http"
)

// What a Source costs over net/http itself, on loopback, in reads of 128 KiB.
func BenchmarkRead(b *testing.B) {
	const size = 64 << 20
	s := newStore(make([]byte, size))
	server := httptest.NewServer(s)
	defer server.Close()
	drain := func(b *testing.B, body io.ReadCloser) {
		buf := make([]byte, 128<<10)
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{body}, buf)
		if err != nil || n != size {
			b.Fatal(n, err)
		}
		body.Close()
	}
	b.Run("Source", func(b *testing.B) {
		f, err := http.New(http.Options{AllowPlain: []string{server.URL}})
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			body, _, err := f.Source([]string{server.URL}, size).Open(b.Context(), 0, "")
			if err != nil {
				b.Fatal(err)
			}
			drain(b, body)
		}
	})
	b.Run("net-http", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			r, err := nethttp.Get(server.URL)
			if err != nil {
				b.Fatal(err)
			}
			drain(b, r.Body)
		}
	})
}
