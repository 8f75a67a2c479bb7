package life_test

import (
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/life"
)

var everyStep = flag.String("every", "", "write the steps of TestEveryStep in full to `FILE`, to compare two versions")

// TestEveryStep holds single steps against what they were: whatever can happen in each phase, in a usual state, in that
// state with one thing otherwise, and with three things otherwise at once. testdata/every.txt has a line for each kind
// of event in each phase, and in it two letters for each step: a sum of all that it commits, says, does and remembers.
// Where the machine does otherwise, the step is shown in full. -every writes all steps out, so that two versions can be
// compared; -update rewrites the sums: say in the commit why.
func TestEveryStep(t *testing.T) {
	old := sums(t, "testdata/every.txt")
	var file, full strings.Builder
	failed := 0
	for _, phase := range life.Phases() {
		for _, on := range ons() {
			head := fmt.Sprintf("%s, %s", phase, on)
			was, all := old[head], cases(phase, on)
			if len(all) == 0 {
				continue
			}
			file.WriteString(head + "\t")
			for i, c := range all {
				s := usual(phase)
				for _, x := range c.state {
					x.set(&s)
				}
				step := one(s, c.event(s))
				sum := sha256.Sum256([]byte(step))
				short := base64.RawURLEncoding.EncodeToString(sum[:])[:letters]
				file.WriteString(short)
				if *everyStep != "" {
					fmt.Fprintf(&full, "%s: %s; %s\n%s\n\n", head, c.name, c.state, step)
				}
				if !*update && (len(was) < letters*(i+1) || was[letters*i:letters*(i+1)] != short) {
					if failed++; failed <= 3 {
						t.Errorf("%s: %s; %s: does otherwise than before, namely\n%s", head, c.name, c.state, step)
					}
				}
			}
			file.WriteString("\n")
		}
	}
	if failed > 3 {
		t.Errorf("and %d other steps", failed-3)
	}
	if *everyStep != "" {
		if err := os.WriteFile(*everyStep, []byte(full.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if failed == 0 {
		golden(t, "testdata/every.txt", file.String())
	}
}

// sums reads a file of sums: head -> all that stands behind it.
func sums(t *testing.T, path string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !*update {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, line := range strings.Split(string(b), "\n") {
		head, rest, _ := strings.Cut(line, "\t")
		out[head] = rest
	}
	return out
}

// ons are the kinds of events, in the order in which events has them.
func ons() (out []life.On) {
	for _, e := range events {
		if !slices.Contains(out, e.on) {
			out = append(out, e.on)
		}
	}
	return out
}

// try is one event in one state.
type try struct {
	happening
	state otherwises
}

// cases are the tries of one kind of event in one phase. Where the table has rows for it only in every phase, there
// are fewer; where it has none, there are none.
func cases(p life.Phase, on life.On) (out []try) {
	own, any := has(p, on), has(life.Any, on)
	if !own && !any {
		return nil
	}
	var es []happening
	for _, e := range events {
		if e.on == on {
			es = append(es, e)
			out = append(out, try{e, nil})
		}
	}
	each, mixed := 1, 40
	if own {
		each, mixed = 4, 160
	}
	rng := rand.New(rand.NewPCG(uint64(len(es)), uint64(len(p))))
	pick := func() happening { return es[rng.IntN(len(es))] }
	for i := range others {
		for range min(each, len(es)) {
			out = append(out, try{pick(), others[i : i+1]})
		}
	}
	for range mixed {
		var c otherwises
		for range 3 {
			c = append(c, others[rng.IntN(len(others))])
		}
		out = append(out, try{pick(), c})
	}
	return out
}

func has(p life.Phase, on life.On) bool {
	return slices.ContainsFunc(life.Table(), func(r life.Row) bool { return r.On == on && r.Phase == p })
}

// letters stand for a step in testdata/every.txt.
const letters = 2

// one is a step in full. A state that cannot be may lead where the table does not, which the machine says; it never
// runs into a fault of the language.
func one(s life.State, e life.Event) (text string) {
	defer func() {
		if p := recover(); p != nil {
			if fault, is := p.(runtime.Error); is {
				panic(fault)
			}
			text = fmt.Sprint(p)
		}
	}()
	next, eff := life.Step(s, e)
	return inFull(s, e, next, eff)
}
