package slots_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/slots"
)

func TestWriteSizes(t *testing.T) {
	const every = 64 * kib
	for _, slot := range []int64{1 << 20, 1<<20 + 512, 1<<20 + 3584} {
		for _, size := range []int64{1, 511, 512, 4095, 4096, 4097, every - 1, every, every + 1, 300*kib + 7, 1<<20 - 1,
			1 << 20, slot - 511, slot} {
			for _, enc := range []slots.Encoding{slots.Raw, slots.Zstd} {
				t.Run(fmt.Sprintf("%d in %d, encoding %d", size, slot, enc), func(t *testing.T) {
					content := pattern(uint64(size), int(size))
					img, payload := rawImage(content), content
					if enc == slots.Zstd {
						img, payload = zstdImage(t, content, 16*kib)
					}
					r := newRig(t, 1, slot)
					r.Poke("b", 0, bytes.Repeat([]byte{0xff}, int(slot)))
					m := r.open()
					var s saves
					var p []slots.Progress
					res, err := slots.Write(t.Context(), m, img, &source{data: payload, validator: "v"},
						slots.Options{Every: every, Save: s.save,
							Progress: func(x slots.Progress) { p = append(p, x) }})
					if err != nil {
						t.Fatal(err)
					}
					if want := (slots.Result{Written: size, Fetched: int64(len(payload))}); res != want {
						t.Errorf("result %+v, want %+v", res, want)
					}
					r.holds(content)
					unit := int64(hal.Align)
					if size > slot-slot%hal.Align {
						unit = 512
					}
					end := (size + unit - 1) / unit * unit
					if pad := r.Disk("b", size, end-size); !bytes.Equal(pad, make([]byte, end-size)) {
						t.Error("padding is not zero")
					}
					if rest := r.Disk("b", end, slot-end); !bytes.Equal(rest,
						bytes.Repeat([]byte{0xff}, int(slot-end))) {
						t.Error("something was written behind the image")
					}
					last := s.last()
					if last == nil || last.Written != size || last.Payload != int64(len(payload)) ||
						last.Validator != "v" {
						t.Errorf("last checkpoint is %+v", last)
					}
					if len(p) == 0 || p[len(p)-1] != (slots.Progress{Written: size, Size: size,
						Fetched: int64(len(payload)), Payload: int64(len(payload))}) {
						t.Errorf("last progress is %+v", p)
					}
					if err := slots.Check(t.Context(), m, img, nil); err != nil {
						t.Error(err)
					}
					// A finished image needs no source.
					res, err = slots.Write(t.Context(), m, img, &source{openErr: errors.New("asked")},
						slots.Options{From: last})
					if err != nil || res.Fetched != 0 || res.Resumed != size {
						t.Errorf("again: %+v, %v", res, err)
					}
				})
			}
		}
	}
}

func TestWriteAlgorithms(t *testing.T) {
	content := pattern(3, 200*kib)
	long, short := sha512.Sum512(content), sha512.Sum384(content)
	for alg, sum := range map[int][]byte{slots.SHA512: long[:], slots.SHA384: short[:]} {
		img := slots.Image{Alg: alg, Digest: sum, Size: int64(len(content))}
		r := newRig(t, 1, 1<<20)
		m := r.open()
		var s saves
		if _, err := slots.Write(t.Context(), m, img, &source{data: content},
			slots.Options{Every: 64 * kib, Save: s.save}); err != nil {
			t.Fatal(alg, err)
		}
		if err := slots.Check(t.Context(), m, img, nil); err != nil {
			t.Fatal(alg, err)
		}
		if _, err := slots.Write(t.Context(), m, img, &source{data: content},
			slots.Options{Every: 64 * kib, From: &s.list[1]}); err != nil {
			t.Fatal(alg, err)
		}
	}
}

