package disk_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
)

// TestRecordingEnds: what a device may end as after a cut, and after two with a loader that counts one try.
func TestRecordingEnds(t *testing.T) {
	healthy, sick := disk.Healthy(), disk.Sick()
	again := healthy.Recovery(disk.Cut{Point: 7, Variant: disk.Whole})
	good, given := "updated/1; slot B runs, confirmed, B is next",
		"reverted/1/trial-boots-exhausted; slot A runs, confirmed, A is next"
	for _, c := range []struct {
		rec   *disk.Recording
		tries int
		ended string
		want  bool
	}{
		{healthy, 1, good, true}, {again, 3, good, true},
		{healthy, 1, given, false}, {again, 3, given, false}, {again, 1, given, true},
		{again, 1, "reverted/1/fell-back; slot A runs, confirmed, A is next", true},
		{again, 1, "reverted/1/health-failed; slot A runs, confirmed, A is next", false},
		{again, 1, "reverted/1/fell-back; slot A runs, not confirmed, A is next", false},
		{sick.Recovery(disk.Cut{Point: 7, Variant: disk.Whole}), 1, given, false},
	} {
		if got := c.rec.Ends(c.ended, c.tries); got != c.want {
			t.Errorf("%s, %d tries, %q: %v", c.rec.Name, c.tries, c.ended, got)
		}
	}
}

// TestRecordings: the list of a run is read as it was saved, a recovery with its first cut.
func TestRecordings(t *testing.T) {
	dir := t.TempDir()
	if _, err := disk.LoadRecordings(dir); err == nil ||
		!strings.Contains(err.Error(), "there is no run to repeat in "+dir) {
		t.Errorf("%v", err)
	}
	healthy := disk.Healthy()
	all := []*disk.Recording{healthy, healthy.Recovery(disk.Cut{Point: 7, Variant: disk.Torn, Seed: 3})}
	if err := disk.SaveRecordings(dir, all); err != nil {
		t.Fatal(err)
	}
	if got, err := disk.LoadRecordings(dir); err != nil || !reflect.DeepEqual(got, all) {
		t.Errorf("%+v, %v", got, err)
	}
	if all[1].Name != "healthy-7-torn" || all[1].Update != "healthy" || healthy.First != nil {
		t.Errorf("%+v of %+v", all[1], healthy)
	}
}
