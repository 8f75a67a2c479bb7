package report

import (
	"bytes"
	_ "embed" // the page
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/cuts"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
)

// reportTemplate is the page: no script, no file besides it. A cell is a link to itself, and its story is
// shown when it is the page's target.
//
//go:embed report.html
var reportTemplate string

const (
	bandPoints = 190 // points in one line of a strip
	tickEvery  = 10
	wideEnough = 9 // points that the name of a phase needs
)

// page is what the report shows. Everything in it is text; html/template escapes it.
type page struct {
	Good     bool
	When     string
	Took     time.Duration
	Seed     int64
	Sum      pageTally
	Second   int
	Failed   int
	Failures []pageFailure
	Targets  []pageTarget
}

type pageFailure struct{ ID, Target, Title, Says string }

type pageTarget struct {
	Name, What string
	Good       bool
	Tallies    []pageTally
	Scenes     []pageScene
	Times      []pageTime
	Strips     []pageStrip
}

type pageTally struct {
	What           string
	Writes, Failed int
	cuts.Tally
}

type pageScene struct {
	What, Expected, Observed string
	Good                     bool
}

type pageTime struct {
	What    string
	Seconds float64
	Percent int
}

// pageStrip is all cuts of one recording, in lines of bandPoints.
type pageStrip struct {
	Title, Says string
	Failed      int
	Bands       []pageBand
}

type pageBand struct {
	Columns int
	Ticks   []pageTick
	Writes  []pageWrite
	Phases  []pagePhase
	Rows    []pageRow
}

type pageTick struct{ Column, N int }

type pageWrite struct {
	Column       int
	Class, Title string
}

type pagePhase struct {
	Column, Span, Shade int
	Name                string
	Wide                bool
}

type pageRow struct {
	Name  disk.Variant
	Cells []pageCell
}

// pageCell is one cut. Column 1 of a row is its name.
type pageCell struct {
	Column        int
	ID, Class     string
	Title         string
	Bad           bool
	Before, After string // ids
	Facts         []pageFact
	Again         string
	Console       string
}

type pageFact struct {
	Name  string
	Lines []string
	Bad   bool
}

// page is the report as a page.
func (rep Report) page() ([]byte, error) {
	p := page{Good: true, When: rep.When.UTC().Format(time.RFC1123), Took: rep.Took.Round(time.Second), Seed: rep.Seed}
	for _, r := range rep.Runs {
		t := pageTarget{Name: r.Board.Name, What: r.Board.What, Good: r.Good}
		p.Good = p.Good && t.Good
		for _, s := range cuts.Tallies(r.Covered) {
			t.Tallies = append(t.Tallies, pageTally{What: s.What, Writes: s.Entries - s.Flushes, Failed: s.Failed,
				Tally: *s})
			p.Failed += s.Failed
			p.Sum.Looked += s.Looked
			p.Sum.Different += s.Different
			p.Sum.Booted += s.Booted
			p.Sum.Finished += s.Finished
			p.Sum.Agreed += s.Agreed
			p.Sum.Known += s.Known
			if s.Recovered > 0 {
				p.Second += s.Looked
			}
		}
		for _, row := range r.Rows {
			t.Scenes = append(t.Scenes, pageScene{row.What, row.Expected, row.Observed, row.Expected == row.Observed})
		}
		longest := time.Nanosecond
		for _, s := range r.Times {
			longest = max(longest, s.Took)
		}
		for _, s := range r.Times {
			t.Times = append(t.Times, pageTime{s.What, s.Took.Seconds(), int(100 * s.Took / longest)})
		}
		for _, v := range r.Covered {
			s := r.strip(v)
			t.Strips = append(t.Strips, s)
			for _, b := range s.Bands {
				for _, row := range b.Rows {
					for _, c := range row.Cells {
						if c.Bad {
							p.Failures = append(p.Failures,
								pageFailure{c.ID, t.Name, c.Title, strings.Join(c.Facts[0].Lines, " ")})
						}
					}
				}
			}
		}
		p.Targets = append(p.Targets, t)
	}
	page, err := template.New("report").Parse(reportTemplate)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = page.Execute(&b, p)
	return b.Bytes(), err
}

// strip lays out a recording's cuts.
func (r Run) strip(v *cuts.Coverage) pageStrip {
	s := pageStrip{Title: strings.ToUpper(v.Rec.Name[:1]) + v.Rec.Name[1:] + " update",
		Says: fmt.Sprintf("%d writes and %d flushes, from the device's start with slot %s to its rest.",
			len(v.Log.Writes)-v.Log.Flushes(), v.Log.Flushes(), v.Rec.From)}
	if first := v.Rec.First; first != nil {
		s.Title = fmt.Sprintf("Cut again: the recovery from cut %d, %s, of the %s update", first.Point, first.Variant,
			v.Rec.Update)
		s.Says = fmt.Sprintf("%d writes and %d flushes of that recovery.", len(v.Log.Writes)-v.Log.Flushes(),
			v.Log.Flushes())
	}
	again := map[disk.Cut]bool{}
	for _, rec := range r.Recordings {
		if rec.First != nil && rec.Update == v.Rec.Name {
			again[*rec.First] = true
		}
	}
	cells := map[disk.Variant]map[int]pageCell{disk.Whole: {}, disk.Lost: {}, disk.Torn: {}}
	phases := map[int]string{}
	for i, c := range v.Cuts {
		cell := r.cell(v, c, again[c.Cut])
		if i > 0 {
			cell.Before = r.cellID(v, v.Cuts[i-1].Cut)
		}
		if i+1 < len(v.Cuts) {
			cell.After = r.cellID(v, v.Cuts[i+1].Cut)
		}
		if c.Failed() {
			s.Failed++
		}
		if cells[c.Variant] != nil {
			cells[c.Variant][c.Point] = cell
		}
		if _, ok := phases[c.Point]; !ok || c.Variant == disk.Whole {
			phases[c.Point] = c.Phase
		}
	}
	for from := 0; from <= len(v.Log.Writes); from += bandPoints {
		s.Bands = append(s.Bands, r.band(v.Log, cells, phases, from))
	}
	return s
}

