package http_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	nethttp "net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/http"
)

// Credentials go to their origin and to no other, on either side of a redirect.
func TestCredentials(t *testing.T) {
	content := random(15, 1000)
	w := newWorld(t)
	stores := map[string]*store{}
	for _, a := range []string{"a.example:80", "a.example:8080", "b.example:80", "c.example:80"} {
		s := newStore(content)
		stores[a] = s
		w.serve(a, "192.0.2.1", func(rw nethttp.ResponseWriter, r *nethttp.Request) {
			if next := r.URL.Query().Get("to"); next != "" {
				s.mu.Lock()
				s.requests = append(s.requests, r)
				s.mu.Unlock()
				to(next)(rw, r)
				return
			}
			s.ServeHTTP(rw, r)
		})
	}
	o := w.options()
	o.Credentials = map[string]http.Credentials{
		"http://A.example":     {Bearer: "token-a", Header: nethttp.Header{"x-key": {"key-a"}}},
		"http://b.example:80/": {Username: "user-b", Password: "password-b"},
	}
	f := newFetcher(t, o)
	get := func(u string) {
		t.Helper()
		for _, s := range stores {
			s.requests = nil
		}
		if _, _, err := fetch(t.Context(), f.Source([]string{u}, 1000), 0, ""); err != nil {
			t.Fatal(err)
		}
	}
	sent := func(address string) (auth, key string) {
		t.Helper()
		r := stores[address].served()
		if len(r) == 0 {
			t.Fatalf("nothing was asked of %s", address)
		}
		h := r[len(r)-1].Header
		for _, name := range []string{"Cookie", "Referer", "Proxy-Authorization"} {
			if h.Get(name) != "" {
				t.Errorf("%s was sent to %s", name, address)
			}
		}
		return h.Get("Authorization"), h.Get("X-Key")
	}
	get("http://a.example/x")
	if auth, key := sent("a.example:80"); auth != "Bearer token-a" || key != "key-a" {
		t.Errorf("a: %q, %q", auth, key)
	}
	get("http://b.example/x")
	if auth, key := sent("b.example:80"); !strings.HasPrefix(auth, "Basic ") || key != "" {
		t.Errorf("b: %q, %q", auth, key)
	}
	get("http://a.example/x?to=http://c.example/y")
	if auth, key := sent("c.example:80"); auth != "" || key != "" {
		t.Errorf("c, redirected from a: %q, %q", auth, key)
	}
	get("http://a.example/x?to=http://a.example:8080/y")
	if auth, key := sent("a.example:8080"); auth != "" || key != "" {
		t.Errorf("another port of a: %q, %q", auth, key)
	}
	get("http://a.example/x?to=/y")
	if auth, _ := sent("a.example:80"); auth != "Bearer token-a" {
		t.Errorf("a, redirected to itself: %q", auth)
	}
	get("http://a.example/x?to=http://b.example/y")
	if auth, key := sent("b.example:80"); !strings.HasPrefix(auth, "Basic ") || key != "" {
		t.Errorf("b, redirected from a: %q, %q", auth, key)
	}
}

