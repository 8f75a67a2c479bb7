package http_test

import (
	"bytes"
	"context"
	"errors"
	nethttp "net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/http"
)

// TestJudge: what each answer is worth, at the bounds of what was asked for. The payload has size bytes, 0 = unknown,
// and at most 1000 are allowed.
func TestJudge(t *testing.T) {
	const v1 = `"v1"`
	for _, tt := range []struct {
		name      string
		off, size int64
		status    int
		length    int64
		fields    string // Content-Range; ETag, else none
		tag       string
		says      string
	}{
		{"whole", 0, 100, 200, 100, "", v1, `0 100 100 "v1"`},
		{"whole, empty", 0, 0, 200, 0, "", v1, `0 0 0 "v1"`},
		{"empty, and one byte expected", 0, 1, 200, 0, "", v1,
			"final: answer is not the content: it has 0 bytes, expected were 1"},
		{"whole, no length", 0, 100, 200, -1, "", v1, `0 100 100 "v1"`},
		{"whole, one byte, no length", 0, 1, 200, -1, "", v1, `0 1 1 "v1"`},
		{"whole, nothing known", 0, 0, 200, -1, "", v1, `0 -1 -1 "v1"`},
		{"whole, as long as is allowed", 0, 0, 200, 1000, "", "", "0 1000 1000 "},
		{"whole, a byte more", 0, 0, 200, 1001, "", "",
			"final: answer is not the content: it has 1001 bytes, at most 1000 are allowed"},
		{"from byte 1", 1, 100, 200, 100, "", v1, `1 99 100 "v1"`},
		{"from byte 40, size unknown", 40, 0, 200, 100, "", v1, `40 60 100 "v1"`},
		{"from byte 40, nothing known", 40, 0, 200, -1, "", v1, `40 -1 -1 "v1"`},
		{"from byte 40, which is the end", 40, 0, 200, 40, "", v1, `40 0 40 "v1"`},
		{"from byte 40, beyond the end", 40, 0, 200, 39, "", v1,
			"final: answer is not the content: it ends before byte 40"},
		{"from byte 40 of nothing", 40, 0, 200, 0, "", v1,
			"final: answer is not the content: it ends before byte 40"},
		{"from byte 1, another tag", 1, 100, 200, 100, "", `"v2"`,
			`final: source content has changed: validator was "v1", now it is "v2"`},

		{"part", 40, 100, 206, 60, "bytes 40-99/100", v1, `0 60 100 "v1"`},
		{"part from byte 1", 1, 100, 206, 99, "bytes 1-99/100", v1, `0 99 100 "v1"`},
		{"part, no length", 40, 100, 206, -1, "bytes 40-99/100", v1, `0 60 100 "v1"`},
		{"part, announced as empty", 40, 100, 206, 0, "bytes 40-99/100", v1,
			"server announces 0 bytes for a range of 60"},
		{"part of unknown size", 40, 0, 206, 60, "bytes 40-99/100", v1, `0 60 100 "v1"`},
		{"part, no total", 40, 100, 206, 60, "bytes 40-99/*", v1, `0 60 100 "v1"`},
		{"part, nobody knows the total", 40, 0, 206, 60, "bytes 40-99/*", v1,
			"server does not say how long the payload is"},
		{"part beyond the size, no total", 40, 100, 206, 61, "bytes 40-100/*", v1,
			"final: answer is not the content: bytes up to 100 of 100, at most 1000 are allowed"},
		{"part of as much as is allowed", 999, 0, 206, 1, "bytes 999-999/1000", v1, `0 1 1000 "v1"`},
		{"part of more", 999, 0, 206, 1, "bytes 999-999/1001", v1,
			"final: answer is not the content: bytes up to 999 of 1001, at most 1000 are allowed"},
		{"less than was asked for", 40, 100, 206, 10, "bytes 40-49/100", v1, `0 10 100 "v1"`},
		{"part of another size", 1, 2, 206, 1, "bytes 1-1/3", v1,
			"final: answer is not the content: it has 3 bytes now, expected were 2"},
		{"part that begins at 0", 1, 2, 206, 2, "bytes 0-1/2", v1,
			"server answers with bytes from 0, asked for were those from 1"},
		{"part of nothing", 1, 2, 206, 2, "bytes */2", v1,
			`server answers with a part and does not say which: Content-Range "bytes */2"`},
		{"part without a unit", 1, 2, 206, 1, "1-1/2", v1,
			`server answers with a part and does not say which: Content-Range "1-1/2"`},
		{"part, the whole was asked for", 0, 2, 206, 2, "bytes 0-1/2", v1,
			"server answers with a part, the whole was asked for"},

		{"at the end", 100, 0, 416, 0, "bytes */100", v1, `0 0 100 "v1"`},
		{"at the end of one byte", 1, 0, 416, 0, "bytes */1", v1, `0 0 1 "v1"`},
		{"before the end", 100, 0, 416, 0, "bytes */101", v1,
			"final: answer is not the content: it ends before byte 100"},
		{"at the end, which the manifest knows", 100, 200, 416, 0, "bytes */100", v1,
			"final: answer is not the content: it ends before byte 100"},
		{"not satisfied with a range", 100, 0, 416, 0, "bytes 0-99/100", v1,
			"final: answer is not the content: it ends before byte 100"},
		{"with bytes of another unit", 100, 0, 416, 0, "lines */100", v1,
			"final: answer is not the content: it ends before byte 100"},
		{"too early", 0, 0, 425, 0, "", "", "server answers 425"},
	} {
		r := &nethttp.Response{StatusCode: tt.status, ContentLength: tt.length, Header: nethttp.Header{}}
		r.Header.Set("Content-Range", tt.fields)
		r.Header.Set("ETag", tt.tag)
		if got := http.Judge(r, tt.off, tt.size, v1, 1000); got != tt.says {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, got, tt.says)
		}
	}
}

