package agent

import (
	"bytes"
	"context"
	"io"

	"github.com/ratchet-ota/ratchet/agent/cipher"
	"github.com/ratchet-ota/ratchet/agent/console"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// content is a payload inside the envelope. Its bytes are bounded by the envelope's size.
type content []byte

var _ slots.Source = content(nil)

// Open returns the bytes from off on.
func (c content) Open(_ context.Context, off int64, _ string) (io.ReadCloser, string, error) {
	if off < 0 || off > int64(len(c)) {
		return nil, "", errorf("cannot read integrated payload at %d: it has %d bytes", off, len(c))
	}
	return io.NopCloser(bytes.NewReader(c[off:])), "", nil
}

// source is where an image comes from: inside the envelope, from a technician's hand, or the network.
//
// What is encrypted is decrypted on its way: the content key is unwrapped here, before anything is
// disabled or erased for it.
func (e *errand) source(i manifest.Install) (slots.Source, error) {
	src, err := e.payload(i)
	if err != nil || i.Encryption.IsZero() {
		return src, err
	}
	stream, err := cipher.Unwrap(i.Encryption, e.o.Decrypt)
	if err != nil {
		return nil, err
	}
	return stream.Source(src), nil
}

func (e *errand) payload(i manifest.Install) (slots.Source, error) {
	switch {
	case i.From != "":
		return nil, errorf("%w: a copy of component %s", errNoCopy, i.From)
	case i.Content != nil:
		return content(i.Content), nil
	case e.s.Rec.Ext.Local:
		if s := e.local[console.PayloadName(i.URI)]; s != nil {
			return s, nil
		}
		return nil, errorf("%w: the file %s was handed over to a daemon that has ended since",
			errInterrupted, console.PayloadName(i.URI))
	case e.o.Fetch == nil:
		return nil, errorf("%w: no network is configured", transport.ErrForbidden)
	}
	return e.o.Fetch(append([]string{i.URI}, i.Mirrors...), i.PayloadSize)
}
