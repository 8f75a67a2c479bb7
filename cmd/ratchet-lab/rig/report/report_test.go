package report_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/cuts"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/look"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/report"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/stage"
)

// uboot is the board that most boots are on.
func ubootBoard(t *testing.T) board.Kind {
	t.Helper()
	x, ok := board.Find("arm64-uboot")
	if !ok {
		t.Fatal("there is no arm64-uboot")
	}
	return x
}

// TestReportPage: what the console said is text in the page, failures are named and lead to their story,
// and the page needs no other file.
func TestReportPage(t *testing.T) {
	l := &disk.Log{Writes: []disk.Write{{At: board.StateAt, N: 2}, {Flags: disk.FlagFlush},
		{At: board.SlotBytes("A") / image.Sector, N: 1}}}
	r := report.Run{Board: ubootBoard(t), Rows: []stage.Row{{What: "a scene", Expected: "<b>this</b>",
		Observed: "that & more"}}, Times: []report.Span{{What: "cuts looked at", Took: time.Second}},
		Again: func(rec *disk.Recording, x disk.Cut) string {
			return fmt.Sprintf("play --update %s --point %d --variant %s", rec.Name, x.Point, x.Variant)
		}}
	v := &cuts.Coverage{Rec: disk.Healthy(), Log: l}
	for _, x := range cuts.Every(l, 1) {
		v.Cuts = append(v.Cuts, cuts.NewResult(r.Board, l, x, look.Finding{Sum: fmt.Sprint(x), Phase: "writing"}))
	}
	v.Cuts[1].Story = []string{"rig: <script>alert(1)</script>"}
	v.Cuts[2].Booted, v.Cuts[2].Loads, v.Cuts[2].Loaded = true, "A", []string{"B"}
	v.Cuts[2].Bad = "the bootloader started slot B, its model A"
	r.Covered = append(r.Covered, v)
	dir := t.TempDir()
	var out bytes.Buffer
	if err := (report.Report{Runs: []report.Run{r}, Seed: 1, Took: time.Minute, When: time.Unix(0, 0)}).Write(dir,
		&out); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for _, s := range []string{"<script", "<b>this", "http://", "https://", " src=", "@import", "url("} {
		if strings.Contains(page, s) {
			t.Errorf("%q is in the page", s)
		}
	}
	for _, s := range []string{"&lt;script&gt;alert(1)", "that &amp; more", "0 of 1", `id="arm64-uboot-healthy-1-lost"`,
		`href="#arm64-uboot-healthy-1-lost"`,
		"started slot B, its model A", "--update healthy --point 1 --variant lost", "something differs"} {
		if !strings.Contains(page, s) {
			t.Errorf("%q is not in the page", s)
		}
	}
	if n := strings.Count(page, `class="story"`); n != len(v.Cuts) {
		t.Errorf("%d stories of %d cuts", n, len(v.Cuts))
	}
	text, err := os.ReadFile(filepath.Join(dir, "report.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"arm64-uboot  a scene   DIFFERS  that & more", "arm64-uboot  cuts looked at    1.0 s",
		"arm64-uboot, healthy, cut 1 lost:  the bootloader started slot B, its model A",
		"again: play --update healthy --point 1 --variant lost", "seed 1, 60 s in all"} {
		if !strings.Contains(string(text), s) {
			t.Errorf("%q is not in the table", s)
		}
	}
	if !strings.Contains(out.String(), string(text)) ||
		!strings.Contains(out.String(), "The report is in "+filepath.Join(dir, "report.html")) {
		t.Errorf("%s", out.String())
	}
	if t.Failed() {
		t.Logf("%s", text)
	}
}
