package http_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	nethttp "net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/http"
	"github.com/ratchet-ota/ratchet/transport/proxy"
	"github.com/ratchet-ota/ratchet/transport/secure"
	"github.com/ratchet-ota/ratchet/transport/transporttest"
)

func newProxy(t *testing.T, o proxy.Options) *proxy.Proxy {
	t.Helper()
	p, err := proxy.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Images come through the proxy by a tunnel, TLS with the server inside it, whether the clock is set or not; the
// proxy resolves names. Credentials stay in the tunnel.
func TestProxy(t *testing.T) {
	content := random(18, 1000)
	s := newStore(content)
	tlsServer := httptest.NewTLSServer(s)
	t.Cleanup(tlsServer.Close)
	plainServer := httptest.NewServer(s)
	t.Cleanup(plainServer.Close)
	through := transporttest.NewProxy(t, false)
	through.Hosts["example.com:443"] = strings.TrimPrefix(tlsServer.URL, "https://")
	through.Hosts["plain.example:80"] = strings.TrimPrefix(plainServer.URL, "http://")
	authorities := x509.NewCertPool()
	authorities.AddCert(tlsServer.Certificate())
	for name, unset := range map[string]func() bool{"clock set": nil, "clock unset": func() bool { return true }} {
		o := http.Options{Proxy: newProxy(t, proxy.Options{URL: through.URL}), Backoff: fast, Retries: -1,
			ClockUnset:  unset,
			AllowPlain:  []string{"http://plain.example"},
			TLS:         secure.Fixed(&tls.Config{RootCAs: authorities}),
			Credentials: fixed(map[string]http.Credentials{"https://example.com": {Bearer: "hunter2"}})}
		for _, u := range []string{"https://example.com/x", "http://plain.example/x"} {
			got, _, err := fetch(t.Context(), newFetcher(t, o).Source([]string{u}, 1000), 0, "")
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: %s: %v", name, u, err)
			}
		}
	}
	if want := []string{"example.com:443", "plain.example:80"}; !slices.Equal(through.Seen(), append(want, want...)) {
		t.Errorf("tunnels to %v", through.Seen())
	}
}

// A server of the list is dialled directly, and judged as without a proxy.
func TestNoProxy(t *testing.T) {
	content := random(18, 1000)
	w := newWorld(t)
	w.serve("updates.example:80", "192.0.2.1", newStore(content).ServeHTTP)
	w.serve("inward.example:80", "127.0.0.1", newStore(content).ServeHTTP)
	o := w.options()
	o.Proxy = newProxy(t, proxy.Options{URL: "http://proxy.example:3128",
		NoProxy: []string{"updates.example", "inward.example"}})
	o.AllowPlain = append(o.AllowPlain, "http://inward.example")
	got, _, err := fetch(t.Context(), newFetcher(t, o).Source([]string{payloadURL}, 1000), 0, "")
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%v", err)
	}
	_, _, err = fetch(t.Context(), newFetcher(t, o).Source([]string{"http://inward.example/x"}, 1000), 0, "")
	if err == nil {
		t.Error("a name leads to this machine, past the proxy")
	}
}

// Behind a proxy a redirect to an address of the device's own surroundings is refused as without one, and the proxy
// is not asked to go there.
func TestProxyRedirect(t *testing.T) {
	for _, to := range []string{"https://127.0.0.1/x", "https://localhost/x", "https://169.254.169.254/x",
		"https://[::1]/x"} {
		server := httptest.NewTLSServer(nethttp.RedirectHandler(to, nethttp.StatusFound))
		through := transporttest.NewProxy(t, false)
		through.Hosts["example.com:443"] = strings.TrimPrefix(server.URL, "https://")
		authorities := x509.NewCertPool()
		authorities.AddCert(server.Certificate())
		o := http.Options{Proxy: newProxy(t, proxy.Options{URL: through.URL}), Backoff: fast, Retries: -1,
			TLS: secure.Fixed(&tls.Config{RootCAs: authorities})}
		_, _, err := fetch(t.Context(), newFetcher(t, o).Source([]string{"https://example.com/x"}, 1000), 0, "")
		if !errors.Is(err, transport.ErrUnusable) || len(through.Seen()) != 1 {
			t.Errorf("%s: %v, tunnels to %v", to, err, through.Seen())
		}
		server.Close()
	}
}
