package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode"

	"github.com/ratchet-ota/ratchet/transport"
)

// Bundle is an envelope file and the directory in which its payloads are.
type Bundle struct {
	envelope *os.File
	dir      *os.Root
}

// OpenBundle opens the envelope at name. Nothing of it is read yet, let alone believed.
func OpenBundle(name string) (*Bundle, error) {
	info, err := os.Stat(name) // before it is opened: opening a device or a pipe has effects
	if err == nil {
		err = kind(info)
	}
	if err != nil {
		return nil, errorf("cannot open envelope %s: %w", printable(name), plain(err))
	}
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, errorf("cannot open envelope %s: %w", printable(name), plain(err))
	}
	dir, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		f.Close()
		return nil, errorf("cannot open the directory of %s: %w", printable(name), plain(err))
	}
	return &Bundle{envelope: f, dir: dir}, nil
}

// Envelope is the envelope's file, to be handed to the daemon. It stays the bundle's.
func (b *Bundle) Envelope() *os.File { return b.envelope }

// Payload opens the payload that is meant by uris (its address and mirrors); the file is the
// caller's. fs.ErrNotExist when it is not beside the envelope.
func (b *Bundle) Payload(uris []string) (*os.File, error) { return OpenLocal(b.dir, uris) }

// Close closes the envelope and the directory, no payload.
func (b *Bundle) Close() error { return errors.Join(b.envelope.Close(), b.dir.Close()) }

// ReadEnvelope reads a whole envelope, 1 to transport.MaxMessage bytes, from a regular file that is
// open for reading, wherever its offset stands. The file stays the caller's.
func ReadEnvelope(f *os.File) (transport.Message, error) {
	size, err := regular(f)
	if err != nil {
		return transport.Message{}, errorf("cannot read envelope %s: %w", name(f), err)
	}
	if size == 0 || size > transport.MaxMessage {
		return transport.Message{}, errorf("cannot read envelope %s: it has %d bytes, an envelope has 1 "+
			"to %d; is this the payload?",
			name(f), size, transport.MaxMessage)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil {
		return transport.Message{}, errorf("cannot read envelope %s: %w", name(f), err)
	}
	return transport.Message{Kind: transport.Offer, Origin: "file:" + name(f), Body: b}, nil
}

// OpenLocal opens the first regular file in dir that is named as the last path element of one of
// uris. A name is one plain element: it cannot lead out of dir, and neither can a symbolic link
// (os.Root). fs.ErrNotExist when there is none, transport.ErrForbidden when no URI has such a name.
func OpenLocal(dir *os.Root, uris []string) (*os.File, error) {
	var tried []string
	refused := errors.New("no address is given")
	for _, uri := range uris {
		name, err := LocalName(uri)
		if err != nil {
			refused = err
			continue
		}
		f, err := openIn(dir, name)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, errorf("cannot open payload %s: %w", printable(name), plain(err))
		}
		tried = append(tried, printable(name))
	}
	if len(tried) > 0 {
		return nil, errorf("cannot find payload %s beside the envelope: %w",
			strings.Join(tried, " or "), fs.ErrNotExist)
	}
	return nil, errorf("cannot find payload beside the envelope: %w: %w", transport.ErrForbidden, refused)
}

func openIn(dir *os.Root, name string) (*os.File, error) {
	info, err := dir.Stat(name) // before it is opened: opening a device or a pipe has effects
	if err != nil {
		return nil, err
	}
	if err := kind(info); err != nil {
		return nil, err
	}
	f, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if _, err := regular(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// LocalName is transport.LocalName.
func LocalName(uri string) (string, error) { return transport.LocalName(uri) }

// name is the base name of a file, fit for a log and for evidence.
func name(f *os.File) string { return printable(filepath.Base(f.Name())) }

// printable replaces what a terminal would act on, and clips.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if len(s) > 255 {
		s = strings.ToValidUTF8(s[:252], "") + "..."
	}
	return s
}

// plain drops the operation and path that os puts before an error: the message names the file.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
