package agent

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/ratchet-ota/ratchet/slots"
)

// content is a payload inside the envelope. Its bytes are bounded by the envelope's size.
type content []byte

var _ slots.Source = content(nil)

// Open returns the bytes from off on.
func (c content) Open(_ context.Context, off int64, _ string) (io.ReadCloser, string, error) {
	if off < 0 || off > int64(len(c)) {
		return nil, "", fmt.Errorf("cannot read integrated payload at %d: it has %d bytes", off, len(c))
	}
	return io.NopCloser(bytes.NewReader(c[off:])), "", nil
}
