package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/render"
	"github.com/ratchet-ota/ratchet/transport/file"
)

// install takes two steps, because nothing of the envelope is read before the daemon has verified
// it: the daemon looks at the envelope and answers with what it would do and the names of the
// payloads it needs; then it gets the envelope again, to be verified again, with the payloads.
func (c *call) install() func(context.Context, []string) error {
	var payloads cli.List
	c.flags.Var(&payloads, "payload", "image `FILE` that is somewhere else, or named otherwise; may be given again")
	yes := c.flags.Bool("yes", false, "do not ask for confirmation")
	return func(ctx context.Context, args []string) error {
		if len(args) != 1 {
			return cli.Usage("give one envelope file")
		}
		bundle, err := file.OpenBundle(args[0])
		if err != nil {
			return err
		}
		defer func() { _ = bundle.Close() }()
		if _, err := file.ReadEnvelope(bundle.Envelope()); err != nil {
			return err
		}
		client, err := control.Dial(c.socket)
		if err != nil {
			return err
		}
		defer func() { _ = client.Close() }()

		request := map[string]string{"step": control.StepCheck, "envelope": filepath.Base(args[0])}
		check, err := c.check(ctx, client, request, bundle.Envelope())
		if err != nil {
			return err
		}
		files, err := openPayloads(bundle, check.Need, payloads)
		defer func() {
			for _, f := range files {
				_ = f.Close()
			}
		}()
		if err != nil {
			return err
		}
		if !*yes && c.interactive() {
			if err := c.agree(ctx, "Install it now?"); err != nil {
				return err
			}
		}
		names := make([]string, len(check.Need))
		for i, p := range check.Need {
			names[i] = p.Name
		}
		quoted, err := json.Marshal(names)
		if err != nil {
			return err
		}
		request["step"], request["names"] = control.StepInstall, string(quoted)
		return c.follow(ctx, client, request, append([]*os.File{bundle.Envelope()}, files...))
	}
}

// check asks the daemon what it would do with the envelope, and shows it. Where it would not install it now, the
// error has been shown with it.
func (c *call) check(ctx context.Context, client *control.Client, request map[string]string,
	envelope *os.File) (control.InstallCheck, error) {
	var check control.InstallCheck
	raw, err := client.Do(ctx, control.VerbInstall, request, []*os.File{envelope}, nil)
	if err != nil {
		return check, err
	}
	if err := understand(raw, &check); err != nil {
		return check, err
	}
	fmt.Fprint(c.stderr, render.Check(check, screen.Width(c.stderr)))
	switch check.Outcome {
	case control.OutcomeInstall:
		return check, nil
	case control.OutcomeDefer:
		return check, errShown{control.ExitDeferred}
	}
	return check, errShown{control.ExitRefused}
}

// openPayloads opens what the update needs: what was given, else what lies beside the envelope.
func openPayloads(b *file.Bundle, need []control.Payload, given cli.List) (files []*os.File, err error) {
	used := make(map[string]bool)
	for _, p := range need {
		if !control.FileName(p.Name) {
			return files, fmt.Errorf("cannot use payload name %q of the manifest: it is not a plain file name", p.Name)
		}
		var f *os.File
		if path := pick(given, p.Name, len(need) == 1); path != "" {
			used[path] = true
			f, err = openPayload(path)
		} else {
			f, err = beside(b, p)
		}
		if err != nil {
			return files, err
		}
		files = append(files, f)
		st, err := f.Stat()
		if err == nil && p.Bytes > 0 && st.Size() != p.Bytes {
			err = &control.Error{
				Message: fmt.Sprintf("%s has %s, and the update needs a file of %s",
					f.Name(), screen.Exact(st.Size()), screen.Exact(p.Bytes)),
				Advice: "Was it copied completely? Is it the image of this release?", Exit: control.ExitFailed}
		}
		if err != nil {
			return files, err
		}
	}
	for _, path := range given {
		if !used[path] {
			return files, cli.Usage("the update does not need %s", path)
		}
	}
	return files, nil
}

// pick finds a payload among those given, by its file name; the only one needs no name.
func pick(given cli.List, name string, only bool) string {
	for _, path := range given {
		if filepath.Base(path) == name || only && len(given) == 1 {
			return path
		}
	}
	return ""
}

// beside opens a payload that lies beside the envelope.
func beside(b *file.Bundle, p control.Payload) (*os.File, error) {
	f, err := b.Payload([]string{"/" + url.PathEscape(p.Name), "/" + p.Name})
	if errors.Is(err, fs.ErrNotExist) {
		err = &control.Error{
			Message: fmt.Sprintf("the update needs %s for %s, which is not beside the envelope", p.Name, p.Component),
			Advice:  "Put it there, or say where it is with --payload FILE.", Exit: control.ExitFailed}
	}
	return f, err
}

func openPayload(path string) (*os.File, error) {
	// Not blocking, so that a pipe by that name does not hang.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open payload: %w", err)
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		_ = f.Close()
		return nil, errors.Join(fmt.Errorf("cannot use %s as a payload: it is not a regular file", path), err)
	}
	return f, nil
}

// follow starts the installation and shows its progress until it is out of the daemon's hands.
func (c *call) follow(ctx context.Context, client *control.Client, request map[string]string, files []*os.File) error {
	m := render.NewMeter(c.stderr)
	phase := ""
	raw, err := client.Do(ctx, control.VerbInstall, request, files, func(raw json.RawMessage) {
		var p control.Progress
		if json.Unmarshal(raw, &p) == nil {
			phase = p.Phase
			m.Show(p)
		}
	})
	m.End()
	switch {
	case err == nil:
		var d control.Done
		if err := understand(raw, &d); err != nil {
			return err
		}
		c.show(d)
		if d.Result == control.ResultDeferred {
			return errShown{control.ExitDeferred}
		}
		return nil
	case ctx.Err() != nil:
		fmt.Fprint(c.stderr, screen.Wrap("", "", "Detached. The installation goes on in the daemon: "+
			"\"ratchet status --watch\" shows it, \"ratchet revert\" ends it.", screen.Width(c.stderr)))
		return errShown{control.ExitFailed}
	case errors.Is(err, control.ErrLost) && (phase == "arming" || phase == "rebooting"):
		_, _ = io.WriteString(c.stdout,
			"The daemon has ended, as it does when the machine reboots into the new system. "+
				"Then: ratchet status\n")
		return nil
	}
	return err
}
