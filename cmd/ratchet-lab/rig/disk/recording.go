package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/reason"
)

// Recording is a part of a device's life of which every write of the disk was kept. Paths are relative to
// the directory of the target's run.
type Recording struct {
	Name    string // "healthy", "sick"; of a recovery also the cut that it recovers from
	Base    string // the disk when it began
	Log     string
	Entries int    // of the log that belong to it, 0: all
	From    string // slot that ran when it began, and is never written
	To      string // slot that the update goes into
	Image   string // that the update puts there
	Offer   string // the envelope that the broker keeps
	Good    bool   // the image is healthy: the device ends on it
	Result  string // how every device must end that lost its power in it: "updated/1"
	Rests   string // and what runs then: "; slot B runs, confirmed, B is next"
	Update  string // the recording of the update, for a recovery
	First   *Cut   // the cut that it recovers from, nil: none
}

// Healthy is the update from 1.0.0 to 2.0.0.
func Healthy() *Recording {
	return &Recording{Name: "healthy", Base: "factory.img", Log: "writes.log", From: "A", To: "B", Image: "v2.0.0.img",
		Offer: "release-2.0.0.suit", Good: true,
		Result: "updated/1", Rests: "; " + Runs("B", true, "B")}
}

// Sick is the update from 2.0.0 to 3.0.0, which fails its health check, and the way back.
func Sick() *Recording {
	return &Recording{Name: "sick", Base: "sick.img", Log: "sick.log", From: "B", To: "A", Image: "v3.0.0.img",
		Offer:  "release-3.0.0.suit",
		Result: "reverted/2", Rests: "; " + Runs("B", true, "B")}
}

// Recovery is what follows a cut of the recording, as a recording of its own.
func (rec Recording) Recovery(x Cut) *Recording {
	rec.Update = rec.Name
	rec.Name = fmt.Sprintf("%s-%d-%s", rec.Name, x.Point, x.Variant)
	rec.Base, rec.Log, rec.Entries = filepath.Join("again", rec.Name+".img"), filepath.Join("again", rec.Name+".log"), 0
	rec.First = &x
	return &rec
}

// Ends tells whether a device that lost its power in the recording may end as e, in the words of EndsAs; tries are the
// boots on trial that its loader counts. With a loader that counts one try, a cut in both of the trial boots looks like
// an image that dies in them: it is given up.
func (rec Recording) Ends(e string, tries int) bool {
	if strings.HasPrefix(e, rec.Result) && strings.HasSuffix(e, rec.Rests) {
		return true
	}
	if !rec.Good || rec.First == nil || tries != 1 {
		return false
	}
	_, sequence, _ := strings.Cut(rec.Result, "/")
	return slices.ContainsFunc([]reason.Reason{reason.TrialBootsExhausted, reason.FellBack},
		func(why reason.Reason) bool {
			return e == EndsAs("reverted/"+sequence+"/"+string(why), rec.From, true, rec.From)
		})
}

// Runs says what runs: "slot B runs, confirmed, B is next".
func Runs(slot string, confirmed bool, next string) string {
	word := "confirmed"
	if !confirmed {
		word = "not confirmed"
	}
	return fmt.Sprintf("slot %s runs, %s, %s is next", slot, word, next)
}

// EndsAs says how an update ended and what runs: "updated/1; slot B runs, confirmed, B is next".
func EndsAs(last, slot string, confirmed bool, next string) string {
	return last + "; " + Runs(slot, confirmed, next)
}

const recordingsFile = "recordings.json"

// SaveRecordings keeps the list in dir, the directory of a run, for a replay.
func SaveRecordings(dir string, all []*Recording) error {
	b, err := json.MarshalIndent(all, "", " ")
	return errors.Join(err, os.WriteFile(filepath.Join(dir, recordingsFile), b, 0o644))
}

// LoadRecordings reads the list of the run in dir.
func LoadRecordings(dir string) (all []*Recording, err error) {
	b, err := os.ReadFile(filepath.Join(dir, recordingsFile))
	if err != nil {
		return nil, fmt.Errorf("%w; there is no run to repeat in %s", err, dir)
	}
	return all, json.Unmarshal(b, &all)
}
