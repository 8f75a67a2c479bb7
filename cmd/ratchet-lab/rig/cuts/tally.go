package cuts

import (
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
)

// Coverage is one recording and its cuts, in the order of their points.
type Coverage struct {
	Rec  *disk.Recording
	Log  *disk.Log
	Cuts []Result
}

// Different lists the cuts that leave disks that differ, by their number; ok, where given, chooses.
func (v *Coverage) Different(ok func(Result) bool) (out []int) {
	seen := map[string]bool{}
	for i, c := range v.Cuts {
		if !seen[c.Sum] && (ok == nil || ok(c)) {
			seen[c.Sum] = true
			out = append(out, i)
		}
	}
	return out
}

// Tally counts cuts.
type Tally struct {
	What      string // "healthy update", "recoveries"
	Entries   int    // of the logs: writes and flushes
	Flushes   int
	Looked    int // cuts
	Different int // disks among them
	Wrong     int // of those looked at
	Failed    int // wrong, or booted badly
	Booted    int // with the real bootloader
	Finished  int // of those booted, to the end of the update
	Bad       int // of those booted
	Known     int // of those booted, the model chose too
	Agreed    int // and chose the same
	Ends      int // of those that went to the end, the bench did too
	Alike     int // and ended the same
	Whole     int // by what was done to unflushed writes
	Lost      int
	Torn      int
	Recovered int // recoveries that were recorded
}

// add counts the cuts of one recording.
func (s *Tally) add(v *Coverage) {
	s.Entries += len(v.Log.Writes)
	s.Flushes += v.Log.Flushes()
	for _, c := range v.Cuts {
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
		if c.Failed() {
			s.Failed++
		}
		if c.Booted {
			s.Booted++
		}
		if c.Ended != "" {
			s.Finished++
		}
		if same, known := c.Agrees(); known {
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

// Tallies are the counts of each update, and of all second cuts together.
func Tallies(covered []*Coverage) (out []*Tally) {
	second := &Tally{What: "recoveries"}
	for _, v := range covered {
		if v.Rec.First != nil {
			second.Recovered++
			second.add(v)
			continue
		}
		s := &Tally{What: v.Rec.Name + " update"}
		s.add(v)
		out = append(out, s)
	}
	if second.Recovered > 0 {
		out = append(out, second)
	}
	return out
}
