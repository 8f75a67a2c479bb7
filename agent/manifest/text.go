package manifest

import (
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
	t := m.says().text[m.language(lang)]
	s := t[suit.TextUpdate]
	if s == "" {
		s = t[suit.TextDescription]
	}
	return Printable(s)
}

// language picks the language tag of the text that fits best, "" when there is no text.
func (m Manifest) language(want string) string {
	var tags []string
	for tag := range m.says().text {
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

// readText reads the text element, if the envelope carries it. Text is for people, and odd text is no reason to refuse
// an update: what is not as draft-ietf-suit-manifest section 8.4.4 says is left out, alone or with what follows it. One
// whose bytes are not those that the manifest names was changed on its way, and is refused.
func (m *contents) readText(r *reader) error {
	content, severed, err := m.severable(r, suit.KeyText)
	if err != nil || severed || len(content) > MaxText {
		return err
	}
	m.text = map[string]texts{}
	_ = wrapped(content, func(r *reader) error {
		r.unordered = true
		return r.pairs(0, MaxLanguages, func(key []byte) error {
			value, err := r.item()
			if tag, _ := textKey(key); err == nil && LanguageTag(tag) {
				m.text[tag] = readTexts(value)
			}
			return err
		})
	})
	return nil
}

// knownTexts is the highest key of a text that is about the whole manifest.
const knownTexts = 4

// readTexts reads a map of texts, and passes over what is none of those about the whole manifest: texts of components,
// private ones, and whatever else there is.
func readTexts(item []byte) texts {
	t := texts{}
	r := &reader{b: item, unordered: true}
	_ = r.pairs(0, 64, func(key []byte) error {
		value, err := r.item()
		if k, ok := intKey(key); err == nil && ok && k >= 1 && k <= knownTexts {
			if s, terr := (&reader{b: value}).text(MaxText); terr == nil {
				t[k] = s
			}
		}
		return err
	})
	return t
}

// LanguageTag reports whether s is 1*8ALPHA *("-" 1*8alphanum) (RFC 5646 as SUIT narrows it).
func LanguageTag(s string) bool {
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