// TestContentRange: RFC 9110 section 14.4, and nothing like it.
func TestContentRange(t *testing.T) {
	big := strings.Repeat("9", 18)
	for s, want := range map[string][4]int64{
		"bytes 0-0/1": {0, 0, 1, 1}, "BYTES 5-9/10": {5, 9, 10, 1}, "bytes 0-9/*": {0, 9, -1, 1},
		"bytes */0": {-1, -1, 0, 1}, "bytes */1": {-1, -1, 1, 1}, "bytes  */1 ": {-1, -1, 1, 1},
		"bytes 0-0/" + big: {0, 0, 999999999999999999, 1}, "bytes 0-0/9" + big: {}, "bytes 0-0/1000000000000000000": {},
		"bytes */*": {}, "bytes": {}, "bytes 0-9": {}, "bytes */": {}, "bytes */x": {}, "bytes 0-9/x": {},
		"bytes -9/10": {}, "bytes 0-/10": {}, "bytes 0/10": {}, "bytes x-9/10": {}, "bytes 0-x/10": {},
		"bytes 9-8/10": {}, "bytes 9-9/10": {9, 9, 10, 1}, "bytes 9-10/10": {}, "bytes 0-0/0": {}, "octets 0-0/1": {},
	} {
		first, last, total, ok := http.ParseContentRange(s)
		if ok != (want[3] == 1) || ok && [3]int64{first, last, total} != [3]int64(want[:3]) {
			t.Errorf("%q: %d-%d/%d, %t", s, first, last, total, ok)
		}
	}
}

// TestRetryAfterBounds: seconds, or a date by the server's clock, or by ours where it tells none.
func TestRetryAfterBounds(t *testing.T) {
	const date = "Fri, 31 Dec 1999 23:59:00 GMT"
	ours := time.Date(1999, 12, 31, 23, 58, 0, 0, time.UTC)
	for _, tt := range []struct {
		after, date string
		want        time.Duration
	}{
		{"1", "", time.Second}, {" 7 ", "", 7 * time.Second}, {"600", "", 10 * time.Minute},
		{"599", "", 599 * time.Second},
		{"601", "", 10 * time.Minute}, {"1000000000000", "", 10 * time.Minute}, {"x", "", 0}, {"", "", 0},
		{"-1", "", 0},
		{"Fri, 31 Dec 1999 23:59:30 GMT", date, 30 * time.Second},
		{"Fri, 31 Dec 1999 23:59:30 GMT", "", 90 * time.Second},
		{"Fri, 31 Dec 1999 23:59:30 GMT", "x", 90 * time.Second}, {"Fri, 31 Dec 1999 23:58:30 GMT", date, 0},
		{"Sat, 01 Jan 2000 23:59:30 GMT", date, 10 * time.Minute},
	} {
		h := nethttp.Header{}
		h.Set("Retry-After", tt.after)
		h.Set("Date", tt.date)
		if got := http.ParseRetryAfter(h, ours); got != tt.want {
			t.Errorf("%q at %q: %v, want %v", tt.after, tt.date, got, tt.want)
		}
	}
}

