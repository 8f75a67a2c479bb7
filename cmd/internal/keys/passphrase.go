package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unicode/utf8"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/cmd/internal/pbes2"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
)

// Lengths of a passphrase. OpenSSL reads no longer one.
const (
	leastPassphrase = 8    // characters, of a new one
	maxPassphrase   = 1023 // bytes
	tries           = 3    // on a terminal
)

// Lock says how private keys that are made are protected.
type Lock struct {
	Plain bool   // not encrypted
	File  string // what holds the passphrase, as Source.Passphrase; "": it is asked for on the terminal
}

// Begin asks for the passphrase, once for all keys that are made now, and returns what each key gets:
// nil where it is not to be encrypted. Without a terminal and without a file that is all of them, and a
// warning says so.
func (l Lock) Begin(ctx context.Context, c cli.Console, what string) (func(path string) ([]byte, error), error) {
	always := func(b []byte) func(string) ([]byte, error) {
		return func(string) ([]byte, error) { return b, nil }
	}
	switch {
	case l.Plain && l.File != "":
		return nil, cli.Usage("--plain and a file with a passphrase contradict each other: give one of them")
	case l.Plain:
		return always(nil), nil
	case l.File != "":
		read := func(path string) ([]byte, error) {
			b, err := readPassphrase(c, l.File, path)
			if err == nil {
				err = longEnough(b)
			}
			return b, err
		}
		if st, err := os.Stat(l.File); err == nil && st.IsDir() {
			return read, nil
		}
		b, err := read("") // once: it may be a pipe
		return always(b), err
	}
	if !screen.Terminal(c.In) {
		c.Warn("%s: not encrypted, because there is no terminal to ask for a passphrase. Give --passphrase-file FILE, "+
			"or encrypt later: ratchet-release keys passphrase KEY.pem", what)
		return always(nil), nil
	}
	b, err := askNew(ctx, c, what)
	return always(b), err
}

// askNew asks twice for a new passphrase.
func askNew(ctx context.Context, c cli.Console, what string) ([]byte, error) {
	in, ask, done, ok := terminalOf(c)
	if !ok {
		return nil, errors.New("there is no terminal to ask for a passphrase") // Begin has seen one
	}
	defer done()
	for range tries {
		one, err := hidden(ctx, in, ask, "New passphrase for "+what+": ")
		if err == nil {
			err = valid(one)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot take a passphrase: %w", err)
		}
		if err := longEnough(one); err != nil {
			c.Warn("%v", err)
			continue
		}
		two, err := hidden(ctx, in, ask, "The same again: ")
		if err != nil {
			return nil, fmt.Errorf("cannot take a passphrase: %w", err)
		}
		if bytes.Equal(one, two) {
			return one, nil
		}
		c.Warn("the two passphrases differ")
	}
	return nil, errors.New("no passphrase was given; nothing was written")
}

func longEnough(b []byte) error {
	if utf8.RuneCount(b) < leastPassphrase {
		return fmt.Errorf("a passphrase has at least %d characters; several random words are better than a short one "+
			"with signs in it (--plain makes a key that is not encrypted)", leastPassphrase)
	}
	return nil
}

func valid(b []byte) error {
	if len(b) > maxPassphrase {
		return fmt.Errorf("it has more than %d bytes", maxPassphrase)
	}
	return nil
}

// readPassphrase reads the passphrase of a key from a file, or from the file of its name in a directory.
// It is one line; its end does not count.
func readPassphrase(c cli.Console, path, key string) ([]byte, error) {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		name := strings.TrimSuffix(filepath.Base(key), ".pem")
		path = filepath.Join(path, name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("no passphrase for %s: there is no file %s", key, path)
		}
	}
	b, err := files.ReadInput(c.In, path, maxPassphrase+2, "passphrase")
	if err != nil {
		return nil, err
	}
	b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	switch {
	case len(b) == 0:
		return nil, fmt.Errorf("cannot read passphrase from %s: its line is empty", path)
	case bytes.ContainsAny(b, "\n\r\x00"):
		return nil, fmt.Errorf("cannot read passphrase from %s: it is more than one line of text", path)
	}
	if err := valid(b); err != nil {
		return nil, fmt.Errorf("cannot read passphrase from %s: %w", path, err)
	}
	if path != "-" {
		warnOpen(c, path, "a passphrase", "chmod 600 "+path)
	}
	return b, nil
}

// warnOpen warns of a secret file that others can read.
func warnOpen(c cli.Console, path, what, then string) {
	st, err := os.Stat(path)
	if err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o044 != 0 && runtime.GOOS != "windows" {
		c.Warn("%s is %s that others can read (mode %04o): %s", path, what, st.Mode().Perm(), then)
	}
}

// open opens an encrypted key: with the passphrase from the file, or asked for on the terminal.
func (s Source) open(ctx context.Context, c cli.Console, box pbes2.Sealed) ([]byte, error) {
	if s.Passphrase != "" {
		pass, err := readPassphrase(c, s.Passphrase, s.Path)
		if err != nil {
			return nil, err
		}
		der, err := box.Open(pass)
		if err != nil {
			return nil, fmt.Errorf("the passphrase is from %s: %w", s.Passphrase, err)
		}
		return der, nil
	}
	terminal, ask, done, ok := terminalOf(c)
	if !ok {
		return nil, errors.New("it is encrypted, and there is no terminal to ask for its passphrase: " +
			"give --passphrase-file FILE")
	}
	defer done()
	for left := tries - 1; ; left-- {
		pass, err := hidden(ctx, terminal, ask, "Passphrase of "+s.Path+": ")
		if err != nil {
			return nil, err
		}
		der, err := box.Open(pass)
		if !errors.Is(err, pbes2.ErrPassphrase) || left == 0 {
			return der, err
		}
		c.Warn("%s: %v", s.Path, err)
	}
}

// terminalOf is where a person can be asked: standard input, or else the terminal that the program was
// started from, as when a document is piped into it. A Console that reads no file has none.
func terminalOf(c cli.Console) (terminal *os.File, ask io.Writer, done func(), ok bool) {
	in, ok := c.In.(*os.File)
	if !ok {
		return nil, nil, nil, false
	}
	if screen.Terminal(in) {
		if screen.Terminal(c.Err) {
			return in, c.Err, func() {}, true
		}
		return in, in, func() {}, true
	}
	f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, nil, nil, false
	}
	return f, f, func() { f.Close() }, true
}
