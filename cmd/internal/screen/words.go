package screen

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Harmless tells whether a terminal shows the character and does nothing else.
func Harmless(r rune) bool {
	return r != utf8.RuneError && unicode.IsPrint(r) && !unicode.Is(unicode.Bidi_Control, r)
}

// Plain makes s fit for one line of a terminal.
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case !Harmless(r):
			return '?'
		}
		return r
	}, s)
}

// Wrap breaks text into lines of at most width characters; first begins the first line, rest the
// others. Words longer than a line stand on one of their own.
func Wrap(first, rest, text string, width int) string {
	var b strings.Builder
	b.WriteString(first)
	column, fresh := utf8.RuneCountInString(first), true
	for _, word := range strings.Fields(Plain(text)) {
		n := utf8.RuneCountInString(word)
		switch {
		case !fresh && column+1+n > width:
			b.WriteString("\n" + rest + word)
			column = utf8.RuneCountInString(rest) + n
			continue
		case !fresh:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
		fresh = false
	}
	return strings.TrimRight(b.String(), " ") + "\n"
}

// Size is a number of bytes in words.
func Size(n int64) string {
	const kib, mib, gib = 1 << 10, 1 << 20, 1 << 30
	switch {
	case n < 0:
		return "unknown size"
	case n < kib:
		return fmt.Sprintf("%d bytes", n)
	case n < mib:
		return fmt.Sprintf("%.1f KiB", float64(n)/kib)
	case n < gib:
		return fmt.Sprintf("%.1f MiB", float64(n)/mib)
	}
	return fmt.Sprintf("%.2f GiB", float64(n)/gib)
}

// Exact is a number of bytes that is compared with another.
func Exact(n int64) string {
	if n < 1<<10 {
		return Size(n)
	}
	return fmt.Sprintf("%d bytes (%s)", n, Size(n))
}

// Lasting is a duration in words: its two largest units.
func Lasting(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	units := []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	for i, u := range units {
		n := d / u.of
		if n == 0 {
			continue
		}
		text := fmt.Sprintf("%d %s", n, u.name)
		if i+1 < len(units) {
			if next := d % u.of / units[i+1].of; next > 0 {
				text += fmt.Sprintf(" %d %s", next, units[i+1].name)
			}
		}
		return text
	}
	return "0 s"
}

// Seconds is Lasting for a number of seconds.
func Seconds(n int64) string { return Lasting(time.Duration(n) * time.Second) }

// Moment is a time and how long ago that is by the device's clock, as far as the clock is worth it.
func Moment(t time.Time, quality string, now time.Time, nowQuality string) string {
	if t.IsZero() {
		return "at an unknown time"
	}
	if quality == "unknown" {
		return "when the clock was not set"
	}
	text := t.UTC().Format("2006-01-02 15:04 UTC")
	if ago := now.Sub(t); ago >= 0 && nowQuality != "unknown" && !now.IsZero() {
		return Lasting(ago) + " ago (" + text + ")"
	}
	return "on " + text
}

// ShortDigest is enough of a digest for a person to compare.
func ShortDigest(s string) string {
	s = Plain(s)
	if alg, sum, ok := strings.Cut(s, ":"); ok && len(sum) > 12 {
		return alg + ":" + sum[:12] + "..."
	}
	return s
}

// Join puts what is not empty together.
func Join(sep string, parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, sep)
}

// Upper makes the first letter of a sentence a capital.
func Upper(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	return string(unicode.ToUpper(r)) + s[n:]
}
