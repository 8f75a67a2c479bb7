package connect

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/hal/textfile"
	"github.com/ratchet-ota/ratchet/transport/secure"
)

// maxSecret is the most that the file of a password or a token may have, in bytes.
const maxSecret = 16 << 10

// KeyError is an error about the value of a key of the configuration.
type KeyError struct {
	Key string
	Err error
}

func (e *KeyError) Error() string { return e.Key + ": " + e.Err.Error() }

// Unwrap is what is wrong with the value.
func (e *KeyError) Unwrap() error { return e.Err }

func about(key string, err error) error {
	var known *KeyError
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &KeyError{key, err}
}

// Reader reads a file of at most limit bytes.
type Reader func(path string, limit int) ([]byte, error)

// Signer signs a digest with a client key that is in no file, by the name that the configuration has for it.
type Signer func(name string, digest []byte, hash crypto.Hash) ([]byte, error)

// material is what connections are made of: certificates, keys and secrets in files, read again at each connection.
type material struct {
	read  Reader
	sign  Signer
	looks []func() []error // each says why a file cannot be used as it is now
}

// keep reads again each time, and looks after what is read.
func keep[T any](m *material, key string, read func() (T, error)) func() (T, error) {
	k := secure.Keep(read)
	m.looks = append(m.looks, func() []error { return []error{about(key, k.Problem())} })
	return func() (T, error) {
		v, err := k.Get()
		return v, about(key, err)
	}
}

// tls is a client's TLS of these files, with a clock that can be believed. They are named by the keys of a table,
// which is given with a dot behind it.
//
//go:noinline
func (m *material) tls(table string, files secure.Files) func() (*tls.Config, error) {
	live := m.files(files).Live()
	m.looks = append(m.looks, func() []error {
		authorities, pair := live.Problems()
		if files.CA == "" {
			authorities = systemAuthorities()
		}
		key := "certificate"
		if files.Certificate == "" {
			key = "key"
		}
		return []error{about(table+"ca", authorities), about(table+key, pair)}
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

// SystemFiles are where the package crypto/x509 looks for the authorities that the system trusts, unless
// SSL_CERT_FILE names another file. It takes the first one that it can read.
func SystemFiles() []string {
	if file := os.Getenv("SSL_CERT_FILE"); file != "" {
		return []string{file}
	}
	return []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem", "/etc/pki/tls/cacert.pem", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
		"/etc/ssl/cert.pem"}
}

// systemAuthorities says what of the authorities that the system trusts cannot be read: the process that connects reads
// them as its user, and not through the daemon. What is not there is no error.
func systemAuthorities() error {
	tell := func(err error) error {
		return fmt.Errorf("the network process cannot read whom the system trusts: %w; let its user read it, "+
			"or name a file here, which the daemon reads", err)
	}
	for _, path := range SystemFiles() {
		err := try(path, func(f *os.File) error { _, err := f.Read(make([]byte, 1)); return err })
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return tell(err)
		}
	}
	for _, path := range filepath.SplitList(os.Getenv("SSL_CERT_DIR")) {
		err := try(path, func(f *os.File) error { _, err := f.Readdirnames(1); return err })
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return tell(err)
		}
	}
	return nil
}

func try(path string, read func(*os.File) error) error {
	f, err := textfile.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err = read(f); errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// files are read and, where a key is in the TPM, signed with by the daemon.
func (m *material) files(f secure.Files) secure.Files {
	if f.Read = m.read; config.InTPM(f.Key) {
		f.Sign = m.sign
	}
	return f
}

// secret is what the file of a password says.
//
//go:noinline
func (m *material) secret(key, path string) func() ([]byte, error) {
	return keep(m, key, func() ([]byte, error) { return m.word(path) })
}

// word reads a password or a token, without the line break at its end. An empty file is being written, or forgotten.
func (m *material) word(path string) ([]byte, error) {
	b, err := m.read(path, maxSecret)
	if err != nil {
		return nil, err
	}
	b = bytes.TrimRight(bytes.TrimPrefix(b, []byte("\ufeff")), "\r\n") // some editors put a mark before it
	if len(b) == 0 {
		return nil, fmt.Errorf("%s is empty", path)
	}
	return b, nil
}