// TestReach: where a request may lead, by the address that it starts at.
func TestReach(t *testing.T) {
	for _, tt := range []struct{ start, address, says string }{
		{"https://x.example/", "192.0.2.1", ""}, {"https://x.example/", "2001:db8::1", ""},
		{"https://x.example/", "127.0.0.1", "this machine"}, {"https://x.example/", "::1", "this machine"},
		{"https://x.example/", "::ffff:127.0.0.1", "this machine"},
		{"https://x.example/", "169.254.1.1", "a link-local"},
		{"https://x.example/", "fe80::1", "a link-local"}, {"https://x.example/", "fe80::1%eth0", "a link-local"},
		{"https://x.example/", "224.0.0.9", "not the address"}, {"https://x.example/", "ff02::1", "not the address"},
		{"https://x.example/", "0.0.0.0", "not the address"}, {"https://x.example/", "::", "not the address"},
		{"https://x.example/", "255.255.255.255", "not the address"},
		{"https://x.example/", "::ffff:255.255.255.255", "not the address"},
		{"https://x.example/", "255.255.255.254", ""},
		{"https://127.0.0.1/", "127.0.0.1", ""}, {"https://127.0.0.1/", "169.254.1.1", "a link-local"},
		{"https://[::ffff:127.0.0.1]/", "::1", ""}, {"https://LOCALHOST./", "127.0.0.1", ""},
		{"https://a.localhost/", "127.0.0.1", ""}, {"https://xlocalhost/", "127.0.0.1", "this machine"},
		{"https://169.254.1.1/", "169.254.1.1", ""}, {"https://169.254.1.1/", "127.0.0.1", "this machine"},
		{"https://[fe80::1%25eth0]/", "fe80::1", ""}, {"https://192.0.2.1/", "169.254.1.1", "a link-local"},
		{"https://192.0.2.1/", "127.0.0.1", "this machine"},
	} {
		err := http.Admit(tt.start, tt.address)
		if tt.says == "" && err != nil || tt.says != "" &&
			(err == nil || !strings.Contains(err.Error(), " is "+tt.says)) {
			t.Errorf("from %s to %s: %v, want %q", tt.start, tt.address, err, tt.says)
		}
	}
}