// Every checkpoint resumes, and fetches only what is missing.
func TestResumeAtEveryCheckpoint(t *testing.T) {
	content := pattern(4, 500*kib+77)
	for _, enc := range []slots.Encoding{slots.Raw, slots.Zstd} {
		img, payload := rawImage(content), content
		if enc == slots.Zstd {
			img, payload = zstdImage(t, content, 16*kib)
		}
		var s saves
		r := newRig(t, 1, 1<<20)
		if _, err := slots.Write(t.Context(), r.open(), img, &source{data: payload, validator: "etag"},
			slots.Options{Every: 64 * kib, Save: s.save}); err != nil {
			t.Fatal(err)
		}
		if n := len(s.list); n != 500/48+1 {
			t.Errorf("encoding %d: %d checkpoints in 500 KiB, want one in 48 KiB", enc, n)
		}
		for i, c := range s.list[:len(s.list)-1] {
			if c.Written != int64(i+1)*48*kib {
				t.Errorf("encoding %d: checkpoint %d at %d", enc, i, c.Written)
			}
			r := newRig(t, 1, 1<<20)
			r.Poke("b", 0, content[:c.Written])
			src := &source{data: payload, validator: "etag"}
			m := r.open()
			res, err := slots.Write(t.Context(), m, img, src, slots.Options{Every: 64 * kib, From: &c})
			if err != nil {
				t.Fatalf("encoding %d, checkpoint %d: %v", enc, i, err)
			}
			r.holds(content)
			want := slots.Result{Written: img.Size, Fetched: int64(len(payload)) - c.Payload, Resumed: c.Written}
			if res != want || src.fetched != want.Fetched {
				t.Errorf("encoding %d, checkpoint %d: %+v, want %+v; source sent %d", enc, i, res, want, src.fetched)
			}
			if !slices.Equal(src.opens, []int64{c.Payload}) || src.asked[0] != "etag" {
				t.Errorf("encoding %d, checkpoint %d: opened at %v with %q", enc, i, src.opens, src.asked)
			}
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	content := pattern(5, 100*kib)
	img := rawImage(content)
	zimg, zpayload := zstdImage(t, content, 16*kib)
	changed := errors.New("content has changed")
	broken := errors.New("connection reset")
	other := rawImage(pattern(6, 100*kib))
	with := func(i slots.Image, f func(*slots.Image)) slots.Image { f(&i); return i }
	for _, tc := range []struct {
		name string
		img  slots.Image
		src  *source
		want error
		text string
	}{
		{"digest", other, &source{data: content}, slots.ErrDigest, ""},
		{"short", img, &source{data: content[:50*kib+5]}, slots.ErrShort, "of 102400 bytes"},
		{"empty", img, &source{}, slots.ErrShort, ""},
		{"one byte too many",
			img, &source{data: append(content[:len(content):len(content)], 0)}, slots.ErrTooLarge, ""},
		{"endless", img, &source{data: content, endless: true}, slots.ErrTooLarge, ""},
		{"source changed", img, &source{openErr: changed}, changed, "cannot open payload at byte 0"},
		{"connection lost", img, &source{data: content, failAt: 40 * kib, err: broken}, broken, "at byte 40960"},
		{"cut short by the server",
			img, &source{data: content, failAt: 40 * kib, err: io.ErrUnexpectedEOF}, io.ErrUnexpectedEOF, ""},
		{"larger than the slot",
			with(img, func(i *slots.Image) { i.Size = 1<<20 + 1 }), &source{data: content}, slots.ErrTooLarge, ""},
		{"size zero", with(img, func(i *slots.Image) { i.Size = 0 }), &source{}, nil, "image of 0 bytes"},
		{"digest length",
			with(img, func(i *slots.Image) { i.Alg = slots.SHA512 }), &source{}, nil, "digest of 32 bytes"},
		{"algorithm", with(img, func(i *slots.Image) { i.Alg = -15 }), &source{}, nil, "unknown digest algorithm -15"},
		{"encoding", with(img, func(i *slots.Image) { i.Encoding = 7 }), &source{}, slots.ErrEncoding, ""},
		{"raw payload size", with(img, func(i *slots.Image) { i.PayloadSize = 5 }), &source{}, slots.ErrEncoding, ""},
		{"zstd short", zimg, &source{data: zpayload[:len(zpayload)/2]}, slots.ErrShort, ""},
		{"zstd empty", zimg, &source{}, slots.ErrShort, ""},
		{"zstd lost", zimg, &source{data: zpayload, failAt: int64(len(zpayload) / 2), err: broken}, broken, ""},
		{"zstd endless", zimg, &source{data: zpayload, endless: true}, slots.ErrTooLarge, ""},
		{"zstd endless, size unknown", with(zimg, func(i *slots.Image) { i.PayloadSize = 0 }),
			&source{data: zpayload, endless: true}, slots.ErrEncoding, "more behind"},
		{"zstd is raw", zimg, &source{data: content[:zimg.PayloadSize]}, slots.ErrEncoding, "not a zstd frame"},
		{"zstd with more content",
			with(zimg, func(i *slots.Image) { i.Size -= 100 }), &source{data: zpayload}, slots.ErrTooLarge, ""},
		{"zstd with less content",
			with(zimg, func(i *slots.Image) { i.Size += 100 }), &source{data: zpayload}, slots.ErrShort, ""},
	} {
		for place, unpack := range places {
			t.Run(tc.name+" "+place, func(t *testing.T) {
				r := newRig(t, 1, 1<<20)
				src := &source{data: tc.src.data, openErr: tc.src.openErr, failAt: tc.src.failAt, err: tc.src.err,
					endless: tc.src.endless}
				_, err := slots.Write(t.Context(), r.open(), tc.img, src,
					slots.Options{Every: 32 * kib, Unpack: unpack})
				if err == nil || (tc.want != nil && !errors.Is(err, tc.want)) ||
					!bytes.Contains([]byte(fmt.Sprint(err)), []byte(tc.text)) {
					t.Fatalf("got %v, want %v %q", err, tc.want, tc.text)
				}
				if src.endless && src.fetched > int64(len(src.data))+192*kib {
					t.Errorf("fetched %d of an endless payload", src.fetched)
				}
				if tc.name == "endless" && src.fetched != img.Size+1 {
					t.Errorf("fetched %d, want one byte more than the image", src.fetched)
				}
			})
		}
	}
}

// A failing source costs less than a page of what was fetched: the newest position is saved.
func TestSourceFailureSavesPosition(t *testing.T) {
	content := pattern(7, 300*kib)
	img := rawImage(content)
	zimg, zpayload := zstdImage(t, content, 16*kib)
	for _, enc := range []slots.Encoding{slots.Raw, slots.Zstd} {
		i, payload, step := img, content, int64(hal.Align)
		if enc == slots.Zstd {
			i, payload, step = zimg, zpayload, 20*kib // a frame, and its header
		}
		for at := int64(1); at < int64(len(payload)); at += 9973 {
			r := newRig(t, 1, 1<<20)
			m := r.open()
			var s saves
			src := &source{data: payload, failAt: at, err: io.ErrClosedPipe}
			first, err := slots.Write(t.Context(), m, i, src, slots.Options{Every: 128 * kib, Save: s.save})
			if !errors.Is(err, io.ErrClosedPipe) {
				t.Fatal(err)
			}
			second, err := slots.Write(t.Context(), m, i, src,
				slots.Options{Every: 128 * kib, Save: s.save, From: s.last()})
			if err != nil {
				t.Fatal(err)
			}
			if again := first.Fetched + second.Fetched - int64(len(payload)); again < 0 || again >= step {
				t.Errorf("encoding %d: broken at %d: %d bytes were fetched twice", enc, at, again)
			}
			r.holds(content)
		}
	}
}

func TestCancel(t *testing.T) {
	content := pattern(8, 600*kib)
	img := rawImage(content)
	for at := int64(0); at < 600*kib; at += 50 * kib {
		ctx, cancel := context.WithCancel(t.Context())
		r := newRig(t, 1, 1<<20)
		m := r.open()
		var s saves
		src := &source{data: content, onRead: func(pos int64) {
			if pos >= at {
				cancel()
			}
		}}
		_, err := slots.Write(ctx, m, img, src, slots.Options{Every: 64 * kib, Save: s.save})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled at %d: %v", at, err)
		}
		if src.fetched > at+32*kib {
			t.Errorf("cancelled at %d: went on to %d", at, src.fetched)
		}
		if c := s.last(); c != nil && !bytes.Equal(r.Disk("b", 0, c.Written), content[:c.Written]) {
			t.Errorf("cancelled at %d: checkpoint %d is not in the slot", at, c.Written)
		}
		src.onRead = nil
		res, err := slots.Write(t.Context(), m, img, src, slots.Options{Every: 64 * kib, From: s.last()})
		if err != nil {
			t.Fatal(err)
		}
		if at > 0 && res.Resumed < at-8*kib {
			t.Errorf("cancelled at %d: resumed only at %d", at, res.Resumed)
		}
		r.holds(content)
		cancel()
	}
}

// A body that hangs is set free by the end of the context.
func TestCancelHangingBody(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pr, pw := io.Pipe()
	defer pw.Close()
	go func() {
		pw.Write(make([]byte, 10*kib))
		cancel()
	}()
	r := newRig(t, 1, 1<<20)
	_, err := slots.Write(ctx, r.open(), rawImage(make([]byte, 64*kib)), pipeSource{pr}, slots.Options{})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

type pipeSource struct{ r io.ReadCloser }

func (p pipeSource) Open(context.Context, int64, string) (io.ReadCloser, string, error) {
	return p.r, "", nil
}

func TestMediumErrors(t *testing.T) {
	content := pattern(9, 400*kib)
	img := rawImage(content)
	clean := newRig(t, 1, 1<<20)
	var s saves
	if _, err := slots.Write(t.Context(), clean.open(), img, &source{data: content},
		slots.Options{Every: 64 * kib, Save: s.save, Serial: true}); err != nil {
		t.Fatal(err)
	}
	bad := errors.New("input/output error")
	seen := map[string]bool{}
	for _, op := range clean.Trace() {
		for _, serial := range []bool{true, false} {
			r := newRig(t, uint64(op.N), 1<<20)
			r.FailAt(op.N, bad)
			var s saves
			_, err := slots.Write(t.Context(), r.open(), img, &source{data: content},
				slots.Options{Every: 64 * kib, Save: s.save, Serial: serial})
			var me *slots.MediumError
			if !errors.As(err, &me) || !errors.Is(err, bad) {
				t.Fatalf("%v failed (serial %v): %v", op, serial, err)
			}
			seen[me.Op] = true
			if serial && me.Op != op.Kind {
				t.Errorf("%v failed, reported as %s", op, me.Op)
			}
			for _, c := range s.list {
				if !bytes.Equal(r.Disk("b", 0, c.Written), content[:c.Written]) {
					t.Errorf("%v failed: checkpoint %d is not in the slot", op, c.Written)
				}
			}
		}
	}
	if !seen["write"] || !seen["sync"] {
		t.Errorf("failures seen: %v", seen)
	}
}

func TestSaveError(t *testing.T) {
	content := pattern(10, 400*kib)
	full := errors.New("journal is full")
	for fail := 1; fail <= 9; fail++ {
		for _, serial := range []bool{true, false} {
			n := 0
			r := newRig(t, 1, 1<<20)
			_, err := slots.Write(t.Context(), r.open(), rawImage(content), &source{data: content},
				slots.Options{Every: 64 * kib, Serial: serial,
					Save: func(slots.Checkpoint) error {
						if n++; n == fail {
							return full
						}
						if n > fail {
							t.Error("saved again after a failure")
						}
						return nil
					}})
			if !errors.Is(err, full) {
				t.Fatalf("save %d failed: %v", fail, err)
			}
		}
	}
}

func TestWriteOptions(t *testing.T) {
	r := newRig(t, 1, 1<<20)
	for _, every := range []int64{-1, 4095} {
		if _, err := slots.Write(t.Context(), r.open(), rawImage([]byte{1}), &source{data: []byte{1}},
			slots.Options{Every: every}); err == nil {
			t.Errorf("Every %d was taken", every)
		}
		r.PowerOn()
	}
	// Tiny distances are taken as the smallest one.
	if _, err := slots.Write(t.Context(), r.open(), rawImage(make([]byte, 99*kib)), &source{data: make([]byte, 99*kib)},
		slots.Options{Every: hal.Align}); err != nil {
		t.Error(err)
	}
}
