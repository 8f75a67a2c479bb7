//go:build linux

// Command mutants changes the code in small ways, and sees whether a test notices each change.
//
//	go run ./scripts/mutants [-sample N -seed S] [-least PERCENT] [-match REGEXP] [-j 2] [-list] PACKAGE[:FILES]...
//
// FILES is a regular expression: only the package's files whose name matches are changed.
//
// All changes of a package are compiled in at once, each behind a switch (see plan.go), by way of
// `go build -overlay`: a test binary is built once and run for each change with the switch thrown. Nothing in the
// tree is written, whatever happens.
//
// Each test is first run alone, to see which changes it passes through. A change is then given to the tests that
// do, of the package and of the packages that import it. One that fails or hangs has killed it. Tests run as with
// -short, for the long ones repeat what the short ones show.
//
// A survivor that no test can kill, because it changes nothing that can be seen, is named in equivalent.txt with
// the reason. The score of a package is the part of the others that were killed. Exit code 1: a score is below
// -least.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		code = 2
	}
	stop()
	os.Exit(code)
}

// options are the flags.
type options struct {
	sample int
	seed   uint64
	least  float64
	match  *regexp.Regexp
	jobs   int
	list   bool
	users  *regexp.Regexp // nil: none
	out    io.Writer
}

func run(ctx context.Context, args []string, out io.Writer) (int, error) {
	o, packages, allowed, err := parse(args, out)
	if err != nil {
		return 0, err
	}
	module, err := listPackages(ctx)
	if err != nil {
		return 0, err
	}
	chosen, err := choose(ctx, packages)
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	code := 0
	var table []string
	for i, c := range chosen {
		low, line, err := o.one(ctx, module, c, filepath.Join(dir, fmt.Sprint(i)), allowed)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", c.name, err)
		}
		if low {
			code = 1
		}
		if line != "" {
			table = append(table, line)
		}
	}
	if len(table) > 1 {
		fmt.Fprintf(out, "\n%s\n", strings.Join(table, "\n"))
	}
	return code, nil
}

// parse reads the command line: the options, the packages that are named, and the changes that are known to be
// equivalent.
func parse(args []string, out io.Writer) (o options, packages []string, allowed map[string]string, err error) {
	o.out = out
	flag := flag.NewFlagSet("mutants", flag.ContinueOnError)
	flag.IntVar(&o.sample, "sample", 0, "try `N` changes of each package, drawn by the seed; 0 is all of them")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of the sample")
	flag.Float64Var(&o.least, "least", 0, "exit with 1 where the score of a package is lower than `PERCENT`")
	match := flag.String("match", "", "only changes whose name matches the regular `EXPRESSION`")
	flag.IntVar(&o.jobs, "j", 2, "changes that are tried at a time")
	flag.BoolVar(&o.list, "list", false, "list the changes and try none")
	users := flag.String("users", ".", "ask the tests of packages that import the package, too, whose path matches "+
		"the regular `EXPRESSION`; \"\": of none")
	equivalent := flag.String("equivalent", "scripts/mutants/equivalent.txt",
		"`FILE` of survivors that nothing can kill")
	if err := flag.Parse(args); err != nil {
		return o, nil, nil, err
	}
	if *users != "" {
		if o.users, err = regexp.Compile(*users); err != nil {
			return o, nil, nil, err
		}
	}
	if o.match, err = regexp.Compile(*match); err != nil {
		return o, nil, nil, err
	}
	allowed, err = readEquivalent(*equivalent)
	return o, flag.Args(), allowed, err
}

// choice is a package, and which of its files are changed.
type choice struct {
	name  string
	files *regexp.Regexp
}

func choose(ctx context.Context, args []string) (out []choice, err error) {
	for _, arg := range args {
		pattern, files, _ := strings.Cut(arg, ":")
		only, err := regexp.Compile(files)
		if err != nil {
			return nil, err
		}
		names, err := output(ctx, "go", "list", pattern)
		if err != nil {
			return nil, err
		}
		for _, name := range strings.Fields(string(names)) {
			out = append(out, choice{name, only})
		}
	}
	return out, nil
}

