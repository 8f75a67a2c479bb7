package release

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// parseVersion reads "1.2.3" or "1.2-rc.3" (also beta, alpha) as SUIT writes versions.
func parseVersion(s string) ([]int64, error) {
	bad := fmt.Errorf("%q is not a version: want up to three numbers, as in 1.4.2, and perhaps "+
		"-rc.1, -beta.1 or -alpha.1", manifest.Printable(s))
	release, pre, marked := strings.Cut(s, "-")
	var v []int64
	for _, part := range strings.Split(release, ".") {
		n, err := number(part)
		if err != nil {
			return nil, bad
		}
		v = append(v, n)
	}
	if marked {
		word, tail, numbered := strings.Cut(pre, ".")
		mark, ok := map[string]int64{"rc": -1, "beta": -2, "alpha": -3}[word]
		if !ok {
			return nil, bad
		}
		v = append(v, mark)
		if numbered {
			n, err := number(tail)
			if err != nil {
				return nil, bad
			}
			v = append(v, n)
		}
	}
	if manifest.CheckVersion(v) != nil || manifest.FormatVersion(v) != s {
		return nil, bad
	}
	return v, nil
}

func number(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n > math.MaxInt64 {
		return 0, errors.New("not a number")
	}
	return int64(n), nil
}

// parseCondition reads ">= 1.2".
func parseCondition(s string) (manifest.VersionCondition, error) {
	op := strings.TrimRight(s, " 0123456789.-abcdefghijklmnopqrstuvwxyz")
	compare, ok := map[string]int{
		">": manifest.CompareGreater, ">=": manifest.CompareGreaterOrEqual, "=": manifest.CompareEqual,
		"<=": manifest.CompareLesserOrEqual, "<": manifest.CompareLesser,
	}[op]
	if !ok {
		return manifest.VersionCondition{},
			fmt.Errorf("%q: want a comparison such as \">= 1.2\", with >, >=, =, <= or <", manifest.Printable(s))
	}
	v, err := parseVersion(strings.TrimSpace(s[len(op):]))
	if err != nil {
		return manifest.VersionCondition{}, err
	}
	return manifest.VersionCondition{Compare: compare, Version: v}, nil
}
