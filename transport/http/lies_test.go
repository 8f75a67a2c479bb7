package http_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	nethttp "net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/http"
)

// head sets header fields "Name: value" and the status.
func head(w nethttp.ResponseWriter, status int, fields ...string) {
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		w.Header().Set(name, value)
	}
	w.WriteHeader(status)
}

// errLater stands for any error without a sentinel: try later.
var errLater = errors.New("later")

func kind(err error) error {
	for _, s := range []error{transport.ErrChanged, transport.ErrUnusable, transport.ErrGone, transport.ErrForbidden} {
		if errors.Is(err, s) {
			return s
		}
	}
	if err != nil {
		return errLater
	}
	return nil
}

// Every lie that a server can tell about a payload of 1000 bytes, "v1".
func TestLies(t *testing.T) {
	content := random(7, 1000)
	type lie struct {
		off    int64
		answer func(w nethttp.ResponseWriter, r *nethttp.Request)
		want   error // nil: the right bytes
		says   string
	}
	part := func(status int, body []byte, fields ...string) func(nethttp.ResponseWriter, *nethttp.Request) {
		return func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			head(w, status, fields...)
			_, _ = w.Write(body)
		}
	}
	const v1, v2, weak = `ETag: "v1"`, `ETag: "v2"`, `ETag: W/"v1"`
	for name, tc := range map[string]lie{
		"the truth": {400,
			part(206, content[400:], v1, "Content-Range: bytes 400-999/1000"), nil, ""},
		"no tag repeated":             {400, part(206, content[400:], "Content-Range: bytes 400-999/1000"), nil, ""},
		"no total, but size is known": {400, part(206, content[400:], v1, "Content-Range: bytes 400-999/*"), nil, ""},
		"range ignored":               {400, part(200, content, v1), nil, ""},
		"another range": {400, part(206, content[300:], v1, "Content-Range: bytes 300-999/1000"),
			errLater, "bytes from 300"},
		"range without its range": {400, part(206, content[400:], v1), errLater, "does not say which"},
		"range in other units": {400, part(206, content[400:], v1, "Content-Range: lines 400-999/1000"), errLater,
			"does not say which"},
		"range beyond the total": {400, part(206, content[400:], v1, "Content-Range: bytes 400-1000/1000"),
			errLater, "does not say which"},
		"range, another length": {400, part(206, content[401:], v1, "Content-Range: bytes 400-999/1000",
			"Content-Length: 599"), errLater, "announces 599 bytes"},
		"several ranges": {400, part(206, []byte("--x"), v1,
			"Content-Type: multipart/byteranges; boundary=x"), errLater, "does not say which"},
		"range, another tag": {400, part(206, content[400:], v2, "Content-Range: bytes 400-999/1000"),
			transport.ErrChanged, `"v2"`},
		"range, weak tag": {400, part(206, content[400:], weak, "Content-Range: bytes 400-999/1000"),
			transport.ErrChanged, `W/"v1"`},
		"range, another total": {400, part(206, content[400:], v1, "Content-Range: bytes 400-999/2000"),
			transport.ErrUnusable, "2000 bytes"},
		"range, encoded": {400, part(206, content[400:], v1, "Content-Range: bytes 400-999/1000",
			"Content-Encoding: gzip"), transport.ErrUnusable, "gzip"},
		"whole, another tag": {400, part(200, content, v2), transport.ErrChanged, `"v2"`},
		"whole, weak tag":    {400, part(200, content, weak), transport.ErrChanged, "none that proves"},
		"whole, no tag":      {400, part(200, content), transport.ErrChanged, "none that proves"},
		"range not satisfiable": {400, part(416, nil, "Content-Range: bytes */300"), transport.ErrUnusable,
			"ends before byte 400"},
		"range, 404": {400, part(404, nil), transport.ErrGone, "404"},
		"whole":      {0, part(200, content, v1), nil, ""},
		"whole, in chunks": {0,
			func(w nethttp.ResponseWriter, _ *nethttp.Request) { chunks(w, content) }, nil, ""},
		"whole, too long": {0, part(200, append(content[:1000:1000], 0), v1), transport.ErrUnusable,
			"1001 bytes, expected were 1000"},
		"whole, too short": {0, part(200, content[:999], v1), transport.ErrUnusable, "999 bytes"},
		"whole, in too many chunks": {0,
			func(w nethttp.ResponseWriter, _ *nethttp.Request) { endless(w, content) }, nil, ""},
		"whole, gzip": {0, part(200, content, v1, "Content-Encoding: gzip"),
			transport.ErrUnusable, "gzip"},
		"identity said": {0, part(200, content, v1, "Content-Encoding: identity"), nil, ""},
		"a part instead": {0, part(206, content, v1, "Content-Range: bytes 0-999/1000"), errLater,
			"the whole was asked for"},
		"nothing":                    {0, part(204, nil), errLater, "204"},
		"not modified":               {0, part(304, nil), errLater, "304"},
		"redirect to nowhere":        {0, part(302, nil), errLater, "nowhere"},
		"redirect to no address":     {0, part(302, nil, "Location: http://[::1/"), errLater, "nowhere"},
		"bad request":                {0, part(400, nil), transport.ErrGone, "400"},
		"unauthorised":               {0, part(401, nil), transport.ErrGone, "401"},
		"forbidden":                  {0, part(403, nil), transport.ErrGone, "403"},
		"not found":                  {0, part(404, nil), transport.ErrGone, "404"},
		"gone":                       {0, part(410, nil), transport.ErrGone, "410"},
		"range not satisfiable at 0": {0, part(416, nil), transport.ErrGone, "416"},
		"too many requests":          {0, part(429, nil), errLater, "429"},
		"timeout":                    {0, part(408, nil), errLater, "408"},
		"server error":               {0, part(500, nil), errLater, "500"},
		"unavailable":                {0, part(503, nil), errLater, "503"},
		"not HTTP": {0, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			raw(w, "220 smtp.example ESMTP\r\n")
		}, errLater, "malformed"},
		"two lengths": {0, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			raw(w, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1000\r\n\r\n")
		}, errLater, "Content-Length"},
		"negative length": {0, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			raw(w, "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")
		}, errLater, "Content-Length"},
		"endless header": {0, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			raw(w, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20))
		}, errLater, "exceeded"},
		"length, then less": {0, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			raw(w, "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 1000\r\n\r\nabc")
		}, errLater, "without progress"},
		"no length, closed in between": {0, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			raw(w, "HTTP/1.0 200 OK\r\nETag: \"v1\"\r\n\r\nabc")
		}, errLater, "without progress"},
		"no strong tag, then it breaks": {0, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			raw(w, "HTTP/1.1 200 OK\r\nETag: W/\"v1\"\r\nContent-Length: 1000\r\n\r\nabc")
		}, errLater, "without progress"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.serve("updates.example:80", "192.0.2.1", tc.answer)
			o := w.options()
			o.Retries = 2
			v := ""
			if tc.off > 0 {
				v = `"v1"`
			}
			got, _, err := fetch(t.Context(), newFetcher(t, o).Source([]string{payloadURL}, 1000), tc.off, v)
			if kind(err) != tc.want {
				t.Fatalf("%v, want %v", err, tc.want)
			}
			if err == nil && !bytes.Equal(got, content[tc.off:]) {
				t.Errorf("%d wrong bytes", len(got))
			}
			if err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %q does not say %q", err, tc.says)
			}
			if n := len(w.dialled()); (tc.want == errLater && n != 3) || (tc.want != errLater && n > 2) {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// TestNoValidator: without a validator the rest is asked for without a condition, and the server's is taken up.
func TestNoValidator(t *testing.T) {
	w := newWorld(t)
	s := newStore(random(7, 1000))
	w.serve("updates.example:80", "192.0.2.1", s.ServeHTTP)
	src := newFetcher(t, w.options()).Source([]string{payloadURL}, 1000)
	got, v, err := fetch(t.Context(), src, 400, "")
	if err != nil || !bytes.Equal(got, random(7, 1000)[400:]) || v == "" || len(w.dialled()) != 1 {
		t.Errorf("%d bytes, %q, %v after %d requests", len(got), v, err, len(w.dialled()))
	}
	if got, _, err := fetch(t.Context(), src, 1000, ""); err != nil || len(got) != 0 || len(w.dialled()) != 1 {
		t.Errorf("%d bytes, %v after %d requests, want an end at once", len(got), err, len(w.dialled()))
	}
}

func TestValidators(t *testing.T) {
	const old, now = "Fri, 31 Dec 1999 23:59:58 GMT", "Fri, 31 Dec 1999 23:59:59 GMT"
	for _, tc := range []struct{ tag, modified, date, want string }{
		{`"v1"`, "", "", `"v1"`},
		{`"v1"`, old, now, `"v1"`},
		{`""`, "", "", `""`},
		{`W/"v1"`, "", "", ""},
		{`W/"v1"`, old, now, ""}, // the server itself says that bytes may differ
		{`w/"v1"`, "", "", ""},
		{`v1"`, "", "", ""},
		{`"v1`, "", "", ""},
		{`v1`, "", "", ""},
		{`"`, "", "", ""},
		{`"v 1"`, "", "", ""},
		{`"v"1"`, "", "", ""},
		{"\"v\x7f\"", "", "", ""},
		{`"` + strings.Repeat("x", 300) + `"`, "", "", ""},
		{"", old, now, old},
		{"", now, now, ""}, // it may have changed within that second
		{"", now, old, ""},
		{"", old, "", ""},
		{"", "yesterday", now, ""},
		{"", "", now, ""},
	} {
		h := nethttp.Header{"Etag": {tc.tag}, "Last-Modified": {tc.modified}, "Date": {tc.date}}
		if got := http.ValidatorOf(h); got != tc.want {
			t.Errorf("%q, %q at %q: %q, want %q", tc.tag, tc.modified, tc.date, got, tc.want)
		}
	}
}

func chunks(w nethttp.ResponseWriter, content []byte) {
	w.Header().Set("ETag", `"v1"`)
	for b := range bytes.Lines(content) {
		_, _ = w.Write(b)
		_ = nethttp.NewResponseController(w).Flush()
	}
}

func endless(w nethttp.ResponseWriter, content []byte) {
	chunks(w, content)
	for {
		if _, err := w.Write(content); err != nil {
			return
		}
	}
}

func raw(w nethttp.ResponseWriter, s string) {
	c, _, err := nethttp.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, s)
}

