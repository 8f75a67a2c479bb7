package http

import (
	"cmp"
	nethttp "net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
)

// maxRetryAfter bounds what a server may ask us to wait.
const maxRetryAfter = 10 * time.Minute

// trouble is what came of one attempt at one mirror.
type trouble struct {
	err   error
	final bool          // asking this mirror again does not help
	after time.Duration // the server's wish, bounded; 0: none
}

func final(format string, args ...any) *trouble {
	return &trouble{err: errorf(format, args...), final: true}
}

func passing(format string, args ...any) *trouble {
	return &trouble{err: errorf(format, args...)}
}

// answer is a response whose body may be used.
type answer struct {
	skip      int64  // bytes to read and drop before the wanted ones
	length    int64  // wanted bytes in the body; -1 unknown
	total     int64  // of the whole payload; -1 unknown
	validator string // "": cannot be resumed
}

// want is what a request asked for.
type want struct {
	off       int64
	size      int64 // of the payload; 0 unknown
	validator string
	max       int64
}

// judge checks status and header fields of an answer (RFC 9110, sections 13.1.5, 14 and 15).
func judge(r *nethttp.Response, w want) (answer, *trouble) {
	switch c := r.StatusCode; {
	case c == nethttp.StatusOK:
		return judgeWhole(r, w)
	case c == nethttp.StatusPartialContent:
		return judgePart(r, w)
	case c == nethttp.StatusRequestedRangeNotSatisfiable && w.off > 0:
		if cr, ok := parseContentRange(r.Header.Get("Content-Range")); ok && cr.first < 0 &&
			cr.total == w.off && w.size == 0 {
			return answer{length: 0, total: w.off, validator: w.validator}, nil
		}
		return answer{}, final("%w: it ends before byte %d", transport.ErrUnusable, w.off)
	case c == nethttp.StatusRequestTimeout, c == nethttp.StatusTooEarly, c == nethttp.StatusTooManyRequests, c >= 500:
		t := passing("server answers %d", c)
		t.after = parseRetryAfter(r.Header, time.Now())
		return answer{}, t
	case c >= 400:
		return answer{}, final("%w: server answers %d", transport.ErrGone, c)
	default:
		return answer{}, passing("server answers %d, which is not an answer to a request for a payload", c)
	}
}

// judgeWhole checks a 200: the beginning was asked for, or the server does not grant the range.
func judgeWhole(r *nethttp.Response, w want) (answer, *trouble) {
	if t := encoded(r); t != nil {
		return answer{}, t
	}
	a := answer{length: r.ContentLength, total: r.ContentLength, validator: validatorOf(r.Header)}
	if w.off > 0 && w.validator != "" && a.validator != w.validator {
		return answer{}, final("%w: validator was %s, now it is %s",
			transport.ErrChanged, or(w.validator), or(a.validator))
	}
	switch {
	case w.size > 0 && a.length >= 0 && a.length != w.size:
		return answer{}, final("%w: it has %d bytes, expected were %d", transport.ErrUnusable, a.length, w.size)
	case a.length > w.max:
		return answer{}, final("%w: it has %d bytes, at most %d are allowed", transport.ErrUnusable, a.length, w.max)
	}
	if w.size > 0 {
		a.total, a.length = w.size, w.size
	}
	if w.off > 0 {
		a.skip = w.off
		if a.length >= 0 {
			if a.length -= w.off; a.length < 0 {
				return answer{}, final("%w: it ends before byte %d", transport.ErrUnusable, w.off)
			}
		}
	}
	return a, nil
}

