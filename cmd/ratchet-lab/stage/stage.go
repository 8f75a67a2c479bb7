// Package stage is what stands around a device in the laboratory: a broker and an image server with throw-away
// certificates, the release desk's own program, and the table of what was expected and observed. Whoever plays a device
// on it, of files or in QEMU, holds one Stage. It keeps nothing but the files of its folder.
package stage

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

// Stage is one run of the laboratory: a folder, what stands around the device, and what was expected of it and
// observed.
type Stage struct {
	Dir       string // of the run, absolute
	Bin       string // folder of the program ratchet-release
	Out       io.Writer
	Verbose   bool      // show what the desk's commands print
	Mosquitto string    // folder of the example configuration; "": the embedded broker
	Began     time.Time // of the clock that Say shows
	PKI       *PKI
	Net       *Network
	Broken    <-chan error // tells when what WaitFor waits for cannot come any more; nil: never
	Rows      []Row
}

// Row is one line of the table: what was expected and observed, in words; equal, or the run failed.
type Row struct {
	What     string
	Expected string
	Observed string
}

// Desk is the folder of the release desk.
func (s *Stage) Desk() string { return filepath.Join(s.Dir, "desk") }

// Say prints a line of the timeline.
func (s *Stage) Say(format string, args ...any) {
	fmt.Fprintf(s.Out, "%6.2fs  %s\n", time.Since(s.Began).Seconds(), fmt.Sprintf(format, args...))
}

// Chapter prints the title of a scenario.
func (s *Stage) Chapter(title string) { fmt.Fprintf(s.Out, "\n== %s\n", title) }

// Expect adds a row to the table.
func (s *Stage) Expect(what, expected, observed string) {
	s.Rows = append(s.Rows, Row{what, expected, observed})
}

// Table prints what was expected and observed, and tells whether all of it is equal. A run without rows is not good.
func (s *Stage) Table() bool {
	good := len(s.Rows) > 0
	fmt.Fprintln(s.Out)
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tSCENARIO\tEXPECTED\tOBSERVED")
	for _, r := range s.Rows {
		mark := "ok"
		if r.Expected != r.Observed {
			mark, good = "DIFFERS", false
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", mark, r.What, r.Expected, r.Observed)
	}
	_ = w.Flush()
	fmt.Fprintf(s.Out, "\n%d scenarios in %.1f s\n", len(s.Rows), time.Since(s.Began).Seconds())
	return good
}

// SetUp makes the certificates, starts the servers anywhere on loopback, and makes the desk; rooted gives it a trust
// root for development. host is this machine as the device calls it, "" for what the image server's URL says. Close the
// Net.
func (s *Stage) SetUp(ctx context.Context, rooted bool, host string) error {
	var err error
	if s.PKI, err = NewPKI(filepath.Join(s.Dir, "pki")); err != nil {
		return err
	}
	if err := s.Serve(Addresses{}); err != nil {
		return err
	}
	for _, name := range []string{DeskName, DeviceName} {
		if _, err := s.PKI.Issue(name); err != nil {
			return err
		}
	}
	base := s.Net.Images
	if host != "" {
		base = strings.Replace(base, "127.0.0.1", host, 1)
	}
	if err := s.RunDesk(ctx, "init", "--plain", "--one-person", "--vendor", "demo.example", "--class", "gateway-v1",
		"--broker", s.Net.Broker, "--channel", "stable", "--base-url", base, s.Desk()); err != nil {
		return err
	}
	if err := s.deskTLS(); err != nil || !rooted {
		return err
	}
	return s.RunDesk(ctx, "root", "init", "--plain", "--development", "--dir", s.Desk())
}

// Serve starts the servers, with the certificates that there are.
func (s *Stage) Serve(at Addresses) (err error) {
	s.Net, err = StartNetwork(s.PKI, filepath.Join(s.Desk(), "images"), s.Mosquitto, at)
	return err
}

// deskTLS gives the desk, which must be there, its certificate for the broker.
func (s *Stage) deskTLS() error {
	path := filepath.Join(s.Desk(), "ratchet-release.toml")
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for from, to := range map[string]string{
		"ca = \"\"":          fmt.Sprintf("ca = %q", s.PKI.CA()),
		"certificate = \"\"": fmt.Sprintf("certificate = %q", filepath.Join(s.PKI.Dir, DeskName+".pem")),
		"key = \"\"":         fmt.Sprintf("key = %q", filepath.Join(s.PKI.Dir, DeskName+".key")),
	} {
		b = bytes.Replace(b, []byte(from), []byte(to), 1)
	}
	return os.WriteFile(path, b, 0o644)
}

// RunDesk runs the release desk's program, and shows the command in the timeline.
func (s *Stage) RunDesk(ctx context.Context, args ...string) error {
	s.Say("$ ratchet-release %s", strings.Join(shorten(args, s.Dir), " "))
	out, err := exec.CommandContext(ctx, filepath.Join(s.Bin, "ratchet-release"), args...).CombinedOutput()
	if s.Verbose || err != nil {
		fmt.Fprintf(s.Out, "%s", out)
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

// WaitFor polls until ok. The error says what was waited for in vain, or why the board stopped.
func (s *Stage) WaitFor(ctx context.Context, within time.Duration, what string, ok func() bool) error {
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v in vain for %s", within, what)
		}
		select {
		case err := <-s.Broken:
			return errors.Join(errors.New("the board stopped"), err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
