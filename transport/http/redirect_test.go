package http_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	nethttp "net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/http"
)

func to(location string) nethttp.HandlerFunc {
	return func(w nethttp.ResponseWriter, r *nethttp.Request) {
		head(w, nethttp.StatusFound, "Location: "+location)
	}
}

func TestRedirects(t *testing.T) {
	content := random(10, 5000)
	for name, tc := range map[string]struct {
		start string // host of the first request
		hops  map[string]nethttp.HandlerFunc
		ips   map[string]string
		want  error
		says  string
		dials []string // nil: not checked
	}{
		"followed": {
			hops: map[string]nethttp.HandlerFunc{"cdn.example": to("http://store.example/y?token=s3cret")},
		},
		"relative": {
			hops: map[string]nethttp.HandlerFunc{"cdn.example": func(w nethttp.ResponseWriter, r *nethttp.Request) {
				if r.URL.Path == "/x" {
					to("../store/y")(w, r)
				} else {
					to("//store.example/y")(w, r)
				}
			}},
		},
		"five": {hops: map[string]nethttp.HandlerFunc{"cdn.example": countdown(5)}},
		"six": {hops: map[string]nethttp.HandlerFunc{"cdn.example": countdown(6)}, want: transport.ErrUnusable,
			says: "more than 5"},
		"to self": {hops: map[string]nethttp.HandlerFunc{"cdn.example": to("/x?sig=s3cret")},
			want: transport.ErrUnusable, says: "circle"},
		"circle": {
			hops: map[string]nethttp.HandlerFunc{"cdn.example": to("http://b.example/"),
				"b.example": to("http://cdn.example/x?sig=s3cret")},
			want: transport.ErrUnusable, says: "circle", dials: []string{"cdn.example:80", "b.example:80"},
		},
		"to file": {hops: map[string]nethttp.HandlerFunc{"cdn.example": to("file:///etc/shadow")},
			want: transport.ErrUnusable, says: "scheme"},
		"to ftp": {hops: map[string]nethttp.HandlerFunc{"cdn.example": to("ftp://store.example/")},
			want: transport.ErrUnusable, says: "scheme"},
		"to an origin": {hops: map[string]nethttp.HandlerFunc{"cdn.example": to("http://not-listed.example/")},
			want: transport.ErrUnusable, says: "not listed"},
		"with user info": {hops: map[string]nethttp.HandlerFunc{"cdn.example": to("http://u:hunter2@store.example/")},
			want: transport.ErrUnusable, says: "user information"},
		"very long": {hops: map[string]nethttp.HandlerFunc{"cdn.example": to("/" + strings.Repeat("x", 5000))},
			want: errLater, says: "nowhere"},
		"to localhost": {hops: map[string]nethttp.HandlerFunc{"cdn.example": to("http://localhost/")},
			want: transport.ErrUnusable, says: "this machine", dials: []string{"cdn.example:80"}},
		"to sub.localhost.": {
			hops: map[string]nethttp.HandlerFunc{"cdn.example": to("http://a.localhost./")},
			want: transport.ErrUnusable, says: "this machine", dials: []string{"cdn.example:80"},
		},
		"to 127.0.0.1": {hops: map[string]nethttp.HandlerFunc{"cdn.example": to("http://127.0.0.1/")},
			want: transport.ErrUnusable, says: "this machine", dials: []string{"cdn.example:80"}},
		"to 127.9.9.9": {hops: map[string]nethttp.HandlerFunc{"cdn.example": to("http://127.9.9.9/")},
			want: transport.ErrUnusable, says: "this machine"},
		"to ::1": {hops: map[string]nethttp.HandlerFunc{"cdn.example": to("http://[::1]/")},
			want: transport.ErrUnusable, says: "this machine"},
		"to mapped": {hops: map[string]nethttp.HandlerFunc{"cdn.example": to("http://[::ffff:127.0.0.1]/")},
			want: transport.ErrUnusable, says: "this machine"},
		"to the cloud": {hops: map[string]nethttp.HandlerFunc{"cdn.example": to("http://169.254.169.254/latest/")},
			want: transport.ErrUnusable, says: "link-local"},
		"to fe80": {hops: map[string]nethttp.HandlerFunc{"cdn.example": to("http://[fe80::1]/")},
			want: transport.ErrUnusable, says: "link-local"},
		"to 0.0.0.0": {hops: map[string]nethttp.HandlerFunc{"cdn.example": to("http://0.0.0.0/")},
			want: transport.ErrUnusable, says: "not the address of a server"},
		"name is loop": {hops: map[string]nethttp.HandlerFunc{"cdn.example": to("http://store.example/")},
			ips: map[string]string{"store.example": "127.0.0.1"}, want: transport.ErrUnusable, says: "this machine",
			dials: []string{"cdn.example:80", "store.example:80"}},
		"name is link": {hops: map[string]nethttp.HandlerFunc{"cdn.example": to("http://store.example/")},
			ips: map[string]string{"store.example": "169.254.0.7"}, want: transport.ErrUnusable, says: "link-local"},
		"first is loop": {hops: map[string]nethttp.HandlerFunc{"cdn.example": to("http://store.example/")},
			ips: map[string]string{"cdn.example": "127.0.0.1"}, want: transport.ErrUnusable, says: "this machine",
			dials: []string{"cdn.example:80"}},
		"loop to loop": {start: "localhost", hops: map[string]nethttp.HandlerFunc{
			"localhost": to("http://127.0.0.1/")}, ips: map[string]string{"localhost": "127.0.0.1"}},
		"loop to link": {start: "localhost",
			hops: map[string]nethttp.HandlerFunc{"localhost": to("http://169.254.0.7/")},
			ips:  map[string]string{"localhost": "127.0.0.1"}, want: transport.ErrUnusable, says: "link-local"},
		"link, spelt out": {start: "169.254.0.7"},
		"link to link, by name": {
			start: "169.254.0.8", hops: map[string]nethttp.HandlerFunc{"169.254.0.8": to("http://store.example/")},
			ips: map[string]string{"store.example": "169.254.0.7"}, want: transport.ErrUnusable, says: "link-local",
		},
		"secret in the query": {
			hops: map[string]nethttp.HandlerFunc{"cdn.example": func(w nethttp.ResponseWriter, _ *nethttp.Request) {
				head(w, 404)
			}},
			want: transport.ErrGone, says: "http://cdn.example/x: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if tc.start == "" {
				tc.start = "cdn.example"
			}
			s := newStore(content)
			ip := func(name string) string {
				if a := tc.ips[name]; a != "" {
					return a
				}
				if net.ParseIP(name) != nil {
					return name
				}
				return "192.0.2.9"
			}
			for _, name := range []string{"store.example", "127.0.0.1", "127.9.9.9", "169.254.169.254", "169.254.0.7",
				"0.0.0.0", "localhost", "a.localhost."} {
				w.serve(name+":80", ip(name), s.ServeHTTP)
			}
			for _, name := range []string{"::1", "fe80::1", "::ffff:127.0.0.1"} {
				w.serve("["+name+"]:80", name, s.ServeHTTP)
			}
			for name, h := range tc.hops {
				w.serve(name+":80", ip(name), h)
			}
			o := w.options()
			o.Retries = 2
			got, _, err := fetch(t.Context(),
				newFetcher(t, o).Source([]string{"http://" + tc.start + "/x?sig=s3cret"}, 5000), 0, "")
			if kind(err) != tc.want || (err == nil && !bytes.Equal(got, content)) {
				t.Fatalf("%d bytes, %v; want %v", len(got), err, tc.want)
			}
			if err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %q does not say %q", err, tc.says)
			}
			if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "s3cret")) {
				t.Errorf("error tells a secret: %v", err)
			}
			if tc.dials != nil && !slices.Equal(w.dialled(), tc.dials) {
				t.Errorf("dialled %v, want %v", w.dialled(), tc.dials)
			}
			if tc.want != nil && len(s.served()) > 0 {
				t.Error("the request was made all the same")
			}
		})
	}
}

