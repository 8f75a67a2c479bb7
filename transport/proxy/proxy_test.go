package proxy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/transport/proxy"
	"github.com/ratchet-ota/ratchet/transport/transporttest"
)

// echo is a server that sends back what it is sent.
func echo(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// heard reports whether what is sent on the connection comes back.
func heard(c net.Conn) bool {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	got := make([]byte, 5)
	_, err := c.Write([]byte("hello"))
	if err == nil {
		_, err = io.ReadFull(c, got)
	}
	return err == nil && bytes.Equal(got, []byte("hello"))
}

func direct(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}

func newProxy(t *testing.T, o proxy.Options) *proxy.Proxy {
	t.Helper()
	p, err := proxy.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTunnel(t *testing.T) {
	for name, secure := range map[string]bool{"http": false, "https": true} {
		server := transporttest.NewProxy(t, secure)
		server.Hosts["images.example:443"] = echo(t)
		server.User = "gateway:open sesame"
		authorities := x509.NewCertPool()
		if secure {
			authorities.AddCert(server.Certificate())
		}
		asked := 0
		p := newProxy(t, proxy.Options{URL: server.URL, Username: "gateway",
			Password: func() ([]byte, error) { asked++; return []byte("open sesame"), nil },
			TLS:      func() (*tls.Config, error) { return &tls.Config{RootCAs: authorities}, nil }})
		for range 2 {
			c, err := p.Dial(t.Context(), direct, "images.example:443", true)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !heard(c) {
				t.Errorf("%s: the tunnel does not carry bytes", name)
			}
		}
		if asked != 2 || len(server.Seen()) != 2 || server.Seen()[0] != "images.example:443" {
			t.Errorf("%s: the password was read %d times, tunnels to %v", name, asked, server.Seen())
		}
	}
}

// What a proxy refuses is said in words that lead on, and no secret is among them.
func TestRefused(t *testing.T) {
	bad := errors.New("no such file")
	secret := func(s string) func() ([]byte, error) { return func() ([]byte, error) { return []byte(s), nil } }
	for name, c := range map[string]struct {
		user     string // what the proxy asks for
		answer   int
		username string
		password func() ([]byte, error)
		says     string
	}{
		"no user name":     {"u:hunter2", 0, "", nil, "none are configured"},
		"wrong password":   {"u:other", 0, "u", secret("hunter2"), "does not take"},
		"no password file": {"u:other", 0, "u", func() ([]byte, error) { return nil, bad }, "cannot read its password"},
		"forbidden":        {"", 403, "", nil, "answers 403 Forbidden: ask its operator to allow CONNECT"},
		"no such host":     {"", 502, "", nil, "answers 502"},
		"strange":          {"", 204 + 300, "", nil, "answers 504"},
	} {
		server := transporttest.NewProxy(t, false)
		server.User, server.Answer = c.user, c.answer
		p := newProxy(t, proxy.Options{URL: server.URL, Username: c.username, Password: c.password})
		_, err := p.Dial(t.Context(), direct, "broker.example:8883", true)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2") ||
			!strings.Contains(err.Error(), strings.TrimPrefix(server.URL, "http://")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := newProxy(t, proxy.Options{URL: "http://127.0.0.1:1"})
	if _, err := p.Dial(t.Context(), direct, "broker.example:8883", true); err == nil ||
		!strings.Contains(err.Error(), "cannot reach the proxy 127.0.0.1:1") {
		t.Errorf("no proxy there: %v", err)
	}
	server := transporttest.NewProxy(t, true) // of an authority that is not trusted
	_, err := newProxy(t, proxy.Options{URL: server.URL}).Dial(t.Context(), direct, "broker.example:8883", true)
	if err == nil || len(server.Seen()) > 0 {
		t.Errorf("proxy of a stranger: %v", err)
	}
}

// to is a dialer that always gets to the same place.
func to(c net.Conn) proxy.Dialer {
	return func(context.Context, string, string) (net.Conn, error) { return c, nil }
}

// answer is a proxy that says these bytes to whatever it is asked, and then nothing.
func answer(t *testing.T, says string) {
	t.Helper()
	dialer, served := net.Pipe()
	t.Cleanup(func() { served.Close() })
	go func() {
		_, _ = served.Read(make([]byte, 4096))
		_, _ = io.WriteString(served, says)
	}()
	p := newProxy(t, proxy.Options{URL: "http://proxy.example:3128"})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	c, err := p.Dial(ctx, to(dialer), "a.example:443", true)
	if err == nil {
		c.Close()
		t.Errorf("%.40q is taken for a tunnel", says)
	} else if len(err.Error()) > 400 {
		t.Errorf("%.40q: an error of %d bytes", says, len(err.Error()))
	}
}

// What is no tunnel is never taken for one, and silence ends with the time.
func TestHostileAnswers(t *testing.T) {
	for _, says := range []string{"", "\r\n", "SSH-2.0-server\r\n", "HTTP/1.1 200 OK\r\n",
		"HTTP/1.1 200 OK\r\n\r\nmore", "HTTP/1.1 100 Continue\r\n\r\n",
		"HTTP/1.1 301 Moved\r\nLocation: http://b\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20), strings.Repeat("HTTP/1.1", 1<<16)} {
		answer(t, says)
	}
}

// A tunnel lasts longer than the time that was given to make it.
func TestTunnelOutlivesDial(t *testing.T) {
	server := transporttest.NewProxy(t, false)
	server.Hosts["a.example:443"] = echo(t)
	ctx, cancel := context.WithCancel(t.Context())
	c, err := newProxy(t, proxy.Options{URL: server.URL}).Dial(ctx, direct, "a.example:443", true)
	cancel()
	if err != nil || !heard(c) {
		t.Errorf("the tunnel ends with the call that made it: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	secret := func() ([]byte, error) { return nil, nil }
	for name, o := range map[string]proxy.Options{
		"no url":      {NoProxy: []string{"*"}},
		"no scheme":   {URL: "proxy.example:3128"},
		"socks":       {URL: "socks5://proxy.example:1080"},
		"no host":     {URL: "http://"},
		"path":        {URL: "http://proxy.example/x"},
		"query":       {URL: "http://proxy.example?x"},
		"user":        {URL: "http://u:hunter2@proxy.example"},
		"no URL":      {URL: "http://u:hunter2@%zz"},
		"password":    {URL: "http://proxy.example", Password: secret},
		"colon":       {URL: "http://proxy.example", Username: "a:b", Password: secret},
		"empty entry": {URL: "http://proxy.example", NoProxy: []string{""}},
		"bad block":   {URL: "http://proxy.example", NoProxy: []string{"10.0.0.0/40"}},
		"bad port":    {URL: "http://proxy.example", NoProxy: []string{"a.example:x"}},
		"star inside": {URL: "http://proxy.example", NoProxy: []string{"a.*.example"}},
		"an address":  {URL: "http://proxy.example", NoProxy: []string{"http://a.example"}},
		"only a dot":  {URL: "http://proxy.example", NoProxy: []string{"."}},
		"star, name":  {URL: "http://proxy.example", NoProxy: []string{"*example.com"}},
	} {
		if _, err := proxy.New(o); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if p, err := proxy.New(proxy.Options{}); p != nil || err != nil {
		t.Errorf("without options: %v, %v", p, err)
	}
}

func TestNoProxy(t *testing.T) {
	p := newProxy(t, proxy.Options{URL: "http://proxy.example:3128", NoProxy: []string{"Plant.example", ".lan",
		"*.site", "10.0.0.0/8", "192.0.2.7", "broker.example:8883", "2001:db8::/32", "[2001:db9::1]:443",
		"::ffff:172.16.0.0/108"}})
	for address, want := range map[string]bool{ // true: through the proxy
		"images.example:443": true, "plant.example:443": false, "a.PLANT.example:443": false,
		"plant.example.:443":   false,
		"notplant.example:443": true, "lan:443": true, "a.lan:443": false, "site:443": true, "b.site:443": false,
		"10.1.2.3:443": false, "11.1.2.3:443": true, "192.0.2.7:80": false, "192.0.2.8:80": true,
		"broker.example:8883": false, "broker.example:443": true, "x.broker.example:8883": false,
		"[2001:db8::5]:443": false, "[2001:db9::1]:443": false, "[2001:db9::1]:80": true,
		"[::ffff:10.0.0.1]:443": false,
		"172.17.0.1:443":        false, "172.32.0.1:443": true,
		"localhost:443": false, "127.0.0.1:443": false, "127.8.8.8:443": false, "[::1]:443": false,
	} {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		for _, encrypted := range []bool{true, false} {
			if got := p.Address(host, port, encrypted); (got == "proxy.example:3128") != want || got == "" == want {
				t.Errorf("%s by %q, want through the proxy: %v", address, got, want)
			}
		}
	}
	p = newProxy(t, proxy.Options{URL: "https://proxy.example", NoProxy: []string{"*"}})
	if p.Address("a.example", "443", true) != "" {
		t.Error("with *, something goes through the proxy")
	}
	p = newProxy(t, proxy.Options{URL: "https://[2001:db8::1]"})
	if p.Address("a.example", "443", true) != "[2001:db8::1]:443" {
		t.Error("the port of a proxy of https is not 443")
	}
	var none *proxy.Proxy
	if none.Address("a.example", "443", true) != "" {
		t.Error("no proxy is one")
	}
}

func TestEnvironment(t *testing.T) {
	type env = map[string]string
	for name, c := range map[string]struct {
		env           env
		secure, plain string // the way of https and MQTT, and of plain http, to a.example
		fails         bool
	}{
		"nothing": {nil, "", "", false},
		"upper":   {env{"HTTPS_PROXY": "http://p.example:3128"}, "p.example:3128", "", false},
		"lower": {env{"HTTPS_PROXY": "http://q.example:1", "https_proxy": "http://p.example:3128"},
			"p.example:3128", "", false},
		"plain":       {env{"HTTP_PROXY": "http://p.example"}, "", "p.example:80", false},
		"no scheme":   {env{"https_proxy": "p.example:3128"}, "p.example:3128", "", false},
		"a bare name": {env{"https_proxy": "proxyhost"}, "proxyhost:80", "", false},
		"user":        {env{"https_proxy": "http://u:hunter2@p.example:3128/"}, "p.example:3128", "", false},
		"exempt":      {env{"https_proxy": "http://p.example", "NO_PROXY": "x, a.example,http://odd"}, "", "", false},
		"exempt, low": {env{"https_proxy": "http://p.example", "no_proxy": "*"}, "", "", false},
		"socks":       {env{"HTTPS_PROXY": "socks5://u:hunter2@p.example"}, "", "", true},
		"nonsense":    {env{"https_proxy": "http://u:hunter2@p.example:x y"}, "", "", true},
	} {
		p, err := proxy.Environment(func(name string) string { return c.env[name] })
		if (err != nil) != c.fails || err != nil && (strings.Contains(err.Error(), "hunter2") ||
			!strings.Contains(strings.ToLower(err.Error()), "https_proxy")) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s, h := p.Address("a.example", "443", true), p.Address("a.example", "80", false)
		if s != c.secure || h != c.plain {
			t.Errorf("%s: %q and %q, want %q and %q", name, s, h, c.secure, c.plain)
		}
	}
}

// Credentials in the environment are those that the proxy is told.
func TestEnvironmentCredentials(t *testing.T) {
	server := transporttest.NewProxy(t, false)
	server.Hosts["a.example:443"], server.User = echo(t), "gateway:open sesame"
	url := strings.Replace(server.URL, "http://", "http://gateway:open%20sesame@", 1)
	p, err := proxy.Environment(func(name string) string { return map[string]string{"HTTPS_PROXY": url}[name] })
	if err != nil {
		t.Fatal(err)
	}
	if c, err := p.Dial(t.Context(), direct, "a.example:443", true); err != nil || !heard(c) {
		t.Errorf("%v", err)
	}
}

func FuzzNoProxy(f *testing.F) {
	f.Add("10.0.0.0/8,.lan,*", "a.lan", "443")
	f.Add("[::1]:80", "::1", "80")
	f.Fuzz(func(t *testing.T, list, host, port string) {
		p, err := proxy.Environment(func(name string) string {
			return map[string]string{"HTTPS_PROXY": "http://p.example", "NO_PROXY": list}[name]
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Address(host, port, true); got != "" && got != "p.example:80" {
			t.Errorf("%q", got)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 407 No\r\nContent-Length: 9\r\n\r\n"))
	p, err := proxy.New(proxy.Options{URL: "http://proxy.example:3128"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, says []byte) {
		dialer, served := net.Pipe()
		go func() {
			_, _ = served.Read(make([]byte, 4096))
			_, _ = served.Write(says)
			served.Close()
		}()
		c, err := p.Dial(t.Context(), to(dialer), "a.example:443", true)
		if (err == nil) != (c != nil) || err == nil && !bytes.HasPrefix(says, []byte("HTTP/1.")) {
			t.Errorf("%q: %v", says, err)
		}
		dialer.Close()
	})
}
