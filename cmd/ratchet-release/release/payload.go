package release

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/slots"
)

// Names of payloads: the SHA-256 of the payload in hex, and how it is encoded.
const (
	rawSuffix  = ".img"
	zstdSuffix = ".img.zst"
)

// payload is an image as it is offered.
type payload struct {
	name        string // file name
	image       manifest.Digest
	size        int64 // of the image
	payloadSize int64
	encoding    int
	warning     string // what may be a mistake, "" = nothing
}

// makePayload turns an image file into a payload in dir, in one pass and bounded memory. The image
// is hashed as it is read, so that its digest is that of the bytes in the payload whatever happens
// to the file meanwhile.
//
// Crash: before the rename -> a hidden temporary file; after -> the payload under its digest's name.
func makePayload(ctx context.Context, file, dir string, compress bool, level int) (payload, error) {
	f, err := os.Open(file)
	if err != nil {
		return payload{}, fmt.Errorf("cannot read image: %w", err)
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.IsDir() {
		return payload{}, fmt.Errorf("cannot read image %s: it is a directory; give one file", file)
	}
	t, err := files.NewTemp(filepath.Join(dir, "payload"), 0o644)
	if err != nil {
		return payload{}, err
	}
	defer t.Drop()
	p, sum, err := encode(ctx, t, f, compress, level)
	if err != nil {
		return payload{}, fmt.Errorf("cannot make a payload of %s: %w", file, err)
	}
	p.name = hex.EncodeToString(sum) + rawSuffix
	if compress {
		p.name = hex.EncodeToString(sum) + zstdSuffix
	}
	return p, t.Install(filepath.Join(dir, p.name))
}

// encode copies an image into a payload; sum is the payload's SHA-256.
func encode(ctx context.Context, dst io.Writer, src io.Reader,
	compress bool, level int) (p payload, sum []byte, err error) {
	image, out := sha256.New(), sha256.New()
	read, written := &counter{}, &counter{}
	in := io.TeeReader(files.Interruptible(ctx, src), io.MultiWriter(image, read))
	to := io.MultiWriter(dst, out, written)
	if compress {
		p.encoding = manifest.EncodingZstd
		err = slots.Compress(to, in, 0, level)
	} else {
		_, err = io.CopyBuffer(to, in, make([]byte, 1<<20))
	}
	if err != nil {
		return payload{}, nil, err
	}
	if read.n == 0 {
		return payload{}, nil, errors.New("the image is empty")
	}
	p.image = manifest.Digest{Alg: manifest.SHA256, Sum: string(image.Sum(nil))}
	p.size, p.payloadSize, p.warning = read.n, written.n, read.packed()
	return p, out.Sum(nil), nil
}

// counter counts bytes and keeps the first few.
type counter struct {
	n    int64
	head []byte
}

func (c *counter) Write(p []byte) (int, error) {
	if room := 6 - len(c.head); room > 0 {
		c.head = append(c.head, p[:min(room, len(p))]...)
	}
	c.n += int64(len(p))
	return len(p), nil
}

// packed recognises an image that is a compressed file: a slot cannot boot that.
func (c *counter) packed() string {
	for magic, name := range map[string]string{"\x28\xb5\x2f\xfd": "zstd", "\x1f\x8b": "gzip", "\xfd7zXZ\x00": "xz"} {
		if strings.HasPrefix(string(c.head), magic) {
			return fmt.Sprintf("the image starts like a %s file; a slot gets it byte for byte: give the uncompressed "+
				"image, and let compress do the rest", name)
		}
	}
	return ""
}

// PayloadName returns the file name of a payload of ours that a URI ends in.
func PayloadName(uri string) (name string, ok bool) {
	name = uri[strings.LastIndexByte(uri, '/')+1:]
	digits, found := strings.CutSuffix(name, zstdSuffix)
	if !found {
		digits, found = strings.CutSuffix(name, rawSuffix)
	}
	b, err := hex.DecodeString(digits)
	return name, found && err == nil && len(b) == sha256.Size && strings.ToLower(digits) == digits
}

// checkPayload reads a payload the way a device does, decoding and all, and compares the image with
// the manifest. Nothing is written.
func checkPayload(ctx context.Context, from slots.Source, in manifest.Install) error {
	img := slots.Image{
		Alg: in.Image.Alg, Digest: []byte(in.Image.Sum), Size: in.Size,
		Encoding: slots.Encoding(in.Encoding), PayloadSize: in.PayloadSize,
	}
	_, err := slots.Write(ctx, void{in.Size}, img, from, slots.Options{})
	return err
}

// FileSource is a payload file as slots.Source.
type FileSource string

// Open opens the file at an offset; it does not change while it is read, or its digest is wrong.
func (s FileSource) Open(_ context.Context, off int64, _ string) (io.ReadCloser, string, error) {
	f, err := os.Open(string(s))
	if err != nil {
		return nil, "", err
	}
	if _, err := f.Seek(off, io.SeekStart); err != nil {
		f.Close()
		return nil, "", err
	}
	return f, "", nil
}

// ContentSource is an embedded payload as slots.Source.
type ContentSource []byte

// Open opens the content at an offset.
func (s ContentSource) Open(_ context.Context, off int64, _ string) (io.ReadCloser, string, error) {
	return io.NopCloser(bytes.NewReader(s[min(off, int64(len(s))):])), "", nil
}

// void is a medium that takes everything and keeps nothing.
type void struct{ size int64 }

func (void) ReadAt([]byte, int64) (int, error)            { return 0, errors.ErrUnsupported }
func (void) WriteAt(p []byte, _ int64) (n int, err error) { return len(p), nil }
func (void) Sync() error                                  { return nil }
func (void) Close() error                                 { return nil }

// Size is that of the image, with room for the alignment of the last write.
func (v void) Size() int64 { return (v.size + 1<<20) &^ (1<<20 - 1) }
