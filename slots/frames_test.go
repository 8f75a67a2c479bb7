package slots_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/ratchet-ota/ratchet/slots"
)

// encode makes one frame of another program's kind.
func encode(t testing.TB, content []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	var b bytes.Buffer
	e, err := zstd.NewWriter(&b, append([]zstd.EOption{zstd.WithEncoderConcurrency(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestFrames(t *testing.T) {
	content := pattern(14, 300*kib)
	a, b := content[:100*kib], content[100*kib:]
	stream := zstd.WithWindowSize(128 * kib) // streamed: no content size in the header
	frameA, frameB := encode(t, a, stream), encode(t, b, stream)
	large := make([]byte, slots.MaxFrame+1)
	dict := zstd.WithEncoderDictRaw(7, []byte(strings.Repeat("some words to refer to ", 9)))
	flipped := bytes.Clone(frameB)
	flipped[len(flipped)-9] ^= 4
	for _, tc := range []struct {
		name    string
		content []byte
		payload []byte
		want    error
		text    string
	}{
		{"streamed frames", content, concat(frameA, frameB), nil, ""},
		{"no checksum", content, encode(t, content, stream, zstd.WithEncoderCRC(false)), nil, ""},
		{"frames at odd positions",
			content, concat(encode(t, content[:5]), encode(t, content[5:77777]), encode(t, content[77777:])), nil, ""},
		{"largest frame", large[1:], encode(t, large[1:], zstd.WithWindowSize(slots.MaxFrame)), nil, ""},
		{"frame too large", large, encode(t, large), slots.ErrEncoding, "frame at payload byte 0"},
		{"window too large", content, encode(t, content, zstd.WithWindowSize(2*slots.MaxFrame)), slots.ErrEncoding,
			"window of 16777216"},
		{"dictionary", content, concat(frameA, encode(t, b, dict)), slots.ErrEncoding, "dictionary"},
		{"empty frame", content, concat(frameA, encode(t, nil, zstd.WithZeroFrames(true)), frameB),
			slots.ErrEncoding, "without content"},
		{"skippable frame", content, concat(frameA, []byte("\x50\x2a\x4d\x18\x02\x00\x00\x00xx"), frameB),
			slots.ErrEncoding, "not a zstd frame"},
		{"garbage between", content, concat(frameA, []byte{0}, frameB), slots.ErrEncoding, "not a zstd frame"},
		{"garbage behind", content, concat(frameA, frameB, []byte("garbage")), slots.ErrEncoding, "more behind"},
		{"frame behind", content, concat(frameA, frameB, frameA), slots.ErrEncoding, "more behind"},
		{"flipped bit", content, concat(frameA, flipped), slots.ErrEncoding, ""},
		{"cut in header", content, concat(frameA, frameB[:5]), slots.ErrShort, ""},
		{"cut in block", content, concat(frameA, frameB[:len(frameB)-20]), slots.ErrShort, ""},
		{"cut in checksum", content, concat(frameA, frameB[:len(frameB)-2]), slots.ErrShort, ""},
		{"endless empty blocks",
			content, concat(frameA, frameB[:6], bytes.Repeat([]byte{0, 0, 0}, 3<<20)), slots.ErrEncoding, ""},
		{"reserved block type", content, concat(frameA, frameB[:6], []byte{7, 0, 0}), slots.ErrEncoding, ""},
	} {
		for place, unpack := range places {
			t.Run(tc.name+" "+place, func(t *testing.T) {
				img := rawImage(tc.content)
				img.Encoding, img.PayloadSize = slots.Zstd, int64(len(tc.payload))
				r := newRig(t, 1, slots.MaxFrame+1<<20)
				var s saves
				_, err := slots.Write(t.Context(), r.open(), img, &source{data: tc.payload},
					slots.Options{Every: 32 * kib, Save: s.save, Unpack: unpack})
				if !errors.Is(err, tc.want) || (err != nil && !strings.Contains(err.Error(), tc.text)) {
					t.Fatalf("got %v, want %v %q", err, tc.want, tc.text)
				}
				if tc.want == nil {
					r.holds(tc.content)
				}
				for _, c := range s.list {
					if c.Written%4096 != 0 && c.Written != img.Size {
						t.Errorf("checkpoint at %d", c.Written)
					}
				}
			})
		}
	}
}

// Damage in one frame costs that frame, not the image: what came before stays, and another source goes on.
func TestDamagedFrameResumes(t *testing.T) {
	content := pattern(15, 400*kib)
	img, payload := zstdImage(t, content, 32*kib)
	damaged := bytes.Clone(payload)
	damaged[len(damaged)*3/4] ^= 0x10
	for place, unpack := range places {
		t.Run(place, func(t *testing.T) { damagedResumes(t, img, content, damaged, payload, unpack) })
	}
}

func damagedResumes(t *testing.T, img slots.Image, content, damaged, payload []byte,
	unpack func() (slots.Unpacker, error)) {
	r := newRig(t, 1, 1<<20)
	m := r.open()
	var s saves
	if _, err := slots.Write(t.Context(), m, img, &source{data: damaged},
		slots.Options{Every: 128 * kib, Save: s.save, Unpack: unpack}); !errors.Is(err, slots.ErrEncoding) {
		t.Fatal(err)
	}
	res, err := slots.Write(t.Context(), m, img, &source{data: payload}, slots.Options{From: s.last(), Unpack: unpack})
	if err != nil {
		t.Fatal(err)
	}
	if res.Resumed < img.Size*3/4-64*kib {
		t.Errorf("resumed only at %d of %d", res.Resumed, img.Size)
	}
	r.holds(content)
}

// full is a sink that takes nothing.
type full struct{ err error }

func (f full) Write([]byte) (int, error) { return 0, f.err }

func TestCompress(t *testing.T) {
	content := pattern(16, 9*64*kib+5)
	var one, two bytes.Buffer
	for _, b := range []*bytes.Buffer{&one, &two} {
		if err := slots.Compress(b, bytes.NewReader(content), 64*kib, 9); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("two runs differ")
	}
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := dec.DecodeAll(one.Bytes(), nil); err != nil || !bytes.Equal(got, content) {
		t.Errorf("another decoder: %v", err)
	}
	for _, tc := range []struct {
		frame int64
		level int
		in    string
		says  string // "": taken
	}{
		{4096, 1, "x", ""}, {slots.MaxFrame, 22, "x", ""}, {0, 3, "x", ""},
		{4095, 3, "x", "frames of 4095 bytes"}, {-4096, 3, "x", "frames of -4096 bytes"},
		{slots.MaxFrame + 4096, 3, "x", "at most 8388608"}, {4096, 0, "x", "level 0"}, {4096, 23, "x", "level 23"},
		{4096, 3, "", "the image is empty"},
	} {
		err := slots.Compress(&one, strings.NewReader(tc.in), tc.frame, tc.level)
		if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%+v: %v", tc, err)
		}
	}
	// No size: frames of DefaultFrame, each decoded by itself.
	var standard, chosen bytes.Buffer
	big := pattern(17, slots.DefaultFrame+1)
	if err := errors.Join(slots.Compress(&standard, bytes.NewReader(big), 0, 1),
		slots.Compress(&chosen, bytes.NewReader(big), slots.DefaultFrame, 1)); err != nil ||
		!bytes.Equal(standard.Bytes(), chosen.Bytes()) {
		t.Errorf("frames of no size differ from those of %d bytes: %v", slots.DefaultFrame, err)
	}
	broken := errors.New("input/output error")
	if err := slots.Compress(&one, iotest.ErrReader(broken), 4096, 3); !errors.Is(err, broken) {
		t.Errorf("a source that fails: %v", err)
	}
	if err := slots.Compress(full{broken}, strings.NewReader("x"), 4096, 3); !errors.Is(err, broken) {
		t.Errorf("a sink that fails: %v", err)
	}
}

// FuzzZstd feeds payloads from outside: never a panic, never more than the image, and what was
// written is what another decoder makes of it.
func FuzzZstd(f *testing.F) {
	content := pattern(17, 70*kib)
	whole := encode(f, content[:20*kib], zstd.WithWindowSize(16*kib))
	var frames bytes.Buffer
	if err := slots.Compress(&frames, bytes.NewReader(content), 16*kib, 3); err != nil {
		f.Fatal(err)
	}
	f.Add(whole, uint32(20*kib))
	f.Add(frames.Bytes(), uint32(len(content)))
	f.Add(frames.Bytes()[:frames.Len()-3], uint32(len(content)))
	f.Add([]byte("\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00"), uint32(1))
	f.Add([]byte("\x28\xb5\x2f\xfd\x04\x58\x00\x00\x00\x01\x00\x00"), uint32(1))
	f.Add([]byte("\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), uint32(1))
	f.Fuzz(func(t *testing.T, payload []byte, size uint32) {
		img := slots.Image{Alg: slots.SHA256, Digest: make([]byte, 32), Size: int64(size%(128*kib)) + 1,
			Encoding: slots.Zstd}
		r := newRig(t, 1, 128*kib)
		res, err := slots.Write(context.Background(), r.open(), img, &source{data: payload},
			slots.Options{Every: 32 * kib})
		if err == nil {
			t.Fatal("a wrong digest was taken")
		}
		if res.Written > img.Size || res.Fetched > int64(len(payload)) {
			t.Fatalf("%+v of %d", res, img.Size)
		}
		both(t, img, payload, slots.Options{Every: 32 * kib})
		if !errors.Is(err, slots.ErrDigest) {
			return
		}
		dec, e := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		if e != nil {
			t.Fatal(e)
		}
		defer dec.Close()
		want, e := dec.DecodeAll(payload, nil)
		if e != nil {
			t.Fatalf("taken, but another decoder says: %v", e)
		}
		if int64(len(want)) != img.Size {
			t.Fatalf("taken %d bytes, another decoder has %d", img.Size, len(want))
		}
		r.holds(want)
	})
}
