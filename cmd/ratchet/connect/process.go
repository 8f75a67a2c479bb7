package connect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/ratchet-ota/ratchet/hal/linux"
	"github.com/ratchet-ota/ratchet/hal/linux/sandbox"
	"github.com/ratchet-ota/ratchet/hal/textfile"
	"github.com/ratchet-ota/ratchet/transport/network"
	"github.com/ratchet-ota/ratchet/transport/wire/pair"
)

// The descriptor by which the daemon speaks with the process.
const descriptor = 3

// Memory limits of the runtime, the second a soft one.
const (
	gcPercent   = 40
	memoryLimit = 16 << 20
)

// Process is `ratchet net`: it connects as the daemon that started it says, until that is gone or ctx ends.
func Process(ctx context.Context) error {
	conn, err := pair.Socket(os.NewFile(descriptor, "daemon"), true)
	if err != nil {
		return fmt.Errorf("this is started by `ratchet daemon`, which speaks with it over descriptor %d: %w",
			descriptor, err)
	}
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	go settle(ctx)
	return network.Serve(ctx, conn, begin)
}

// settle gives back, once, what only the start needed.
func settle(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(15 * time.Second):
		debug.FreeOSMemory()
		_ = linux.ReleaseText()
	}
}

// begin makes the connections that the daemon describes.
func begin(settings []byte, d *network.Daemon) (network.Parts, error) {
	s, err := Decode(settings)
	if err != nil {
		return network.Parts{}, fmt.Errorf("internal error: the settings: %w", err)
	}
	for name, value := range s.Environment {
		if err := os.Setenv(name, value); err != nil { // whom the system trusts
			return network.Parts{}, err
		}
	}
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.LogLevel))
	c := New(s, reader(d), d.Sign, slog.New(d.Handler(level)))
	p := network.Parts{Features: Confine(s), Problems: func() (all []pair.Problem) {
		for _, err := range c.Problems() {
			p := pair.Problem{Text: err.Error()}
			if key := (*KeyError)(nil); errors.As(err, &key) {
				p.Key, p.Text = key.Key, key.Err.Error()
			}
			all = append(all, p)
		}
		return all
	}}
	if c.Fleet != nil {
		p.Fleet = c.Fleet
	}
	if c.Images != nil {
		p.Source = c.Images.Source
	}
	return p, nil
}

// maxData is the most memory that the process may have, in bytes: several times what it needs.
const maxData = 256 << 20

// Confine confines this process, `ratchet net`, for good. Nothing has been connected to yet.
func Confine(s Settings) (all []pair.Feature) {
	for _, f := range sandbox.Confine(sandbox.Policy{Files: 1, Network: true, Read: true, Memory: maxData,
		Without: s.Without}) {
		all = append(all, pair.Feature(f))
	}
	return all
}

// reader reads what the daemon opens.
func reader(d *network.Daemon) Reader {
	var reads network.Pending
	return func(path string, limit int) ([]byte, error) {
		f, err := d.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close() // which waits for no read
		file, ok := f.(*os.File)
		if !ok {
			return nil, errors.New("internal error: no descriptor")
		}
		return network.Within(&reads, path, func() ([]byte, error) { return textfile.From(file, path, limit) },
			func([]byte) {})
	}
}
