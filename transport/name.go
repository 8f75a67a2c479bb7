package transport

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
	"unicode"
)

// LocalName returns the file name under which the payload at uri lies beside an envelope: the last
// element of its path, decoded. Names that are hidden, special or not printable are refused. It is
// the one rule for the file that a technician copies and the name that the agent asks for.
func LocalName(uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil || len(uri) > 4096 {
		return "", errors.New("not a URI")
	}
	whole := cmp.Or(u.Path, u.Opaque) // opaque: file:payload.img
	if whole == "" || strings.HasSuffix(whole, "/") {
		return "", fmt.Errorf("address %q has no file name", uri)
	}
	name := path.Base(whole)
	if name == "/" || strings.HasPrefix(name, ".") || len(name) > 255 || strings.ContainsFunc(name, unprintable) ||
		strings.ContainsAny(name, `\:`) {
		return "", fmt.Errorf("%q is not a plain file name", name)
	}
	return name, nil
}

func unprintable(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }
