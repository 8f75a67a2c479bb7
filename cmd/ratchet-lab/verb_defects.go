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
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/explorer"
)

func defectsVerb() cli.Verb {
	return cli.Verb{
		Name: "defects", Args: "[flags]",
		Short: "build programs with planted defects, and find each",
		Long: `
Builds a ratchet-lab for each planted defect, with go build -overlay, and lets it explore itself. Defects
in code that the explorer does not play are found by a test of their package. Every one must be found.`,
		Examples: []string{"ratchet-lab defects", "ratchet-lab defects --only journal"},
		Exits:    "1 also when a defect is not found",
		Setup: func(fs *flag.FlagSet) cli.Action {
			var o defectsOptions
			fs.StringVar(&o.root, "root", ".", "`DIR` of the source")
			fs.StringVar(&o.only, "only", "", "only defects whose name contains this `TEXT`")
			fs.IntVar(&o.workers, "workers", 0, "`NUMBER` of builds at once (default: one for each processor)")
			fs.BoolVar(&o.everywhere, "everywhere", false,
				"search all scenarios and loaders, not only those that the table names")
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) > 0 {
					return cli.Usage("unexpected arguments %q", args)
				}
				return cli.Exit(runDefects(ctx, o, c.Out, c.Err))
			}
		},
	}
}

// defectsOptions are the flags of defects.
type defectsOptions struct {
	root, only string
	workers    int
	everywhere bool
}

func runDefects(ctx context.Context, o defectsOptions, stdout, stderr io.Writer) int {
	abs, err := filepath.Abs(o.root)
	if err != nil {
		fmt.Fprintln(stderr, "ratchet-lab defects:", err)
		return 1
	}
	var list []explorer.Defect
	for _, f := range explorer.Defects() {
		if strings.Contains(f.Name, o.only) {
			list = append(list, f)
		}
	}
	if len(list) == 0 {
		fmt.Fprintf(stderr, "ratchet-lab defects: no defect is called %q\n", o.only)
		return 2
	}
	began := time.Now()
	type answer struct {
		how string
		err error
	}
	answers := make([]chan answer, len(list))
	slots := make(chan struct{}, processes(o.workers))
	for i, f := range list {
		answers[i] = make(chan answer, 1)
		go func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			how, err := seek(ctx, f, abs, o.everywhere)
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
	if f.Test != "" {
		return f.Fails(ctx, root, dir)
	}
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
