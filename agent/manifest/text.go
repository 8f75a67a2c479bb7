package manifest

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"
)

// texts are what people read, of one language.
type texts map[int64]string

// Description returns what the manifest says about itself to people, in the language that fits lang
// best ("de-CH", then "de", then "en", then the first there is): the description of the update or,
// where there is none, of the manifest. It is safe to show on a terminal: one line, without control
// or direction characters, at most MaxShown characters. It means nothing to a machine.
func (m Manifest) Description(lang string) string {
	t := m.text[m.language(lang)]
	s := t[suit.TextUpdate]
	if s == "" {
		s = t[suit.TextDescription]
	}
	return Printable(s)
}

// language picks the language tag of the text that fits best, "" when there is no text.
func (m Manifest) language(want string) string {
	var tags []string
	for tag := range m.text {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	primary := func(tag string) string {
		p, _, _ := strings.Cut(strings.ToLower(tag), "-")
		return p
	}
	best, rank := "", 0
	for _, tag := range tags {
		r := 1
		switch {
		case strings.EqualFold(tag, want):
			r = 5
		case strings.EqualFold(tag, primary(want)):
			r = 4
		case primary(tag) == primary(want):
			r = 3
		case primary(tag) == "en":
			r = 2
		}
		if r > rank {
			best, rank = tag, r
		}
	}
	return best
}

// Printable makes text of unknown origin safe to show: white space becomes single spaces; control
// characters, and those that change direction or join invisibly (Unicode Cc, Cf, Zl, Zp, Co, Cs),
// become U+FFFD; what is longer than MaxShown characters is cut.
func Printable(s string) string {
	var out strings.Builder
	n := 0
	space := false
	for _, c := range s {
		switch {
		case c == '\n' || c == '\t' || c == '\r' || c == ' ':
			space = true
			continue
		case !unicode.IsPrint(c) && !unicode.IsSpace(c), unicode.Is(unicode.Zl, c),
			unicode.Is(unicode.Zp, c), c == 0x85:
			c = unicode.ReplacementChar
		case unicode.IsSpace(c):
			c = ' '
		}
		if n >= MaxShown {
			out.WriteString("…")
			break
		}
		if space && n > 0 {
			out.WriteByte(' ')
		}
		space = false
		out.WriteRune(c)
		n++
	}
	return out.String()
}

// readText reads the text element, if the envelope carries it.
func (m *Manifest) readText(r *reader) error {
	content, severed, err := m.severable(r, suit.KeyText)
	if err != nil || severed {
		return err
	}
	if len(content) > MaxText {
		return fmt.Errorf("text of %d bytes, at most %d", len(content), MaxText)
	}
	m.text = map[string]texts{}
	return wrapped(content, func(r *reader) error {
		return r.pairs(1, MaxLanguages, func(key []byte) error {
			tag, _ := textKey(key)
			if !languageTag(tag) {
				return fmt.Errorf("%.40q is not a language tag", tag)
			}
			t, err := m.texts(r, 4, true)
			m.text[tag] = t
			return err
		})
	})
}

// texts reads a map of texts with keys 1 to known; private ones below -256 are passed over. At the
// top, maps of texts by component are checked and passed over too; the component must be one of the
// manifest's (draft-ietf-suit-manifest section 8.4.4).
func (m *Manifest) texts(r *reader, known int64, top bool) (texts, error) {
	t := texts{}
	err := r.pairs(1, 64, func(key []byte) error {
		if top && key[0]>>5 == suit.MajorArray {
			id, err := (&reader{b: key}).component()
			if !slices.ContainsFunc(m.components, id.equal) {
				err = fmt.Errorf("text is about component %s, which the manifest does not have", id)
			}
			if err == nil {
				_, err = m.texts(r, 8, false)
			}
			return err
		}
		k, _ := intKey(key)
		if k > known || k < 1 && k > -257 {
			return r.errorf("text key is unknown")
		}
		s, err := r.text(MaxText)
		t[k] = s
		return err
	})
	return t, err
}

// languageTag reports whether s is 1*8ALPHA *("-" 1*8alphanum) (RFC 5646 as SUIT narrows it).
func languageTag(s string) bool {
	for i, part := range strings.Split(s, "-") {
		if len(part) < 1 || len(part) > 8 {
			return false
		}
		for _, c := range []byte(part) {
			letter := c|0x20 >= 'a' && c|0x20 <= 'z'
			if !letter && (i == 0 || c < '0' || c > '9') {
				return false
			}
		}
	}
	return true
}