// band is one line of a strip: the cuts from the point from on, with the writes before them and the durable phases.
func (r Run) band(l *disk.Log, cells map[disk.Variant]map[int]pageCell, phases map[int]string, from int) pageBand {
	n := min(bandPoints, len(l.Writes)+1-from)
	band := pageBand{Columns: bandPoints, Phases: bandPhases(phases, from, n)}
	for k := range n {
		point, column := from+k, k+2
		if point%tickEvery == 0 {
			band.Ticks = append(band.Ticks, pageTick{column, point})
		}
		if point > 0 {
			w := l.Writes[point-1]
			where := r.Board.Where(w)
			band.Writes = append(band.Writes,
				pageWrite{column, writeClass(where), fmt.Sprintf("%d: %s, %d sectors", point, where, w.N)})
		}
	}
	for _, name := range []disk.Variant{disk.Whole, disk.Lost, disk.Torn} {
		row := pageRow{Name: name}
		for k := range n {
			if c, ok := cells[name][from+k]; ok {
				c.Column = k + 2
				row.Cells = append(row.Cells, c)
			}
		}
		band.Rows = append(band.Rows, row)
	}
	return band
}

// writeClass is the style of a write to a partition.
func writeClass(where string) string {
	switch {
	case where == "flush" || where == "state":
		return where
	case strings.HasPrefix(where, "slot-"):
		return "slot"
	}
	return "meta"
}

// bandPhases joins neighbours with the same durable phase; between two that are known, what is not known
// counts as the same where both agree.
func bandPhases(phases map[int]string, from, n int) (out []pagePhase) {
	for k := range n {
		name, ok := phases[from+k]
		if !ok {
			continue
		}
		if name == "" {
			name = "no journal"
		}
		if m := len(out) - 1; m >= 0 && out[m].Name == name {
			out[m].Span = k + 2 - out[m].Column + 1
		} else {
			out = append(out, pagePhase{Column: k + 2, Span: 1, Name: name, Shade: shade(name)})
		}
	}
	for i := range out {
		out[i].Wide = out[i].Span >= wideEnough
	}
	return out
}

// shade is the number of a phase in the order of a good update.
func shade(name string) int {
	return max(0, slices.Index(life.Phases(), life.Phase(name)))
}

func (r Run) cellID(v *cuts.Coverage, x disk.Cut) string {
	return fmt.Sprintf("%s-%s-%d-%s", r.Board.Name, v.Rec.Name, x.Point, x.Variant)
}

func (r Run) cell(v *cuts.Coverage, c cuts.Result, again bool) pageCell {
	p := pageCell{ID: r.cellID(v, c.Cut), Class: "looked", Bad: c.Failed(), Again: r.Again(v.Rec, c.Cut),
		Console: strings.Join(c.Story, "\n"),
		Title: fmt.Sprintf("%s, cut after %d of %d (%s), unflushed writes %s", v.Rec.Name, c.Point, len(v.Log.Writes),
			c.Where, c.Variant)}
	switch {
	case c.Failed():
		p.Class = "bad"
	case c.Ended != "":
		p.Class = "ended"
	case c.Booted:
		p.Class = "booted"
	case c.Equal:
		p.Class = "equal"
	}
	if again {
		p.Class += " again"
	}
	p.Facts = facts(c)
	return p
}

// facts are the story of a cut; the first is the worst.
func facts(c cuts.Result) (out []pageFact) {
	add := func(name string, lines ...string) { out = append(out, pageFact{Name: name, Lines: lines}) }
	if c.Failed() {
		out = append(out, pageFact{Name: "wrong", Lines: strings.Split(strings.TrimSpace(c.Wrong+"\n"+c.Bad), "\n"),
			Bad: true})
	} else {
		add("disk", "boot metadata valid, file system and journal whole, evidence a whole chain")
	}
	if len(c.Tail) > 0 {
		lines := c.Tail
		if len(lines) > 12 {
			lines = append(slices.Clone(lines[:12]), fmt.Sprintf("and %d more", len(c.Tail)-12))
		}
		add("not covered by a flush", lines...)
	}
	switch {
	case c.Phase != "":
		add("durable", fmt.Sprintf("phase %s, %d records of evidence", c.Phase, c.Records))
	case c.Wrong == "":
		add("durable", "no journal yet")
	}
	what := []string{"bench, offline", "bench, offer at hand"}
	for i, b := range c.Bouts() {
		if len(b.Boots) > 0 {
			add(what[i], "boots "+strings.Join(b.Boots, ", ")+"; the start: "+b.First, strings.Join(b.Phases, " · "),
				b.Ended)
		}
	}
	if c.Booted {
		says := "the agent's first status came"
		switch {
		case c.Bad != "":
			says = "then it went wrong"
		case c.Ended != "":
			says = c.Ended
		}
		add("real bootloader", fmt.Sprintf("starts %s; %s (%.1f s)", strings.Join(c.Loaded, ", "), says,
			c.Took.Seconds()))
	}
	return out
}
