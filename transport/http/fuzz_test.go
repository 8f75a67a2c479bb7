package http_test

import (
	"errors"
	"fmt"
	nethttp "net/http"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/http"
)

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-9/10", "bytes 0-9/*", "bytes */10", "bytes */*", "BYTES 1-1/2", "bytes 9-0/10",
		"bytes 0-10/10", "bytes -1-9/10", "bytes +0-9/10", "bytes 0-9/99999999999999999999", "bytes 0x0-9/10",
		"lines 0-9/10", "", "bytes", "bytes 0-9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, last, total, ok := http.ParseContentRange(s)
		if !ok {
			return
		}
		if first < 0 { // "bytes */N"
			if last >= 0 || total < 0 {
				t.Fatalf("%q: %d-%d/%d", s, first, last, total)
			}
			return
		}
		if last < first || (total >= 0 && last >= total) || last > 1e18 {
			t.Fatalf("%q: %d-%d/%d", s, first, last, total)
		}
		canonical := fmt.Sprintf("bytes %d-%d/%d", first, last, total)
		if total < 0 {
			canonical = fmt.Sprintf("bytes %d-%d/*", first, last)
		}
		if a, b, c, ok := http.ParseContentRange(canonical); !ok || a != first || b != last || c != total {
			t.Fatalf("%q is read as %s and that as %d-%d/%d", s, canonical, a, b, c)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"120", "0", "-1", "99999999999999999999", "1e9", "Fri, 31 Dec 1999 23:59:59 GMT",
		"Fri, 31 Dec 9999 23:59:59 GMT", " 5 ", ""} {
		f.Add(s, "Fri, 31 Dec 1999 23:59:00 GMT")
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, s, date string) {
		h := nethttp.Header{"Retry-After": {s}, "Date": {date}}
		if d := http.ParseRetryAfter(h, time.Unix(0, 0)); d < 0 || d > http.MaxRetryAfter {
			t.Fatalf("%q: %v", s, d)
		}
	})
}

// What may stand in If-Range is a strong tag as the server wrote it, or a date.
func FuzzValidator(f *testing.F) {
	for _, s := range []string{`"v1"`, `W/"v1"`, `""`, `"`, `"a"b"`, "\"a\r\nX: y\"", `v1`} {
		f.Add(s, "Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 1999 23:59:59 GMT")
		f.Add("", "Fri, 31 Dec 1999 23:59:59 GMT", "Sat, 01 Jan 2000 23:59:59 GMT")
	}
	f.Fuzz(func(t *testing.T, tag, modified, date string) {
		v := http.ValidatorOf(nethttp.Header{"Etag": {tag}, "Last-Modified": {modified}, "Date": {date}})
		if v == "" {
			return
		}
		if strings.ContainsAny(v, "\r\n\x00") || len(v) > 256 || strings.HasPrefix(v, "W/") {
			t.Fatalf("validator %q", v)
		}
		if v != tag {
			m, err1 := nethttp.ParseTime(modified)
			d, err2 := nethttp.ParseTime(date)
			if tag != "" || v != modified || err1 != nil || err2 != nil || !m.Before(d) {
				t.Fatalf("validator %q of %q, %q, %q", v, tag, modified, date)
			}
		}
	})
}

// An address that passes is https with a host and without a user, or listed.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"https://h/p", "http://plain.example/", "http://h/", "file:///x", "https://u@h/",
		"https://h:0/", "https:h", "https://[::1%25eth0]/", "https://h\\@evil/", "https:///h", "https://h#@evil/",
		"//h", "HTTPS://H", "https://h?u@x"} {
		f.Add(s)
	}
	fetcher, err := http.New(http.Options{AllowPlain: []string{"http://plain.example"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := fetcher.Parse(s)
		if err != nil {
			if !errors.Is(err, transport.ErrForbidden) || len(err.Error()) > 1000 {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		if u.Hostname() == "" || u.User != nil || u.Opaque != "" || len(s) > http.MaxURL {
			t.Fatalf("%q passed as %q", s, u)
		}
		if u.Scheme != "https" && !strings.EqualFold(u.Hostname(), "plain.example") {
			t.Fatalf("%q passed as %q", s, u)
		}
		// What is asked for is what was checked.
		again, err := fetcher.Parse(u.String())
		if err != nil || again.Host != u.Host || again.Scheme != u.Scheme {
			t.Fatalf("%q is %q, and that is %q (%v)", s, u, again, err)
		}
	})
}
