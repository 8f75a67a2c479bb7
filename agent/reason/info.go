package reason

import (
	"maps"
	"slices"
	"time"
)

// Info says what a Reason means to a person, and what it decides: the fate of an offer or an update.
// Nothing else decides a fate by a word; the zero value of each field is the harmless one.
//
// Two things depend on where a reason is met and not on its word, and so are not here: whether a
// refusal is recorded within the limit for unverified bodies, and whether a failed try counts toward
// the back-off.
type Info struct {
	// Final: the verdict is about the offer itself and sticks; the same envelope is not decided
	// again. A reason that is not final is about the device at this moment: the offer waits. An
	// update that ends for a final reason is over for good, but see ThisCopy.
	Final bool
	// Closes: an update that ends for this reason is over for good, although no decision about an
	// offer gives it: a person said no.
	Closes bool
	// ThisCopy: the verdict is about the signatures of this copy of the manifest. The copy is refused,
	// and an update in progress fails; the manifest is not closed, since under rotated keys it may
	// come again, signed anew.
	ThisCopy bool
	// Ends: a deferral for this reason ends an update that is written and waits to be armed: what was
	// meant for this device no longer is. It is not final; the offer may come again.
	Ends bool
	// Stops: what was taken while the update is carried out, before it waits to be armed, ends the action in the
	// middle: somebody who may say so is against it. What only time, a counter or a pulse that has not come has against
	// it is asked at the next stop point.
	Stops bool
	// StepsAside: an offer that waits for this reason lets older ones be decided before it: one of
	// them may be the step that it needs.
	StepsAside bool
	// Retry is how soon an offer that waits for this reason is decided again, where the reason fixes
	// that. 0: a rule says so in its finding, or nobody does.
	Retry time.Duration
	// Blame tells whether a trial that ended for this reason quarantines its image.
	Blame Blame
	// Costly: it has used up a download, a part of the flash's life, or a reboot. What fails for it is
	// tried again later than what does not.
	Costly bool
	// Quiet: a refusal for this reason is recorded as evidence and not shown to a person as the newest
	// offer that was refused: a broker hands in offers for others, and old ones, all the time.
	Quiet bool
	// Satisfied: the device has what was offered. No SUIT report of a failure is made, and a note of
	// an earlier refusal is cleared when the offer comes again.
	Satisfied bool
	// Reserved: the word has a meaning, and nothing in this version gives it. It stays in the table,
	// since a word is never removed and evidence of another version may have it.
	Reserved bool
	// Says is one plain sentence for a person.
	Says string
	// Advice is what to do about it, one or two plain sentences.
	Advice string
}

// Blame tells whether an image is to blame for the end of its trial. A fall-back after a single try
// may have been a power cut, so the second one counts.
type Blame int

const (
	// NotImage: the cause lies outside of the image, or is not known to lie in it.
	NotImage Blame = iota
	// Image: the image is to blame.
	Image
	// ImageIfAgain: the image is to blame when it happens to it for the second time.
	ImageIfAgain
	// ImageIfTriedOften: the image is to blame when more than one try was armed; of one try, as
	// ImageIfAgain.
	ImageIfTriedOften
)

// OnImage tells whether the image is to blame, for an update that was armed with so many tries; again:
// it has fallen back before, as often as is borne.
func (b Blame) OnImage(tries int, again bool) bool {
	switch b {
	case Image:
		return true
	case ImageIfAgain:
		return again
	case ImageIfTriedOften:
		return tries > 1 || again
	}
	return false
}

// FallsBack tells whether it counts as one time that an update has fallen back, see OnImage.
func (b Blame) FallsBack() bool { return b == ImageIfAgain || b == ImageIfTriedOften }

// Info returns what r means. A word that this version does not know (evidence of a newer agent)
// is explained as such, and decides nothing: it is neither final nor blamed on an image.
//
//go:noinline
func (r Reason) Info() Info {
	if i, ok := r.entry(); ok {
		return i
	}
	return Info{
		Says:   "This version does not know the reason \"" + string(r) + "\".",
		Advice: "Read it with the version of the program that wrote it.",
	}
}

// Known tells whether r is a word of this version.
func (r Reason) Known() bool {
	_, ok := r.entry()
	return ok
}

// Valid tells whether r has the form of a Reason: empty, or kebab-case of at most 48 letters,
// digits and single hyphens that starts with a letter. Words of newer versions are valid.
func (r Reason) Valid() bool {
	if len(r) > 48 {
		return false
	}
	for i := 0; i < len(r); i++ {
		switch c := r[i]; {
		case c >= 'a' && c <= 'z':
		case c >= '0' && c <= '9' && i > 0:
		case c == '-' && i > 0 && i < len(r)-1 && r[i-1] != '-':
		default:
			return false
		}
	}
	return true
}

// All lists every word of this version, sorted.
func All() []Reason {
	all := slices.Collect(maps.Keys(table))
	all = slices.AppendSeq(all, maps.Keys(causes))
	slices.Sort(all)
	return all
}

// entry is the word's place in the table, which stands in two files.
func (r Reason) entry() (Info, bool) {
	if i, ok := table[r]; ok {
		return i, true
	}
	i, ok := causes[r]
	return i, ok
}
