package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

// stage is one run of the laboratory: a folder, what stands around the device, and what was expected of it and observed.
type stage struct {
	dir       string // of the run, absolute
	bin       string // folder of the program ratchet-release
	out       io.Writer
	verbose   bool      // show what the desk's commands print
	mosquitto string    // folder of the example configuration; "": the embedded broker
	began     time.Time // of the clock that say shows
	pki       *pki
	net       *network
	broken    chan error // tells when what waitFor waits for cannot come any more; nil: never
	rows      []row
}

// row is one line of the table: what was expected and observed, in words; equal, or the run failed.
type row struct {
	what     string
	expected string
	observed string
}

// desk is the folder of the release desk.
func (s *stage) desk() string { return filepath.Join(s.dir, "desk") }

// say prints a line of the timeline.
func (s *stage) say(format string, args ...any) {
	fmt.Fprintf(s.out, "%6.2fs  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// chapter prints the title of a scenario.
func (s *stage) chapter(title string) { fmt.Fprintf(s.out, "\n== %s\n", title) }

// expect adds a row to the table.
func (s *stage) expect(what, expected, observed string) {
	s.rows = append(s.rows, row{what, expected, observed})
}

// table prints what was expected and observed, and tells whether all of it is equal. A run without rows is not good.
func (s *stage) table() bool {
	good := len(s.rows) > 0
	fmt.Fprintln(s.out)
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tSCENARIO\tEXPECTED\tOBSERVED")
	for _, r := range s.rows {
		mark := "ok"
		if r.expected != r.observed {
			mark, good = "DIFFERS", false
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", mark, r.what, r.expected, r.observed)
	}
	_ = w.Flush()
	fmt.Fprintf(s.out, "\n%d scenarios in %.1f s\n", len(s.rows), time.Since(s.began).Seconds())
	return good
}

// deskTLS gives the desk, which must be there, its certificate for the broker.
func (s *stage) deskTLS() error {
	path := filepath.Join(s.desk(), "ratchet-release.toml")
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for from, to := range map[string]string{
		"ca = \"\"":          fmt.Sprintf("ca = %q", s.pki.ca()),
		"certificate = \"\"": fmt.Sprintf("certificate = %q", filepath.Join(s.pki.dir, deskName+".pem")),
		"key = \"\"":         fmt.Sprintf("key = %q", filepath.Join(s.pki.dir, deskName+".key")),
	} {
		b = bytes.Replace(b, []byte(from), []byte(to), 1)
	}
	return os.WriteFile(path, b, 0o644)
}

// runDesk runs the release desk's program, and shows the command in the timeline.
func (s *stage) runDesk(ctx context.Context, args ...string) error {
	s.say("$ ratchet-release %s", strings.Join(shorten(args, s.dir), " "))
	out, err := exec.CommandContext(ctx, filepath.Join(s.bin, "ratchet-release"), args...).CombinedOutput()
	if s.verbose || err != nil {
		fmt.Fprintf(s.out, "%s", out)
	}
	if err != nil {
		return fmt.Errorf("ratchet-release %s: %w", args[0], err)
	}
	return nil
}

func shorten(args []string, dir string) []string {
	var out []string
	for _, a := range args {
		out = append(out, strings.ReplaceAll(a, dir+"/", ""))
	}
	return out
}

// waitFor polls until ok. The error says what was waited for in vain, or why the board stopped.
func (s *stage) waitFor(ctx context.Context, within time.Duration, what string, ok func() bool) error {
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v in vain for %s", within, what)
		}
		select {
		case err := <-s.broken:
			return errors.Join(errors.New("the board stopped"), err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