// countdown redirects n times, then to the store.
func countdown(n int) nethttp.HandlerFunc {
	return func(w nethttp.ResponseWriter, r *nethttp.Request) {
		i := 0
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &i)
		if i++; i < n {
			to(fmt.Sprintf("/%d", i))(w, r)
		} else {
			to("http://store.example/y")(w, r)
		}
	}
}

// The real dialer refuses before it connects: the listener never sees a connection.
func TestDialControl(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan struct{}, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
			accepted <- struct{}{}
		}
	}()
	f := newFetcher(t, http.Options{})
	for _, tc := range []struct {
		start      string
		redirected bool
		ok         bool
	}{
		{"https://updates.example/", false, false},
		{"https://updates.example/", true, false},
		{"https://192.0.2.1/", true, false},
		{"https://127.0.0.1/", false, true},
		{"https://127.0.0.1/", true, true},
		{"https://localhost/", true, true},
	} {
		u, err := url.Parse(tc.start)
		if err != nil {
			t.Fatal(err)
		}
		c, err := f.Dial(t.Context(), u, tc.redirected, l.Addr().String())
		if err == nil {
			c.Close()
			<-accepted
		}
		if (err == nil) != tc.ok || (err != nil && !errors.Is(err, transport.ErrForbidden)) {
			t.Errorf("from %s, redirected %v: %v", tc.start, tc.redirected, err)
		}
	}
	if len(accepted) > 0 {
		t.Error("a refused dial connected")
	}
}

func TestAddresses(t *testing.T) {
	f := newFetcher(t, http.Options{AllowPlain: []string{"http://plain.example", "http://port.example:8080"}})
	for address, ok := range map[string]bool{
		"https://updates.example/a?b=c":        true,
		"https://updates.example:8443/":        true,
		"HTTPS://UPDATES.EXAMPLE/":             true,
		"http://plain.example/x":               true,
		"http://PLAIN.example:80/x":            true,
		"http://port.example:8080/x":           true,
		"http://port.example/x":                false,
		"http://plain.example:8080/x":          false,
		"http://updates.example/x":             false,
		"file:///var/lib/image":                false,
		"file://host/image":                    false,
		"ftp://updates.example/":               false,
		"data:text/plain,x":                    false,
		"https:updates.example":                false,
		"https:///path":                        false,
		"https://user@updates.example/":        false,
		"https://user:hunter2@u.example/":      false,
		"updates.example/x":                    false,
		"//updates.example/x":                  false,
		"":                                     false,
		"#parking":                             false,
		"https://upd\nates.example/":           false,
		"https://" + strings.Repeat("x", 5000): false,
	} {
		_, err := f.Parse(address)
		if (err == nil) != ok || (err != nil && !errors.Is(err, transport.ErrForbidden)) {
			t.Errorf("%.60q: %v", address, err)
		}
		if err != nil && (strings.Contains(err.Error(), "hunter2") || len(err.Error()) > 400) {
			t.Errorf("%.60q: error %.100q", address, err)
		}
	}
	if _, _, err := fetch(t.Context(), f.Source(nil, 0), 0, ""); !errors.Is(err, transport.ErrForbidden) {
		t.Errorf("no address at all: %v", err)
	}
	local := f.Source([]string{"file:///etc/passwd"}, 0)
	if _, _, err := fetch(t.Context(), local, 0, ""); !errors.Is(err, transport.ErrForbidden) {
		t.Errorf("file: %v", err)
	}
}