// Without a size from the manifest, the server's own length counts, within MaxBytes.
func TestUnknownSize(t *testing.T) {
	content := random(8, 1000)
	for name, tc := range map[string]struct {
		answer nethttp.HandlerFunc
		want   error
		bytes  int
	}{
		"length": {newStore(content).ServeHTTP, nil, 1000},
		"chunks": {func(w nethttp.ResponseWriter, _ *nethttp.Request) { chunks(w, content) }, nil, 1000},
		"empty":  {newStore(nil).ServeHTTP, nil, 0},
		"empty chunks": {func(w nethttp.ResponseWriter, _ *nethttp.Request) {
			_ = nethttp.NewResponseController(w).Flush()
		}, nil, 0},
		"endless": {func(w nethttp.ResponseWriter, _ *nethttp.Request) { endless(w, content) },
			transport.ErrUnusable, -1},
		"too long": {newStore(make([]byte, 5001)).ServeHTTP, transport.ErrUnusable, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.serve("updates.example:80", "192.0.2.1", tc.answer)
			o := w.options()
			o.MaxBytes = 5000
			got, _, err := fetch(t.Context(), newFetcher(t, o).Source([]string{payloadURL}, 0), 0, "")
			if kind(err) != tc.want || (tc.bytes >= 0 && len(got) != tc.bytes) || len(got) > 5000 {
				t.Errorf("%d bytes, %v; want %v", len(got), err, tc.want)
			}
		})
	}
	t.Run("manifest too long", func(t *testing.T) {
		w := newWorld(t)
		w.serve("updates.example:80", "192.0.2.1", newStore(content).ServeHTTP)
		o := w.options()
		o.MaxBytes = 999
		if _, _, err := fetch(t.Context(),
			newFetcher(t, o).Source([]string{payloadURL}, 1000), 0, ""); kind(err) != transport.ErrForbidden {
			t.Errorf("%v, want ErrForbidden", err)
		}
		if len(w.dialled()) != 0 {
			t.Error("asked the server all the same")
		}
	})
}

