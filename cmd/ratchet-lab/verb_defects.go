package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/explorer"
)

const defectsUsage = `usage: ratchet-lab defects [--root DIR] [--only TEXT] [--workers N] [--everywhere]

Builds a ratchet-lab for each planted defect, with go build -overlay, and lets it explore itself: every
one must be found. Exit code 1 when one is not.
`

func runDefects(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fl := flag.NewFlagSet("defects", flag.ContinueOnError)
	fl.SetOutput(stderr)
	fl.Usage = func() { fmt.Fprint(stderr, defectsUsage); fl.PrintDefaults() }
	root := fl.String("root", ".", "of the source")
	only := fl.String("only", "", "those whose name contains this")
	workers := fl.Int("workers", runtime.NumCPU(), "at once")
	everywhere := fl.Bool("everywhere", false, "look in all scenarios and loaders, not where the table says")
	switch err := fl.Parse(args); {
	case err == flag.ErrHelp:
		return 0
	case err != nil || fl.NArg() > 0:
		return 2
	}
	abs, err := filepath.Abs(*root)
	if err != nil {
		fmt.Fprintln(stderr, "ratchet-lab defects:", err)
		return 1
	}
	var list []explorer.Defect
	for _, f := range explorer.Defects() {
		if strings.Contains(f.Name, *only) {
			list = append(list, f)
		}
	}
	if len(list) == 0 {
		fmt.Fprintf(stderr, "ratchet-lab defects: no defect is called %q\n", *only)
		return 2
	}
	began := time.Now()
	type answer struct {
		how string
		err error
	}
	answers := make([]chan answer, len(list))
	slots := make(chan struct{}, max(*workers, 1))
	for i, f := range list {
		answers[i] = make(chan answer, 1)
		go func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			how, err := seek(ctx, f, abs, *everywhere)
			answers[i] <- answer{how, err}
		}()
	}
	missed := 0
	for i, f := range list {
		a := <-answers[i]
		if a.err != nil {
			missed++
			fmt.Fprintf(stdout, "NOT FOUND  %s: %v\n", f.Name, a.err)
			continue
		}
		fmt.Fprintf(stdout, "found      %-72s %s\n", f.Name, a.how)
	}
	fmt.Fprintf(stdout, "%d planted defects, %d found, %d not, in %.0f s\n", len(list), len(list)-missed, missed,
		time.Since(began).Seconds())
	if missed > 0 {
		return 1
	}
	return 0
}

// seek builds the program with the defect and returns by what it was found.
func seek(ctx context.Context, f explorer.Defect, root string, everywhere bool) (string, error) {
	dir, err := os.MkdirTemp("", "ratchet-defect-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	program, err := f.Build(ctx, root, dir)
	if err != nil {
		return "", err
	}
	args := []string{"explore", "--stop", "--time", "0s"}
	if !everywhere {
		args = append(args, "--workers", "1", "--scenario", f.Scenario, "--loader", f.Loader)
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = &said
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "", explorer.ErrNotFound
	case !errors.As(err, &exit) || exit.ExitCode() != 1 || said.Len() == 0:
		return "", fmt.Errorf("%w: it cannot tell: %w\n%s", explorer.ErrNotFound, err, said.Bytes())
	}
	for line := range strings.Lines(said.String()) {
		if !strings.HasPrefix(line, " ") { // progress
			return strings.TrimSpace(line), nil
		}
	}
	return "", fmt.Errorf("%w: it does not say why: %s", explorer.ErrNotFound, said.Bytes())
}
