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

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/cuts"
)

// writeReport prints the table of what was covered and writes report.txt and report.html.
func writeReport(o *rigFlags, out io.Writer, runs []*rig, took time.Duration) error {
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TARGET\tCUTS\tWRITES AND FLUSHES\tFLUSHES\tLOOKED AT\tDIFFERENT DISKS\tWRONG\tBOOTED\tTO THE END\tBAD\tMODEL = LOADER\tBENCH = DEVICE")
	for _, r := range runs {
		for _, s := range cuts.Tallies(r.covered) {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d of %d\t%d of %d\n", r.target.Name, s.What, s.Entries, s.Flushes, s.Looked, s.Different, s.Wrong, s.Booted, s.Finished, s.Bad, s.Agreed, s.Known, s.Alike, s.Ends)
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
			for _, c := range v.Cuts {
				if c.Failed() {
					fmt.Fprintf(&text, "\n%s, %s, cut %d %s: %s %s\n  again: %s\n", r.target.Name, v.Rec.Name, c.Point, c.Variant, c.Wrong, c.Bad, r.command(v.Rec, c.Cut))
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