// TestBoundsOfOptions: the last value that is taken, and the first that is not.
func TestBoundsOfOptions(t *testing.T) {
	for name, tt := range map[string]struct {
		o  http.Options
		ok bool
	}{
		"no redirects": {http.Options{MaxRedirects: -1}, true}, "fewer": {http.Options{MaxRedirects: -2}, false},
		"no retries": {http.Options{Retries: -1}, true}, "bytes": {http.Options{MaxBytes: -1}, false},
		"connect": {http.Options{Connect: -1}, false}, "stall": {http.Options{Stall: -1}, false},
		"limit": {http.Options{Limit: 128}, true}, "low": {http.Options{Limit: 127}, false},
		"1":     {http.Options{Limit: 1}, false},
		"user":  {http.Options{AllowPlain: []string{"http://u@host"}}, false},
		"query": {http.Options{AllowPlain: []string{"http://host/?x"}}, false},
		"mark":  {http.Options{AllowPlain: []string{"http://host/#x"}}, false},
		"slash": {http.Options{AllowPlain: []string{"http://host/"}}, true},
		"ftp":   {http.Options{Credentials: fixed(map[string]http.Credentials{"ftp://host": {}})}, false},
		"none":  {http.Options{Credentials: fixed(map[string]http.Credentials{"https://ho st": {}})}, false},
	} {
		if err := tt.o.Validate(); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	for rate, want := range map[int64]int{0: 5000, 128: 16, 200: 25, 8000: 1000, 1 << 20: 5000} {
		if got := http.Chunk(rate, 5000); got != want {
			t.Errorf("%d bytes at once at %d bytes/s, want %d", got, rate, want)
		}
	}
	if s := strings.Repeat("x", 200); http.Clip(s) != s || http.Clip(s+"y") != s+"..." {
		t.Error("what is shown of an address has 200 bytes")
	}
	tag := func(s string) string { return http.ValidatorOf(nethttp.Header{"Etag": {s}}) }
	if s := `"` + strings.Repeat("x", 254) + `"`; tag(s) != s || tag(`"`+s[1:255]+`x"`) != "" || tag(`"!~"`) != `"!~"` {
		t.Error("a tag of 256 bytes, or of the first and last letter that is allowed, is none; or a longer one is")
	}
	f := newFetcher(t, http.Options{})
	long := "https://h/" + strings.Repeat("x", http.MaxURL-10)
	if _, err := f.Parse(long); err != nil {
		t.Errorf("an address of %d bytes: %v", len(long), err)
	}
	if _, err := f.Parse(long + "x"); err == nil {
		t.Errorf("an address of %d bytes is taken", len(long)+1)
	}
	if u, err := f.Parse("http:x"); err == nil || !strings.Contains(err.Error(), "without a host") {
		t.Errorf("%v, %v", u, err)
	}
	if u, err := f.Parse("https:x"); err == nil || !strings.Contains(err.Error(), "without a host") {
		t.Errorf("%v, %v", u, err)
	}
	// What Open itself refuses, before anything is asked.
	for name, tt := range map[string]struct{ off, size int64 }{
		"before": {-1, 10}, "beyond": {11, 10}, "beyond one": {2, 1}, "size": {0, -1},
	} {
		_, _, err := f.Source([]string{"https://h/"}, tt.size).Open(t.Context(), tt.off, "v")
		if err == nil || !strings.Contains(err.Error(), "cannot open payload at byte") ||
			strings.Contains(err.Error(), "no server") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOpenBounds: what is there already or cannot be asked for is known without a server.
func TestOpenBounds(t *testing.T) {
	content := random(5, 1000)
	w := newWorld(t)
	w.serve("updates.example:80", "192.0.2.1", newStore(content).ServeHTTP)
	o := w.options()
	o.MaxBytes = 1000
	f := newFetcher(t, o)
	open := func(ctx context.Context, off, size int64, validator string) (int, error) {
		got, _, err := fetch(ctx, f.Source([]string{payloadURL}, size), off, validator)
		return len(got), err
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := open(t.Context(), 1, 1, "v"); n != 0 || err != nil {
		t.Errorf("all of one byte is there: %d bytes, %v", n, err)
	}
	if _, err := open(ended, 0, 1000, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("it is over: %v", err)
	}
	if n := w.dialled(); len(n) != 0 {
		t.Errorf("a server was asked: %v", n)
	}
	for _, size := range []int64{0, 1000} {
		if n, err := open(t.Context(), 0, size, ""); n != 1000 || err != nil {
			t.Errorf("as many bytes as are allowed, of %d: %d, %v", size, n, err)
		}
	}
}

// TestBreaksWithoutAValidator: a body goes on where the connection broke also on a server that gives no validator, or
// a weak one, and that grants no range.
func TestBreaksWithoutAValidator(t *testing.T) {
	content := random(6, 1000)
	for _, after := range []int{0, 1, 999} {
		n := 0
		_, f := one(t, func(rw nethttp.ResponseWriter, r *nethttp.Request) {
			head(rw, 200, "Content-Length: 1000")
			if n++; n == 1 {
				_, _ = rw.Write(content[:after])
				_ = nethttp.NewResponseController(rw).Flush()
				panic(nethttp.ErrAbortHandler)
			}
			_, _ = rw.Write(content)
		})
		got, _, err := fetch(t.Context(), f.Source([]string{payloadURL}, 1000), 0, "")
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("a break after %d bytes: %d bytes, %v", after, len(got), err)
		}
	}
}

// TestSkipBounds: on a server without ranges the beginning is read and dropped, however much it is, and after a break
// once more as far as that is cheap.
func TestSkipBounds(t *testing.T) {
	content := make([]byte, http.MaxSkip+100)
	broken := 0
	_, f := one(t, func(rw nethttp.ResponseWriter, r *nethttp.Request) {
		head(rw, 200, `ETag: "v1"`, "Content-Length: "+strconv.Itoa(len(content)))
		if broken > 0 {
			broken--
			_, _ = rw.Write(content[:5<<20])
			_ = nethttp.NewResponseController(rw).Flush()
			panic(nethttp.ErrAbortHandler)
		}
		_, _ = rw.Write(content)
	})
	src := f.Source([]string{payloadURL}, int64(len(content)))
	if got, _, err := fetch(t.Context(), src, http.MaxSkip, `"v1"`); err != nil || len(got) != 100 {
		t.Errorf("from the last byte that is skipped to: %d bytes, %v", len(got), err)
	}
	if got, _, err := fetch(t.Context(), src, http.MaxSkip+1, `"v1"`); err != nil || len(got) != 99 {
		t.Errorf("from one more: %d bytes, %v", len(got), err)
	}
	broken = 1
	if _, _, err := fetch(t.Context(), src, 6<<20, `"v1"`); !errors.Is(err, transport.ErrUnusable) {
		t.Errorf("5 MiB in vain, and then 6: %v", err)
	}
}

// TestRedirectBounds: each status that redirects, and the longest address.
func TestRedirectBounds(t *testing.T) {
	content := random(4, 100)
	to := func(n int) string { return "/" + strings.Repeat("x", n-len("http://updates.example/")) }
	for _, tt := range []struct {
		status, length int
		ok             bool
	}{
		{301, 100, true}, {302, 100, true}, {303, 100, true}, {307, 100, true}, {308, 100, true}, {300, 100, false},
		{302, http.MaxURL, true}, {302, http.MaxURL + 1, false},
	} {
		_, f := one(t, func(rw nethttp.ResponseWriter, r *nethttp.Request) {
			if strings.HasPrefix(r.URL.Path, "/xx") {
				newStore(content).ServeHTTP(rw, r)
				return
			}
			head(rw, tt.status, "Location: "+to(tt.length))
		})
		got, _, err := fetch(t.Context(), f.Source([]string{payloadURL}, 100), 0, "")
		if (err == nil) != tt.ok || tt.ok && len(got) != 100 {
			t.Errorf("status %d to an address of %d bytes: %d bytes, %v", tt.status, tt.length, len(got), err)
		}
	}
}
