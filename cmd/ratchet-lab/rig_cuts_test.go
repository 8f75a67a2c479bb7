package main

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/cuts"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/look"
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
	l := &disk.Log{Writes: []disk.Write{{At: board.StateAt, N: 2}, {Flags: disk.FlagFlush}, {At: board.SlotBytes("A") / image.Sector, N: 1}}}
	r := &rig{Stage: &stage.Stage{Dir: "run"}, target: ubootBoard(t), o: &rigFlags{dir: "run", seed: 1}}
	r.Expect("a scene", "<b>this</b>", "that & more")
	v := &cuts.Coverage{Rec: disk.Healthy(), Log: l}
	for _, x := range cuts.Every(l, 1) {
		v.Cuts = append(v.Cuts, cuts.NewResult(r.target, l, x, look.Finding{Sum: fmt.Sprint(x), Phase: "writing"}))
	}
	v.Cuts[1].Story = []string{"rig: <script>alert(1)</script>"}
	v.Cuts[2].Booted, v.Cuts[2].Loads, v.Cuts[2].Loaded = true, "A", []string{"B"}
	v.Cuts[2].Bad = "the bootloader started slot B, its model A"
	r.covered = append(r.covered, v)
	b, err := reportPage(r.o, []*rig{r}, time.Minute, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for _, s := range []string{"<script", "<b>this", "http://", "https://", " src=", "@import", "url("} {
		if strings.Contains(page, s) {
			t.Errorf("%q is in the page", s)
		}
	}
	for _, s := range []string{"&lt;script&gt;alert(1)", "that &amp; more", "0 of 1", `id="arm64-uboot-healthy-1-lost"`, `href="#arm64-uboot-healthy-1-lost"`,
		"started slot B, its model A", "--update healthy --point 1 --variant lost", "something differs"} {
		if !strings.Contains(page, s) {
			t.Errorf("%q is not in the page", s)
		}
	}
	if n := strings.Count(page, `class="story"`); n != len(v.Cuts) {
		t.Errorf("%d stories of %d cuts", n, len(v.Cuts))
	}
}

// TestPrefixed: lines of several writers are whole, each under its name.
func TestPrefixed(t *testing.T) {
	var out bytes.Buffer
	w := &prefixed{to: &out, mu: new(sync.Mutex), prefix: "a "}
	for _, s := range []string{"one", " line\ntwo\nthr", "ee\n"} {
		if _, err := w.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	if got := out.String(); got != "a one line\na two\na three\n" {
		t.Errorf("%q", got)
	}
}