// one tries the changes of one package, and returns its line of the table.
func (o options) one(ctx context.Context, module *module, c choice, dir string,
	allowed map[string]string) (low bool, line string, err error) {
	p, err := module.plan(c.name, c.files)
	if err != nil || len(p.mutants) == 0 {
		return false, "", err
	}
	if o.list {
		for _, m := range o.draw(p.mutants) {
			fmt.Fprintln(o.out, m)
		}
		return false, "", nil
	}
	began := time.Now()
	binaries, err := p.build(ctx, module, dir, o.users)
	if err != nil {
		return false, "", err
	}
	if err := watch(ctx, binaries, p, dir); err != nil {
		return false, "", err
	}
	drawn := o.draw(p.mutants)
	results := o.tryAll(ctx, p, binaries, drawn)
	if ctx.Err() != nil {
		return false, "", ctx.Err()
	}
	killed, equivalent := 0, 0
	for i, m := range drawn {
		why, known := allowed[m.name()]
		switch {
		case results[i] != "" && known:
			fmt.Fprintf(o.out, "%s\n\tis said to be equivalent (%s), and %s kills it\n", m, why, results[i])
			killed++
		case results[i] != "":
			killed++
		case known:
			equivalent++
		default:
			fmt.Fprintln(o.out, m)
		}
	}
	o.tellObsolete(p, allowed)
	score := 100.0
	if n := len(drawn) - equivalent; n > 0 {
		score = 100 * float64(killed) / float64(n)
	}
	line = fmt.Sprintf("%-34s %5d changes %5d killed %4d equivalent %4d survive  %5.1f %%  %v",
		p.short, len(drawn), killed, equivalent, len(drawn)-killed-equivalent, score,
		time.Since(began).Round(time.Second))
	fmt.Fprintln(o.out, line)
	return score < o.least, line, nil
}

// tellObsolete names what is said to be equivalent and is no change of the package any more.
func (o options) tellObsolete(p *plan, allowed map[string]string) {
	for name := range allowed {
		if o.sample == 0 && o.match.String() == "" && strings.HasPrefix(name, p.short+"/") &&
			!slices.ContainsFunc(p.mutants, func(m *mutant) bool { return m.name() == name }) &&
			!strings.Contains(strings.TrimPrefix(strings.Fields(name)[0], p.short+"/"), "/") {
			fmt.Fprintf(o.out, "%s\n\tis said to be equivalent, and is no change any more\n", name)
		}
	}
}

// tryAll returns who kills each change, "" for one that survives. It ends early with ctx.
func (o options) tryAll(ctx context.Context, p *plan, binaries []*binary, drawn []*mutant) []string {
	began := time.Now()
	results := make([]string, len(drawn)) // "": survived
	var next, done int
	var mu sync.Mutex
	var wait sync.WaitGroup
	for range o.jobs {
		wait.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= len(drawn) || ctx.Err() != nil {
					return
				}
				killer := kill(ctx, binaries, drawn[i])
				mu.Lock()
				results[i] = killer
				if done++; done%100 == 0 {
					fmt.Fprintf(os.Stderr, "%s: %d of %d, %v\n", p.short, done, len(drawn),
						time.Since(began).Round(time.Second))
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	return results
}

// draw returns the sample, in the order of the source.
func (o options) draw(all []*mutant) []*mutant {
	all = slices.DeleteFunc(slices.Clone(all), func(m *mutant) bool { return !o.match.MatchString(m.name()) })
	if o.sample <= 0 || o.sample >= len(all) {
		return all
	}
	rng := rand.New(rand.NewPCG(o.seed, 7))
	out := slices.Clone(all)
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	out = out[:o.sample]
	slices.SortFunc(out, func(a, b *mutant) int { return a.id - b.id })
	return out
}

// readEquivalent reads a list of changes that nothing can kill: a line that begins at the margin names one, the
// indented lines after it say why.
func readEquivalent(path string) (map[string]string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	last := ""
	for i, line := range strings.Split(string(raw), "\n") {
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case line[0] != ' ' && line[0] != '\t':
			if last != "" && out[last] == "" {
				return nil, fmt.Errorf("%s:%d: %s has no reason", path, i, last)
			}
			last = numbered.ReplaceAllString(line, "$1 ")
			if _, twice := out[last]; twice {
				return nil, fmt.Errorf("%s:%d: %s stands there twice", path, i+1, last)
			}
			out[last] = ""
		case last == "":
			return nil, fmt.Errorf("%s:%d: a reason for nothing", path, i+1)
		default:
			out[last] = strings.TrimSpace(out[last] + " " + strings.TrimSpace(line))
		}
	}
	if last != "" && out[last] == "" {
		return nil, fmt.Errorf("%s: %s has no reason", path, last)
	}
	return out, nil
}