// A server without ranges is read from the start and the prefix dropped.
func TestNoRanges(t *testing.T) {
	content := random(9, 10<<20)
	served := 0
	_, f := one(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		served++
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content)
	})
	src := f.Source([]string{payloadURL}, int64(len(content)))
	got, v, err := fetch(t.Context(), src, 5<<20, `"v1"`)
	if err != nil || v != `"v1"` || !bytes.Equal(got, content[5<<20:]) {
		t.Errorf("%d bytes, %q, %v", len(got), v, err)
	}
	if got, _, err := fetch(t.Context(), src, 9<<20, ""); err != nil || !bytes.Equal(got, content[9<<20:]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if served != 2 {
		t.Errorf("%d requests", served)
	}
}

// Random servers: each answer is drawn from truth, breaks and lies. Whatever they do, the bytes
// delivered are a prefix of the content, and an end without an error is the whole.
func TestRandomServers(t *testing.T) {
	const runs = 150
	ended := map[error]int{}
	for seed := range uint64(runs) {
		size := 50_000 + int(seed%7)*30_000
		content := random(seed, size)
		other := random(seed+1e6, size)
		r := rand.New(rand.NewPCG(seed, 21))
		s := newStore(content)
		w := newWorld(t)
		w.serve("updates.example:80", "192.0.2.1", func(rw nethttp.ResponseWriter, req *nethttp.Request) {
			switch r.IntN(16) {
			case 0:
				head(rw, 503)
			case 1:
				raw(rw, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/10\r\n\r\nabcde")
			case 2:
				panic(nethttp.ErrAbortHandler)
			case 3: // other content, and it says so
				head(rw, 200, `ETag: "other"`, "Content-Length: "+strconv.Itoa(size))
				_, _ = rw.Write(other)
			case 4:
				from := r.IntN(size)
				head(rw, 206, `ETag: "v1"`, fmt.Sprintf("Content-Range: bytes %d-%d/%d", from, size-1, size))
				_, _ = rw.Write(content[from:])
			case 5:
				head(rw, 200, `ETag: "v1"`, "Content-Length: "+strconv.Itoa(size)) // no ranges
				_, _ = rw.Write(content)
			default:
				s.breakAfter(int64(r.IntN(size)))
				s.ServeHTTP(rw, req)
			}
		})
		off, v := int64(0), ""
		if seed%3 == 0 {
			off, v = int64(r.IntN(size)), `"v1"`
		}
		want := content
		got, newV, err := fetch(t.Context(),
			newFetcher(t, w.options()).Source([]string{payloadURL}, int64(size)), off, v)
		if newV == `"other"` {
			want = other // it was served that from the start
		}
		if !bytes.HasPrefix(want[off:], got) {
			t.Fatalf("seed %d: the body is not a prefix of the content", seed)
		}
		if err == nil && len(got) != len(want[off:]) {
			t.Fatalf("seed %d: ended after %d of %d bytes", seed, len(got), size)
		}
		ended[kind(err)]++
		w.close()
	}
	t.Logf("ends: %v", ended)
	if ended[nil] < runs/4 || ended[transport.ErrChanged] == 0 || ended[transport.ErrForbidden] != 0 {
		t.Errorf("the mix of ends is not what the servers do: %v", ended)
	}
}
