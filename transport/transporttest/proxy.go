package transporttest

import (
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
)

// Proxy is an HTTP proxy that makes tunnels (CONNECT) and refuses everything else.
type Proxy struct {
	*httptest.Server
	Hosts  map[string]string // where names lead, host:port to host:port; others lead to themselves
	User   string            // "name:password" that it asks for; "": nobody's
	Answer int               // it says this instead of making a tunnel; 0: it makes it

	mu   sync.Mutex
	seen []string // what tunnels were asked for, in order
}

// NewProxy starts a proxy on this machine, of https where secure is true. Hosts, User and Answer are set before it is
// used.
func NewProxy(t *testing.T, secure bool) *Proxy {
	p := &Proxy{Hosts: map[string]string{}}
	p.Server = httptest.NewUnstartedServer(p)
	if secure {
		p.StartTLS()
	} else {
		p.Start()
	}
	t.Cleanup(p.Close)
	return p
}

// Seen lists the tunnels that were asked for, in order.
func (p *Proxy) Seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.seen)
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.Error(w, "tunnels only", http.StatusMethodNotAllowed)
		return
	}
	p.mu.Lock()
	p.seen = append(p.seen, r.Host)
	p.mu.Unlock()
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(p.User))
	switch {
	case p.User != "" && r.Header.Get("Proxy-Authorization") != want:
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	case p.Answer != 0:
		w.WriteHeader(p.Answer)
		return
	}
	address := r.Host
	if to, ok := p.Hosts[address]; ok {
		address = to
	}
	server, err := net.Dial("tcp", address)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(server, client)
		server.Close()
	}()
	_, _ = io.Copy(client, server)
}
