package evidence

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// clean makes a text valid UTF-8 that can be shown on a terminal, of at most limit bytes. What was
// cut off is marked with an ellipsis. It is idempotent.
func clean(s string, limit int) string {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] >= ' ' && s[i] < 0x7f
	}
	if !plain {
		s = strings.Map(func(r rune) rune {
			switch {
			case unicode.IsControl(r):
				return ' '
			case !unicode.IsGraphic(r): // private use, bidirectional overrides, the invalid
				return utf8.RuneError
			}
			return r
		}, s)
	}
	if len(s) <= limit {
		return s
	}
	const mark = "…"
	cut := limit - len(mark)
	for !utf8.RuneStart(s[cut]) { // s is valid: at most three bytes back
		cut--
	}
	return s[:cut] + mark
}

// cleanDetail bounds the details; what there is no room for is counted.
func cleanDetail(d map[string]string, limit int) map[string]string {
	if len(d) == 0 {
		return nil
	}
	out := map[string]string{}
	dropped := 0
	for _, k := range slices.Sorted(maps.Keys(d)) {
		name := clean(k, MaxName)
		if _, taken := out[name]; taken || len(out) == MaxDetails-1 && len(d) > MaxDetails {
			dropped++
			continue
		}
		out[name] = clean(d[k], limit)
	}
	if dropped > 0 { // there is room: at most MaxDetails-1 are kept
		out["dropped"] = strconv.Itoa(dropped)
	}
	return out
}

// validDevice tells whether an id is one that topics and file names can carry.
func validDevice(id string) bool {
	ok := len(id) > 0 && len(id) <= MaxName
	for i := 0; ok && i < len(id); i++ {
		c := id[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
	}
	return ok
}

func validKind(k Kind) bool {
	ok := len(k) > 0 && len(k) <= MaxName
	for i := 0; ok && i < len(k); i++ {
		ok = k[i] >= 'a' && k[i] <= 'z' || k[i] >= '0' && k[i] <= '9' || k[i] == '-'
	}
	return ok
}

// A time is stored in milliseconds since 1970, 0 = not known. The end is that of the year 9999.
const endOfTime = 253402300800000

func toMillis(t time.Time) uint64 {
	if t.UnixMilli() < 0 || t.UnixMilli() >= endOfTime {
		return 0
	}
	return uint64(t.UnixMilli())
}

func fromMillis(ms uint64) time.Time {
	if ms == 0 || ms >= endOfTime {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms)).UTC()
}

func toUptime(d time.Duration) uint64 { return uint64(max(0, d.Milliseconds())) }

func fromUptime(ms uint64) time.Duration {
	return time.Duration(min(ms, 1<<42)) * time.Millisecond
}
