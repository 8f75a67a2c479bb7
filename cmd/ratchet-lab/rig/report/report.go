// Package report says what the rig has played: a table for a terminal and a text file, and a page on which every cut of
// every recording is a cell with its story. It is made of values that say what happened, and asks nobody.
package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/cuts"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/stage"
)

// Run is what a report says of the run of one board.
type Run struct {
	Board   board.Kind
	Good    bool // nothing differs
	Rows    []stage.Row
	Times   []Span
	Covered []*cuts.Coverage
	// The updates whose writes were kept, and the recoveries that were.
	Recordings []*disk.Recording
	// Returns the command that plays one cut of a recording again.
	Again func(rec *disk.Recording, x disk.Cut) string
}

// Span is how long something took.
type Span struct {
	What string
	Took time.Duration
}

// Report is what was played, with which seed, and in which time.
type Report struct {
	Runs []Run
	Seed int64
	Took time.Duration
	When time.Time
}

// Write prints the table of what was covered to out, and writes report.txt and report.html into the folder dir.
func (p Report) Write(dir string, out io.Writer) error {
	text := p.text()
	page, err := p.page()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s\nThe report is in %s\n", text, filepath.Join(dir, "report.html"))
	return errors.Join(os.WriteFile(filepath.Join(dir, "report.txt"), text, 0o644),
		os.WriteFile(filepath.Join(dir, "report.html"), page, 0o644))
}

// text is the report as a table for a terminal.
func (p Report) text() []byte {
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TARGET\tCUTS\tWRITES AND FLUSHES\tFLUSHES\tLOOKED AT\tDIFFERENT DISKS\tWRONG\t"+
		"BOOTED\tTO THE END\tBAD\tMODEL = LOADER\tBENCH = DEVICE")
	for _, r := range p.Runs {
		for _, s := range cuts.Tallies(r.Covered) {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d of %d\t%d of %d\n", r.Board.Name, s.What,
				s.Entries, s.Flushes, s.Looked, s.Different, s.Wrong, s.Booted, s.Finished, s.Bad, s.Agreed, s.Known,
				s.Alike, s.Ends)
		}
	}
	_ = w.Flush()
	w = tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nTARGET\tSCENARIO\t\tOBSERVED")
	for _, r := range p.Runs {
		for _, row := range r.Rows {
			mark := "ok"
			if row.Expected != row.Observed {
				mark = "DIFFERS"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Board.Name, row.What, mark, row.Observed)
		}
	}
	fmt.Fprintln(w, "\nTARGET\tTIME\t\t")
	for _, r := range p.Runs {
		for _, t := range r.Times {
			fmt.Fprintf(w, "%s\t%s\t\t%.1f s\n", r.Board.Name, t.What, t.Took.Seconds())
		}
	}
	_ = w.Flush()
	for _, r := range p.Runs {
		for _, v := range r.Covered {
			for _, c := range v.Cuts {
				if c.Failed() {
					fmt.Fprintf(&text, "\n%s, %s, cut %d %s: %s %s\n  again: %s\n", r.Board.Name, v.Rec.Name, c.Point,
						c.Variant, c.Wrong, c.Bad, r.Again(v.Rec, c.Cut))
				}
			}
		}
	}
	fmt.Fprintf(&text, "\nseed %d, %.0f s in all\n", p.Seed, p.Took.Seconds())
	return text.Bytes()
}
