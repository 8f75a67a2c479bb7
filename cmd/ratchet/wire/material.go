package wire

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/hal/textfile"
	"github.com/ratchet-ota/ratchet/transport/secure"
)

// material is what connections are made of: certificates, keys and secrets in files, read again at each connection.
type material struct {
	c     *config.Config
	looks []func() error // each says why a file cannot be used as it is now
}

// problems are the files that cannot be used as they are now.
func (m *material) problems() (errs []error) {
	for _, look := range m.looks {
		if err := look(); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// keep reads again each time, and looks after what is read.
func keep[T any](m *material, read func() (T, error)) func() (T, error) {
	k := secure.Keep(read)
	m.looks = append(m.looks, k.Problem)
	return k.Get
}

// tls is a client's TLS of these files, with a clock that can be believed. They are named by the keys of a table,
// which is given with a dot behind it.
func (m *material) tls(table string, files secure.Files) func() (*tls.Config, error) {
	live := files.Live()
	m.looks = append(m.looks, func() error {
		authorities, pair := live.Problems()
		if authorities != nil {
			authorities = m.c.Errorf(table+"ca", "%v", authorities)
		}
		if pair != nil {
			key := "certificate"
			if files.Certificate == "" {
				key = "key"
			}
			pair = m.c.Errorf(table+key, "%v", pair)
		}
		return errors.Join(authorities, pair)
	})
	return func() (*tls.Config, error) {
		t, err := live.Config()
		if err != nil {
			return nil, err
		}
		t.Time = believable(time.Now)
		return t, nil
	}
}

// secret is what the file of a password says.
func (m *material) secret(key, path string) func() ([]byte, error) {
	return keep(m, func() ([]byte, error) {
		b, err := secret(path)
		if err != nil {
			return nil, m.c.Errorf(key, "%v", err)
		}
		return b, nil
	})
}

// What the configuration's files may have, in bytes.
const (
	maxSecret   = 16 << 10  // a password, a token, a word
	maxKey      = 64 << 10  // a key
	maxFwEnv    = 256 << 10 // fw_env.config; what is beyond its own limit is told by its parser
	maxDefaults = 1 << 20   // the default environment
)

// secret reads a password or a token, without the line break at its end. An empty file is being written, or forgotten.
func secret(path string) ([]byte, error) {
	b, err := textfile.Read(path, maxSecret)
	if err != nil {
		return nil, err
	}
	b = bytes.TrimRight(withoutMark(b), "\r\n")
	if len(b) == 0 {
		return nil, fmt.Errorf("%s is empty", path)
	}
	return b, nil
}

// withoutMark is a text without the byte order mark that some editors put before it.
func withoutMark(b []byte) []byte { return bytes.TrimPrefix(b, []byte("\ufeff")) }
