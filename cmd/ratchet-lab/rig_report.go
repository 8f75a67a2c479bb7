package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
)

// tally counts cuts.
type tally struct {
	what                         string
	Entries, Flushes             int
	Looked, Different, Wrong     int
	Failed                       int // cuts that are wrong or ended badly
	Booted, Finished, Bad        int
	Known, Agreed, Ends, Alike   int // the model and the loader; the bench and the device
	Whole, Lost, Torn, Recovered int
}

func (s *tally) add(v *coverage) {
	s.Entries += len(v.log.Writes)
	s.Flushes += v.log.Flushes()
	for _, c := range v.cuts {
		s.Looked++
		switch c.Variant {
		case disk.Whole:
			s.Whole++
		case disk.Lost:
			s.Lost++
		case disk.Torn:
			s.Torn++
		}
		if !c.Equal {
			s.Different++
		}
		if c.Wrong != "" {
			s.Wrong++
		}
		if c.Bad != "" {
			s.Bad++
		}
		if c.failed() {
			s.Failed++
		}
		if c.Booted {
			s.Booted++
		}
		if c.Ended != "" {
			s.Finished++
		}
		if same, known := c.agrees(); known {
			s.Known++
			if same {
				s.Agreed++
			}
		}
		if same, known := c.alike(); known {
			s.Ends++
			if same {
				s.Alike++
			}
		}
	}
}

// tallies are the counts of each update, and of all second cuts together.
func (r *rig) tallies() (out []*tally) {
	second := &tally{what: "recoveries"}
	for _, v := range r.covered {
		if v.rec.First != nil {
			second.Recovered++
			second.add(v)
			continue
		}
		s := &tally{what: v.rec.Name + " update"}
		s.add(v)
		out = append(out, s)
	}
	if second.Recovered > 0 {
		out = append(out, second)
	}
	return out
}

// writeReport prints the table of what was covered and writes report.txt and report.html.
func writeReport(o *rigFlags, out io.Writer, runs []*rig, took time.Duration) error {
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TARGET\tCUTS\tWRITES AND FLUSHES\tFLUSHES\tLOOKED AT\tDIFFERENT DISKS\tWRONG\tBOOTED\tTO THE END\tBAD\tMODEL = LOADER\tBENCH = DEVICE")
	for _, r := range runs {
		for _, s := range r.tallies() {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d of %d\t%d of %d\n", r.target.Name, s.what, s.Entries, s.Flushes, s.Looked, s.Different, s.Wrong, s.Booted, s.Finished, s.Bad, s.Agreed, s.Known, s.Alike, s.Ends)
		}
	}
	_ = w.Flush()
	w = tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nTARGET\tSCENARIO\t\tOBSERVED")
	for _, r := range runs {
		for _, row := range r.Rows {
			mark := "ok"
			if row.Expected != row.Observed {
				mark = "DIFFERS"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.target.Name, row.What, mark, row.Observed)
		}
	}
	fmt.Fprintln(w, "\nTARGET\tTIME\t\t")
	for _, r := range runs {
		for _, t := range r.times {
			fmt.Fprintf(w, "%s\t%s\t\t%.1f s\n", r.target.Name, t.what, t.took.Seconds())
		}
	}
	_ = w.Flush()
	for _, r := range runs {
		for _, v := range r.covered {
			for _, c := range v.cuts {
				if c.failed() {
					fmt.Fprintf(&text, "\n%s, %s, cut %d %s: %s %s\n  again: %s\n", r.target.Name, v.rec.Name, c.Point, c.Variant, c.Wrong, c.Bad, r.command(v.rec, c.Cut))
				}
			}
		}
	}
	fmt.Fprintf(&text, "\nseed %d, %.0f s in all\n", o.seed, took.Seconds())
	page, err := reportPage(o, runs, took, time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s\nThe report is in %s\n", text.Bytes(), filepath.Join(o.dir, "report.html"))
	return errors.Join(os.WriteFile(filepath.Join(o.dir, "report.txt"), text.Bytes(), 0o644), os.WriteFile(filepath.Join(o.dir, "report.html"), page, 0o644))
}
