package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

// CopyImages brings the payloads of a manifest from a directory into the image directory. All of
// them are checked, decoded, before the first is copied.
func CopyImages(ctx context.Context, c cli.Console, m manifest.Manifest, from, to string) error {
	installs, err := Installs(m)
	if err != nil {
		return err
	}
	type work struct{ name, path string }
	var list []work
	for _, in := range installs {
		if in.Content != nil {
			continue
		}
		name, ours := PayloadName(in.URI)
		if !ours {
			c.Say("%s: %s has an address of its own; put it there yourself.", in.Component, in.URI)
			continue
		}
		if to == "" {
			return cli.Usage("no image directory: give --images DIR, name images.directory in %s, or give --offer-only",
				workspace.FileName)
		}
		path, err := findPayload(name, from, to)
		if err != nil {
			return fmt.Errorf("cannot publish the image of %s: %w", in.Component, err)
		}
		if err := checkPayload(ctx, FileSource(path), in); PayloadFault(err) {
			return &cli.Refusal{What: path, Reason: reason.ImageCorrupt, Err: err}
		} else if err != nil {
			return fmt.Errorf("cannot publish the image of %s: %w", in.Component, err)
		}
		list = append(list, work{name, path})
	}
	for _, w := range list {
		done, err := publishPayload(ctx, c, w.path, filepath.Join(to, w.name))
		if err != nil {
			return err
		}
		c.Say("%s: %s", filepath.Join(to, w.name), done)
	}
	return nil
}

// findPayload looks where payloads are built, then where they are published.
func findPayload(name, from, to string) (string, error) {
	for _, dir := range []string{from, to} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("%s is neither in %s nor in %s; build the release again, or name its "+
		"directory with --payloads", name, from, to)
}

// publishPayload copies a payload to its public place, which may be its present one. A payload that
// is there is compared with its name and never replaced.
//
// Crash: before the rename -> a hidden temporary file, which no manifest names; after -> the whole
// payload. A server never hands out a part of it.
func publishPayload(ctx context.Context, c cli.Console, from, to string) (string, error) {
	size, err := namedRight(ctx, to)
	if err == nil {
		return fmt.Sprintf("is there already, %d bytes, as its digest says", size), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return "", fmt.Errorf("cannot make image directory: %w", err)
	}
	f, err := os.Open(from)
	if err != nil {
		return "", fmt.Errorf("cannot read payload: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("cannot read payload: %w", err)
	}
	t, err := files.NewTemp(to, 0o644)
	if err != nil {
		return "", err
	}
	defer t.Drop()
	h, bar := sha256.New(), screen.NewBar(c.Err, "copying "+filepath.Base(to)[:12], st.Size())
	defer bar.End()
	n, err := io.CopyBuffer(io.MultiWriter(t.File, h, bar), files.Interruptible(ctx, f), make([]byte, 1<<20))
	if err != nil {
		return "", fmt.Errorf("cannot copy payload to %s: %w", to, err)
	}
	if err := named(to, h.Sum(nil)); err != nil {
		return "", fmt.Errorf("cannot copy payload: %w", err)
	}
	return fmt.Sprintf("copied, %d bytes", n), t.Install(to)
}

// namedRight reads a published payload and compares it with its name.
func namedRight(ctx context.Context, path string) (size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.CopyBuffer(h, files.Interruptible(ctx, f), make([]byte, 1<<20))
	if err != nil {
		return 0, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return size, named(path, h.Sum(nil))
}

// named compares a digest with the name of a payload.
func named(path string, sum []byte) error {
	if got := hex.EncodeToString(sum); !strings.HasPrefix(filepath.Base(path), got+".") {
		return fmt.Errorf("%s holds other bytes than its name says (SHA-256 is %s); find out who "+
			"changed it, then remove it", path, got)
	}
	return nil
}
