package release

import (
	"bufio"
	"errors"
	"unicode/utf8"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/dump"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
)

// MaxInspect is the largest file that inspect looks at, in bytes: more than any envelope, so that an
// oversized one can be looked at too.
const MaxInspect = 4 * manifest.MaxEnvelope

// Inspect writes an annotated dump of the file path, "-" for standard input.
func Inspect(c cli.Console, path string) error {
	b, err := files.ReadInput(c.In, path, MaxInspect, "envelope")
	if err != nil {
		return err
	}
	w := &visible{w: bufio.NewWriter(c.Out)}
	err = dump.Write(w, b)
	return errors.Join(err, w.w.Flush())
}

// visible passes text on and replaces what could control a terminal. The dump is made of bytes from
// outside; this is the last gate, whatever happens before it.
type visible struct {
	w    *bufio.Writer
	part []byte // the beginning of a character
}

// Write implements io.Writer.
func (v *visible) Write(p []byte) (int, error) {
	b := append(v.part, p...)
	v.part = nil
	for len(b) > 0 {
		if !utf8.FullRune(b) {
			v.part = append([]byte(nil), b...)
			break
		}
		r, n := utf8.DecodeRune(b)
		b = b[n:]
		if !harmless(r) {
			r = utf8.RuneError
		}
		if _, err := v.w.WriteRune(r); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// harmless reports whether a character may reach the terminal.
func harmless(r rune) bool {
	return r == '\n' || r == '\t' || r == ' ' || r == utf8.RuneError || manifest.Printable(string(r)) == string(r)
}