// judgePart checks a 206.
func judgePart(r *nethttp.Response, w want) (answer, *trouble) {
	if w.off == 0 {
		return answer{}, passing("server answers with a part, the whole was asked for")
	}
	if t := encoded(r); t != nil {
		return answer{}, t
	}
	before := w.validator
	for field, v := range map[string]string{"ETag": r.Header.Get("ETag"),
		"Last-Modified": r.Header.Get("Last-Modified")} {
		// A part need not repeat the validator, since If-Range has held; a different one is a lie.
		if v != "" && before != "" && strings.HasPrefix(before, `"`) == (field == "ETag") && v != before {
			return answer{}, final("%w: validator was %s, now it is %s",
				transport.ErrChanged, or(w.validator), or(clip(v)))
		}
	}
	cr, ok := parseContentRange(r.Header.Get("Content-Range"))
	if !ok || cr.first < 0 {
		return answer{}, passing("server answers with a part and does not say which: Content-Range %q",
			clip(r.Header.Get("Content-Range")))
	}
	if cr.first != w.off {
		return answer{}, passing("server answers with bytes from %d, asked for were those from %d", cr.first, w.off)
	}
	switch {
	case cr.total < 0 && w.size == 0:
		return answer{}, passing("server does not say how long the payload is")
	case cr.total < 0:
		cr.total = w.size
	case w.size > 0 && cr.total != w.size:
		return answer{}, final("%w: it has %d bytes now, expected were %d", transport.ErrUnusable, cr.total, w.size)
	}
	if cr.last >= cr.total || cr.total > w.max {
		return answer{}, final("%w: bytes up to %d of %d, at most %d are allowed",
			transport.ErrUnusable, cr.last, cr.total, w.max)
	}
	// The server may grant less than was asked for; the rest is asked for again.
	a := answer{length: cr.last - cr.first + 1, total: cr.total, validator: cmp.Or(w.validator, validatorOf(r.Header))}
	if r.ContentLength >= 0 && r.ContentLength != a.length {
		return answer{}, passing("server announces %d bytes for a range of %d", r.ContentLength, a.length)
	}
	return a, nil
}

// encoded refuses a body that is not the payload itself: ranges of it would mean something else.
func encoded(r *nethttp.Response) *trouble {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return final("%w: server sends the payload encoded as %q although identity was asked for",
			transport.ErrUnusable, clip(e))
	}
	return nil
}

// validatorOf returns what proves in an If-Range that content is the same to the byte (RFC 9110,
// section 13.1.5): a strong entity tag, quotes included, or a Last-Modified that is a strong
// validator by section 8.8.2.2. Empty: there is none.
func validatorOf(h nethttp.Header) string {
	if tag := h.Get("ETag"); tag != "" {
		if len(tag) < 2 || len(tag) > 256 || tag[0] != '"' || tag[len(tag)-1] != '"' {
			return "" // weak, or malformed
		}
		for _, c := range []byte(tag[1 : len(tag)-1]) {
			if c < 0x21 || c == '"' || c > 0x7e {
				return ""
			}
		}
		return tag
	}
	modified, err := nethttp.ParseTime(h.Get("Last-Modified"))
	if err != nil {
		return ""
	}
	date, err := nethttp.ParseTime(h.Get("Date"))
	if err != nil || date.Sub(modified) < time.Second {
		return "" // it may have changed twice within that second
	}
	return h.Get("Last-Modified")
}

// contentRange is a Content-Range in bytes, inclusive; -1 where it says "*".
type contentRange struct{ first, last, total int64 }

// parseContentRange reads "bytes 0-9/10", "bytes 0-9/*" and "bytes */10" (RFC 9110, section 14.4).
func parseContentRange(s string) (contentRange, bool) {
	none := contentRange{-1, -1, -1}
	unit, rest, ok := strings.Cut(s, " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return none, false
	}
	span, length, ok := strings.Cut(textproto.TrimString(rest), "/")
	if !ok {
		return none, false
	}
	c := none
	if length != "*" {
		if c.total, ok = digits(length); !ok {
			return none, false
		}
	}
	if span == "*" {
		return c, c.total >= 0
	}
	first, last, _ := strings.Cut(span, "-")
	var ok1, ok2 bool
	c.first, ok1 = digits(first)
	c.last, ok2 = digits(last)
	if !ok1 || !ok2 || c.first > c.last || (c.total >= 0 && c.last >= c.total) {
		return none, false
	}
	return c, true
}

// digits reads 1 to 18 decimal digits, without a sign.
func digits(s string) (int64, bool) {
	if len(s) == 0 || len(s) > 18 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// parseRetryAfter reads Retry-After (RFC 9110, section 10.2.3) as a wait of at most maxRetryAfter;
// 0 when there is none. A date is taken relative to the server's own clock, not to ours.
func parseRetryAfter(h nethttp.Header, now time.Time) time.Duration {
	s := textproto.TrimString(h.Get("Retry-After"))
	if n, ok := digits(s); ok {
		if n > int64(maxRetryAfter/time.Second) {
			return maxRetryAfter
		}
		return time.Duration(n) * time.Second
	}
	at, err := nethttp.ParseTime(s)
	if err != nil {
		return 0
	}
	if date, err := nethttp.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// or shows a validator in an error.
func or(validator string) string {
	if validator == "" {
		return "none that proves anything"
	}
	return validator
}
