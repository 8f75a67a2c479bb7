package wire

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/connect"
	"github.com/ratchet-ota/ratchet/hal/linux"
	"github.com/ratchet-ota/ratchet/hal/textfile"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport/network"
	"github.com/ratchet-ota/ratchet/transport/wire/pair"
)

// LastGood is the copy of the configuration that worked last, in the state directory dir. The daemon keeps it.
func LastGood(dir string) string { return filepath.Join(dir, "last-good.toml") }

// settings are what connections are made of. The clock has been where the configuration worked last.
func settings(c *config.Config) connect.Settings {
	var floor time.Time
	if st, err := os.Stat(LastGood(c.State.Directory)); err == nil {
		floor = st.ModTime()
	}
	return connect.Of(c, floor)
}

// keyed is an error of package connect, with the line of its key.
func keyed(c *config.Config, err error) error {
	var k *connect.KeyError
	if errors.As(err, &k) && k.Key != "" {
		return c.Errorf(k.Key, "%v", k.Err)
	}
	return err
}

// Network wires the process that holds all connections, nil where there is nobody to connect to, and returns what
// of the configuration cannot be used for it.
func Network(o *agent.Options, c *config.Config, log *slog.Logger) (*network.Process, []error) {
	s := settings(c)
	// For its rules: nothing is read or dialled.
	made := connect.New(s, textfile.Read, noSignature, slog.New(slog.DiscardHandler))
	var bad []error
	for _, err := range made.Bad {
		log.Error("the network cannot be used as it is configured", "error", err)
		bad = append(bad, keyed(c, err))
	}
	files := s.Files()
	p, err := network.New(network.Options{
		Start:    func() (network.Child, error) { return startNetwork(c, s) },
		Settings: func() ([]byte, error) { return settings(c).Encode() },
		Admit:    made.Admit,
		Open: func(path string) (pair.File, error) {
			if !files[path] {
				return nil, fmt.Errorf("%s is not a file that the configuration names for connections", path)
			}
			return textfile.Open(path)
		},
		Sign: func(ctx context.Context, name string, hash uint, digest []byte) ([]byte, error) {
			return signClient(ctx, c, name, hash, digest)
		},
		Pipe: pipe,
		Lazy: made.Fleet == nil,
		Log:  log,
	})
	if err != nil {
		return nil, append(bad, err)
	}
	if made.Images != nil {
		o.Fetch = func(urls []string, size int64) (slots.Source, error) {
			if err := made.Admit(urls, size); err != nil {
				return nil, err
			}
			return p.Source(urls, size), nil
		}
	}
	if c.MQTT != nil {
		o.Channel = c.MQTT.Channel
	}
	if made.Fleet != nil {
		o.Inbox, o.Outbox, o.Online, o.Offline, o.AskRoot = p, p, p.Online, p.Trouble, p.AskRoot
	}
	return p, bad
}

// noSignature stands where nothing is dialled.
func noSignature(name string, _ []byte, _ crypto.Hash) ([]byte, error) {
	return nil, fmt.Errorf("internal error: %s signs for nobody here", name)
}

// pipe is what a payload comes through. It is made large, where the kernel lets it be: the two processes wake each
// other less often.
func pipe() (r, w pair.File, err error) {
	from, to, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	linux.LargePipe(to)
	return from, to, nil
}

// unusable is what the network process cannot use now, and why the process itself is of no use.
func unusable(c *config.Config, p *network.Process) (errs []error) {
	all, err := p.Problems(context.Background())
	if err != nil {
		errs = append(errs, fmt.Errorf("the network process: %w", err))
	}
	for _, x := range all {
		errs = append(errs, keyed(c, &connect.KeyError{Key: x.Key, Err: errors.New(x.Text)}))
	}
	return errs
}
