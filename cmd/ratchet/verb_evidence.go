package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/render"
)

func (c *call) evidence() func(context.Context, []string) error {
	to := c.flags.String("o", "", "write to `FILE` (default: standard output, which must not be a terminal)")
	from := c.flags.Uint64("from", 0, "first sequence `NUMBER` (default: the oldest record)")
	return func(ctx context.Context, args []string) error {
		if err := none(args); err != nil {
			return err
		}
		if *to == "" || *to == "-" {
			if screen.Terminal(c.stdout) {
				return cli.Usage("the records are binary; give -o FILE or redirect the output")
			}
			e, err := c.export(ctx, *from, c.stdout)
			return c.exported(e, err, "")
		}
		e, err := c.exportFile(ctx, *from, *to)
		return c.exported(e, err, *to)
	}
}

func (c *call) exported(e control.EvidenceExport, err error, to string) error {
	if err == nil {
		fmt.Fprint(c.stderr, render.Export(e, to, screen.Width(c.stderr)))
	}
	return err
}

// exportFile exports into a file that appears under its name only when it is complete. The content
// is flushed before the rename, as in hal.ReplaceFile. That one takes bytes and writes what belongs to
// the agent; an export is a stream of any length, and the file is the caller's.
// Crash: before the rename -> NAME.part, and NAME as it was; after -> NAME complete.
func (c *call) exportFile(ctx context.Context, from uint64, name string) (e control.EvidenceExport, err error) {
	part := name + ".part"
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		part = name // a pipe or a device is written as it is
	}
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return e, fmt.Errorf("cannot export evidence: %w", err)
	}
	e, err = c.export(ctx, from, f)
	if err == nil && part != name {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	switch {
	case part == name:
	case err == nil:
		err = os.Rename(part, name)
	default:
		_ = os.Remove(part)
	}
	return e, err
}

// export hands the daemon the writing end of a pipe and copies what comes out of it into w: what a
// full disk or a slow terminal does, it does to this process.
func (c *call) export(ctx context.Context, from uint64, w io.Writer) (control.EvidenceExport, error) {
	var e control.EvidenceExport
	client, err := control.Dial(c.socket)
	if err != nil {
		return e, err
	}
	defer func() { _ = client.Close() }()
	out, in, err := os.Pipe()
	if err != nil {
		return e, fmt.Errorf("cannot export evidence: %w", err)
	}
	copied := make(chan error, 1)
	var bytes int64
	go func() {
		n, err := io.Copy(w, out)
		bytes = n
		_ = out.Close() // after a failure this ends the daemon's writing too
		copied <- err
	}()
	args := map[string]string{}
	if from > 0 {
		args["from"] = strconv.FormatUint(from, 10)
	}
	raw, err := client.Do(ctx, control.VerbEvidence, args, []*os.File{in}, nil)
	_ = in.Close()
	if cerr := <-copied; cerr != nil {
		return e, fmt.Errorf("cannot export evidence: %w", cerr)
	}
	if err != nil {
		return e, err
	}
	if err := understand(raw, &e); err != nil {
		return e, err
	}
	if e.Bytes != bytes {
		return e, errors.Join(control.ErrLost, fmt.Errorf("the daemon wrote %d bytes and %d arrived", e.Bytes, bytes))
	}
	return e, nil
}