// A client certificate is shown to the origin that it is for.
func TestClientCertificate(t *testing.T) {
	content := random(16, 1000)
	shown := map[string]int{}
	start := func() *httptest.Server {
		var server *httptest.Server
		server = httptest.NewUnstartedServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
			shown[server.URL] = len(r.TLS.PeerCertificates)
			if next := r.URL.Query().Get("to"); next != "" {
				to(next)(w, r)
				return
			}
			newStore(content).ServeHTTP(w, r)
		}))
		server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
		server.StartTLS()
		t.Cleanup(server.Close)
		return server
	}
	a, b := start(), start()
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate())
	mine := a.TLS.Certificates[0]
	f := newFetcher(t, http.Options{
		Backoff: fast, TLS: &tls.Config{RootCAs: roots},
		Credentials: map[string]http.Credentials{a.URL: {Certificate: &mine}},
	})
	if _, _, err := fetch(t.Context(),
		f.Source([]string{a.URL + "/x?to=" + url.QueryEscape(b.URL+"/y")}, 1000), 0, ""); err != nil {
		t.Fatal(err)
	}
	if shown[a.URL] != 1 || shown[b.URL] != 0 {
		t.Errorf("certificates shown: %d to its origin, %d to the other", shown[a.URL], shown[b.URL])
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(newStore(random(17, 1000)))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	old := httptest.NewUnstartedServer(newStore(random(17, 1000)))
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.Config.ErrorLog = server.Config.ErrorLog
	old.StartTLS()
	defer old.Close()
	for name, tc := range map[string]struct {
		url    string
		config *tls.Config
		says   string // empty: works
	}{
		"trusted":   {server.URL, &tls.Config{RootCAs: roots}, ""},
		"untrusted": {server.URL, nil, "certificate"},
		"too old": {old.URL,
			&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10}, "protocol version"},
		"in 1970": {server.URL, &tls.Config{RootCAs: roots,
			Time: func() time.Time { return time.Unix(0, 0).Add(-24 * time.Hour) }}, "not yet valid"},
		"in 1970, and never set": {server.URL,
			&tls.Config{RootCAs: roots, Time: func() time.Time { return time.Unix(0, 0).Add(-24 * time.Hour) }}, ""},
	} {
		o := http.Options{Backoff: fast, Retries: -1, TLS: tc.config}
		if name == "in 1970, and never set" {
			o.ClockUnset = func() bool { return true }
		}
		_, _, err := fetch(t.Context(), newFetcher(t, o).Source([]string{tc.url + "/x"}, 1000), 0, "")
		if (tc.says == "") != (err == nil) ||
			(err != nil && (kind(err) != errLater || !strings.Contains(err.Error(), tc.says))) {
			t.Errorf("%s: %v, want %q", name, err, tc.says)
		}
	}
	// From https to http, although the target is listed.
	w := newStore(random(17, 1000))
	plain := httptest.NewServer(w)
	defer plain.Close()
	down := httptest.NewTLSServer(to(plain.URL + "/x"))
	defer down.Close()
	roots.AddCert(down.Certificate())
	f := newFetcher(t, http.Options{Backoff: fast, TLS: &tls.Config{RootCAs: roots}, AllowPlain: []string{plain.URL}})
	src := f.Source([]string{down.URL + "/x"}, 1000)
	if _, _, err := fetch(t.Context(), src, 0, ""); !errors.Is(err, transport.ErrUnusable) || len(w.served()) > 0 {
		t.Errorf("from https to http: %v", err)
	}
}

func TestValidate(t *testing.T) {
	for name, tc := range map[string]struct {
		options http.Options
		says    string
	}{
		"nothing":          {http.Options{}, ""},
		"plain":            {http.Options{AllowPlain: []string{"http://host:8080"}}, ""},
		"plain https":      {http.Options{AllowPlain: []string{"https://host"}}, "plain origin"},
		"plain with path":  {http.Options{AllowPlain: []string{"http://host/path"}}, "plain origin"},
		"plain everywhere": {http.Options{AllowPlain: []string{"http://"}}, "plain origin"},
		"credentials": {http.Options{Credentials: map[string]http.Credentials{"https://host": {Bearer: "x"}}},
			""},
		"plain credentials": {http.Options{Credentials: map[string]http.Credentials{"http://host": {Bearer: "x"}}},
			"not encrypted"},
		"listed, though": {http.Options{AllowPlain: []string{"http://host"},
			Credentials: map[string]http.Credentials{"http://host": {Bearer: "x"}}}, ""},
		"credentials for a path": {http.Options{
			Credentials: map[string]http.Credentials{"https://host/x": {Bearer: "x"}}}, "need https://host"},
		"two ways": {http.Options{
			Credentials: map[string]http.Credentials{"https://host": {Bearer: "hunter2", Username: "u"}}}, "both"},
		"only a password": {http.Options{
			Credentials: map[string]http.Credentials{"https://host": {Password: "hunter2"}}}, "without a user name"},
		"range": {http.Options{Credentials: map[string]http.Credentials{
			"https://host": {Header: nethttp.Header{"range": {"x"}}}}}, "not theirs"},
		"insecure":       {http.Options{TLS: &tls.Config{InsecureSkipVerify: true}}, "without verifying"},
		"limit":          {http.Options{Limit: 100}, "at least 128"},
		"negative limit": {http.Options{Limit: -1}, "negative"},
		"retries":        {http.Options{Retries: -2}, "negative"},
		"back-off":       {http.Options{Backoff: transport.Backoff{Min: 1}}, "back-off"},
	} {
		err := tc.options.Validate()
		if (tc.says == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s: %v, want %q", name, err, tc.says)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error tells a secret", name)
		}
		if _, newErr := http.New(tc.options); (newErr == nil) != (err == nil) {
			t.Errorf("%s: New says %v", name, newErr)
		}
	}
}
