package http_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	nethttp "net/http"
	"sync"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/http"
)

// fast is a back-off for tests on real time.
var fast = transport.Backoff{Min: time.Millisecond, Max: 8 * time.Millisecond}

// world is a network in memory: servers by host:port, each behind an address of its own. It works
// on real and on fake time.
type world struct {
	t       *testing.T
	mu      sync.Mutex
	hosts   map[string]*host
	servers []*nethttp.Server
	dials   []string
}

type host struct {
	ip    string
	conns chan net.Conn
	down  bool
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, hosts: map[string]*host{}}
	t.Cleanup(w.close)
	return w
}

// close ends all servers. In a bubble it must run before the bubble ends.
func (w *world) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.servers {
		s.Close()
	}
	w.servers = nil
}

// serve puts a handler behind "host:port" at ip.
func (w *world) serve(address, ip string, h nethttp.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := &host{ip: ip, conns: make(chan net.Conn)}
	w.hosts[address] = e
	s := &nethttp.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	w.servers = append(w.servers, s)
	go func() { _ = s.Serve(&listener{conns: e.conns, done: make(chan struct{})}) }()
}

func (w *world) dial(ctx context.Context, _, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dials = append(w.dials, address)
	e := w.hosts[address]
	w.mu.Unlock()
	if e == nil || e.down {
		return nil, errors.New("connection refused")
	}
	client, server := net.Pipe()
	select {
	case e.conns <- server:
		return &addressed{client, net.ParseIP(e.ip)}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// down takes a host off the network, or puts it back.
func (w *world) down(address string, down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts[address].down = down
}

func (w *world) dialled() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.dials...)
}

// addressed is a connection to where it says.
type addressed struct {
	net.Conn
	ip net.IP
}

func (a *addressed) RemoteAddr() net.Addr { return &net.TCPAddr{IP: a.ip, Port: 80} }

type listener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80} }

// options reach the world's hosts over plain HTTP, whatever they are called.
func (w *world) options() http.Options {
	o := http.Options{DialContext: w.dial, Backoff: fast, Stall: 5 * time.Second}
	w.mu.Lock()
	defer w.mu.Unlock()
	for address := range w.hosts {
		o.AllowPlain = append(o.AllowPlain, "http://"+address)
	}
	return o
}

func newFetcher(t *testing.T, o http.Options) *http.Fetcher {
	t.Helper()
	f, err := http.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// store is a well-behaved server of one payload, with a hand to change and break it.
type store struct {
	mu       sync.Mutex
	content  []byte
	etag     string
	modified time.Time
	gone     bool
	breaks   []int64 // each applies to one answer: the connection ends after so many bytes of body
	requests []*nethttp.Request
}

func newStore(content []byte) *store {
	return &store{content: content, etag: `"v1"`, modified: time.Now().Add(-time.Hour)}
}

func (s *store) ServeHTTP(w nethttp.ResponseWriter, r *nethttp.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	content, etag, modified, gone, after := s.content, s.etag, s.modified, s.gone, int64(-1)
	if len(s.breaks) > 0 {
		after, s.breaks = s.breaks[0], s.breaks[1:]
	}
	s.mu.Unlock()
	if gone {
		w.WriteHeader(nethttp.StatusGone)
		return
	}
	if etag != "" {
		w.Header().Set("ETag", etag)
	}
	if after >= 0 {
		w = &breaking{ResponseWriter: w, left: after}
	}
	nethttp.ServeContent(w, r, "payload.img", modified, bytes.NewReader(content))
}

func (s *store) change(content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.content = content
	s.etag = fmt.Sprintf(`"v%d"`, rand.Uint64())
	s.modified = s.modified.Add(time.Minute)
}

func (s *store) breakAfter(n ...int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.breaks = append(s.breaks, n...)
}

func (s *store) served() []*nethttp.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*nethttp.Request(nil), s.requests...)
}

// breaking ends the connection after so many bytes of body.
type breaking struct {
	nethttp.ResponseWriter
	left int64
}

func (b *breaking) Write(p []byte) (int, error) {
	n, _ := b.ResponseWriter.Write(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if b.left == 0 {
		_ = nethttp.NewResponseController(b.ResponseWriter).Flush()
		panic(nethttp.ErrAbortHandler)
	}
	return n, nil
}

// random returns n bytes drawn from seed.
func random(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// fetch opens and reads to the end.
func fetch(ctx context.Context, s transport.Source, off int64, validator string) ([]byte, string, error) {
	body, v, err := s.Open(ctx, off, validator)
	if err != nil {
		return nil, v, err
	}
	defer body.Close()
	got, err := io.ReadAll(steady{body})
	return got, v, err
}

// steady wants that each Read gives something.
type steady struct{ io.Reader }

func (s steady) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if n == 0 && err == nil && len(p) > 0 {
		err = errors.New("nothing was read, and no error given")
	}
	return n, err
}
