package manifest

import (
	"fmt"
	"strconv"
	"strings"
)

// Comparison types of the version condition (draft-ietf-suit-update-management section 4.4).
const (
	CompareGreater        = 1
	CompareGreaterOrEqual = 2
	CompareEqual          = 3
	CompareLesserOrEqual  = 4
	CompareLesser         = 5
)

// VersionCondition demands that the running version compares so with Version.
type VersionCondition struct {
	Compare int     // CompareGreater ...
	Version []int64 // see CheckVersion
}

// versionMatch is parameter 28: the running version compared with version.
type versionMatch struct {
	compare int
	version []int64
}

func (v versionMatch) String() string {
	return [...]string{"?", ">", ">=", "=", "<=", "<"}[v.compare] + " " + FormatVersion(v.version)
}

// holds compares running with the match element by element, until the match's version is consumed or
// elements differ, so that "= 1" holds for every 1.x. A running version that is shorter counts as
// filled with zeros.
func (v versionMatch) holds(running []int64) bool {
	sign := 0
	for i, want := range v.version {
		var have int64
		if i < len(running) {
			have = running[i]
		}
		if have != want {
			sign = 1
			if have < want {
				sign = -1
			}
			break
		}
	}
	switch v.compare {
	case CompareGreater:
		return sign > 0
	case CompareGreaterOrEqual:
		return sign >= 0
	case CompareEqual:
		return sign == 0
	case CompareLesserOrEqual:
		return sign <= 0
	}
	return sign < 0
}

func readVersionMatch(r *reader) (any, error) {
	b, err := r.bytes(MaxSmall)
	if err != nil {
		return nil, err
	}
	var m versionMatch
	err = wrapped(b, func(r *reader) error {
		if _, err := r.array(2, 2); err != nil {
			return err
		}
		c, err := r.uint()
		if err != nil {
			return err
		}
		if c < CompareGreater || c > CompareLesser {
			return &Error{Code: CodeParameter, Offset: -1, What: fmt.Sprintf("version comparison %d is unknown", c)}
		}
		m.compare = int(c)
		m.version, err = r.version()
		return err
	})
	return m, err
}

// version reads a version array (draft-ietf-suit-update-management): one to three release numbers,
// then perhaps -1 (rc), -2 (beta) or -3 (alpha) and its numbers.
func (r *reader) version() ([]int64, error) {
	n, err := r.array(1, MaxVersion)
	if err != nil {
		return nil, err
	}
	v := make([]int64, n)
	for i := range v {
		if v[i], err = r.int(); err != nil {
			return nil, err
		}
	}
	if err := CheckVersion(v); err != nil {
		return nil, r.errorf("%v", err)
	}
	return v, nil
}

// CheckVersion says whether v is a version that SUIT knows: 1.2.3 is [1,2,3], 1.2-rc.3 is
// [1,2,-1,3], beta is -2 and alpha -3.
func CheckVersion(v []int64) error {
	if len(v) == 0 || len(v) > MaxVersion {
		return fmt.Errorf("version has %d elements, want 1 to %d", len(v), MaxVersion)
	}
	release, pre := 0, false
	for i, n := range v {
		switch {
		case n >= 0 && !pre:
			release++
		case n >= -3 && !pre && i > 0:
			pre = true
		case n < 0:
			return fmt.Errorf("version element %d is %d, want a number, or once -1 (rc), -2 (beta) or "+
				"-3 (alpha) after the first", i+1, n)
		}
		if release > 3 {
			return fmt.Errorf("version has more than three release numbers")
		}
	}
	return nil
}

// FormatVersion writes [1,2,-1,3] as "1.2-rc.3"; no version is "unknown".
func FormatVersion(v []int64) string {
	if len(v) == 0 {
		return "unknown"
	}
	s := ""
	for i, n := range v {
		switch {
		case n == -1:
			s += "-rc"
		case n == -2:
			s += "-beta"
		case n == -3:
			s += "-alpha"
		case i > 0:
			s += "." + itoa(n)
		default:
			s += itoa(n)
		}
	}
	return s
}

// ParseVersion reads "1.2.3" or "1.2-rc.3" (also beta, alpha), exactly as FormatVersion writes it.
func ParseVersion(s string) ([]int64, error) {
	bad := fmt.Errorf("%q is not a version: want up to three numbers, as in 1.4.2, and perhaps "+
		"-rc.1, -beta.1 or -alpha.1", Printable(s))
	release, pre, marked := strings.Cut(s, "-")
	parts := strings.Split(release, ".")
	if marked {
		word, tail, numbered := strings.Cut(pre, ".")
		parts = append(parts, map[string]string{"rc": "-1", "beta": "-2", "alpha": "-3"}[word])
		if numbered {
			parts = append(parts, tail)
		}
	}
	var v []int64
	for _, p := range parts {
		n, _ := strconv.ParseInt(p, 10, 64) // what is no number is not written so
		v = append(v, n)
	}
	if CheckVersion(v) != nil || FormatVersion(v) != s {
		return nil, bad
	}
	return v, nil
}
