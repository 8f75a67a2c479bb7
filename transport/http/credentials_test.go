package http_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	nethttp "net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/http"
	"github.com/ratchet-ota/ratchet/transport/secure"
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
	o.Credentials = fixed(map[string]http.Credentials{
		"http://A.example":     {Bearer: "token-a", Header: nethttp.Header{"x-key": {"key-a"}}},
		"http://b.example:80/": {Username: "user-b", Password: "password-b"},
	})
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
		Backoff: fast, TLS: secure.Fixed(&tls.Config{RootCAs: roots}),
		Credentials: fixed(map[string]http.Credentials{a.URL: {Certificate: &mine}}),
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
		o := http.Options{Backoff: fast, Retries: -1, TLS: secure.Fixed(tc.config)}
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
	f := newFetcher(t, http.Options{Backoff: fast, TLS: secure.Fixed(&tls.Config{RootCAs: roots}),
		AllowPlain: []string{plain.URL}})
	src := f.Source([]string{down.URL + "/x"}, 1000)
	if _, _, err := fetch(t.Context(), src, 0, ""); !errors.Is(err, transport.ErrUnusable) || len(w.served()) > 0 {
		t.Errorf("from https to http: %v", err)
	}
}

// fixed are credentials that never change.
func fixed(m map[string]http.Credentials) map[string]func() (http.Credentials, error) {
	out := map[string]func() (http.Credentials, error){}
	for origin, c := range m {
		out[origin] = func() (http.Credentials, error) { return c, nil }
	}
	return out
}

// What contradicts itself is never sent, and the error tells no secret.
func TestContradictingCredentials(t *testing.T) {
	w := newWorld(t)
	s := newStore(random(18, 10))
	w.serve("a.example:80", "192.0.2.1", s.ServeHTTP)
	for says, c := range map[string]http.Credentials{
		"both":                {Bearer: "hunter2", Username: "u"},
		"without a user name": {Password: "hunter2"},
		"not theirs":          {Header: nethttp.Header{"range": {"hunter2"}}},
	} {
		o := w.options()
		o.Retries, o.Credentials = -1, fixed(map[string]http.Credentials{"http://a.example": c})
		_, _, err := fetch(t.Context(), newFetcher(t, o).Source([]string{"http://a.example/x"}, 10), 0, "")
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter2") ||
			len(s.served()) > 0 {
			t.Errorf("%s: %v", says, err)
		}
	}
}

// A token and a certificate are those of the moment, also for a payload that was begun with other ones, and TLS
// that would verify nobody is never spoken.
func TestReadAtEachConnection(t *testing.T) {
	server := httptest.NewUnstartedServer(newStore(random(19, 1000)))
	var shown []string
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, VerifyConnection: func(c tls.ConnectionState) error {
		if len(c.PeerCertificates) > 0 {
			shown = append(shown, c.PeerCertificates[0].Subject.CommonName)
		}
		return nil
	}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	var now *tls.Config
	var c http.Credentials
	f := newFetcher(t, http.Options{Backoff: fast, Retries: -1, TLS: func() (*tls.Config, error) { return now, nil },
		Credentials: map[string]func() (http.Credentials, error){
			server.URL: func() (http.Credentials, error) { return c, nil }}})
	src := f.Source([]string{server.URL + "/x"}, 1000)
	get := func() error {
		_, _, err := fetch(t.Context(), src, 0, "")
		return err
	}
	if err := get(); err == nil {
		t.Error("a stranger's certificate is taken")
	}
	now = &tls.Config{RootCAs: roots}
	for _, name := range []string{"one", "two", "two"} {
		cert := selfSigned(t, name)
		c.Certificate = &cert
		if err := get(); err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(shown, []string{"one", "two", "two"}) {
		t.Errorf("the server was shown %v", shown)
	}
	now = &tls.Config{RootCAs: x509.NewCertPool()}
	if err := get(); err == nil {
		t.Error("a session of an authority that is not trusted any more is resumed")
	}
	now = &tls.Config{InsecureSkipVerify: true}
	if err := get(); err == nil || !strings.Contains(err.Error(), "without verifying") {
		t.Errorf("TLS that verifies nobody: %v", err)
	}
}

// selfSigned is a client certificate of that name.
func selfSigned(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotAfter: time.Now().Add(time.Hour)} // a server resumes nothing of an ended one
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
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
		"credentials": {http.Options{Credentials: fixed(map[string]http.Credentials{"https://host": {Bearer: "x"}})},
			""},
		"no credentials": {http.Options{Credentials: map[string]func() (http.Credentials, error){"https://host": nil}},
			"there are none"},
		"plain credentials": {http.Options{
			Credentials: fixed(map[string]http.Credentials{"http://host": {Bearer: "x"}})},
			"not encrypted"},
		"listed, though": {http.Options{AllowPlain: []string{"http://host"},
			Credentials: fixed(map[string]http.Credentials{"http://host": {Bearer: "x"}})}, ""},
		"credentials for a path": {http.Options{
			Credentials: fixed(map[string]http.Credentials{"https://host/x": {Bearer: "x"}})}, "need https://host"},
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
