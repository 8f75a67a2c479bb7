package unpack_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/boxtest"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/unpack"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux"
	"github.com/ratchet-ota/ratchet/slots"
)

func TestMain(m *testing.M) { boxtest.Main(m, nil) }

// image is one of size bytes that compresses to about a half, and its payload.
func image(t *testing.T, size int) (slots.Image, []byte, []byte) {
	t.Helper()
	content := make([]byte, size)
	r := rand.NewChaCha8([32]byte{1})
	for i := 0; i < size; i += 64 {
		r.Read(content[i:min(i+32, size)])
	}
	var b bytes.Buffer
	if err := slots.Compress(&b, bytes.NewReader(content), 0, 3); err != nil {
		t.Fatal(err)
	}
	d := sha256.Sum256(content)
	return slots.Image{Alg: slots.SHA256, Digest: d[:], Size: int64(size), Encoding: slots.Zstd,
		PayloadSize: int64(b.Len())}, content, b.Bytes()
}

// slot is a file to write to.
func slot(t *testing.T, size int64) (hal.Medium, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "slot")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	m, err := linux.Blocks{}.OpenTarget(path, hal.DeviceID{Block: true, Major: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, path
}

// source serves a payload, and does something when so much of it was read.
type source struct {
	payload []byte
	at      int
	do      func()
}

func (s *source) Open(_ context.Context, off int64, _ string) (io.ReadCloser, string, error) {
	return &stream{s: s, pos: int(off)}, "", nil
}

type stream struct {
	s   *source
	pos int
}

func (r *stream) Read(p []byte) (int, error) {
	if r.pos == len(r.s.payload) {
		return 0, io.EOF
	}
	if r.s.do != nil && r.pos >= r.s.at {
		r.s.do()
		r.s.do = nil
	}
	n := copy(p, r.s.payload[r.pos:])
	r.pos += n
	return n, nil
}

func (r *stream) Close() error { return nil }

// TestUnpackProcess: what the process decodes is the image, and the process has no rights while it does.
func TestUnpackProcess(t *testing.T) {
	for name, start := range map[string]func(string) (*unpack.Child, error){
		"shared memory": func(user string) (*unpack.Child, error) { return unpack.Start(user, nil) },
		"pipe":          unpack.StartWithoutMemory,
	} {
		t.Run(name, func(t *testing.T) { unpacks(t, start) })
	}
}

func unpacks(t *testing.T, start func(string) (*unpack.Child, error)) {
	img, content, payload := image(t, 20<<20+4711)
	m, path := slot(t, 24<<20)
	var child *unpack.Child
	var status string
	src := &source{payload: payload, at: len(payload) / 2, do: func() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", child.Pid()))
		if err != nil {
			t.Error(err)
		}
		status = string(b)
	}}
	_, err := slots.Write(t.Context(), m, img, src, slots.Options{Unpack: func() (slots.Unpacker, error) {
		var err error
		child, err = start("ratchet-none")
		return child, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got[:len(content)], content) {
		t.Fatalf("the slot does not hold the image: %v", err)
	}
	want := []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000"}
	if os.Geteuid() == 0 {
		want = append(want, "Uid:\t65534\t65534\t65534\t65534", "CapBnd:\t0000000000000000")
	}
	for _, w := range want {
		if !strings.Contains(status, w) {
			t.Errorf("no %q in\n%s", w, status)
		}
	}
	if err := syscall.Kill(child.Pid(), 0); err != syscall.ESRCH {
		t.Errorf("the process outlasts its image: %v", err)
	}
}

// TestUnpackProcessKilled: its death is an error that says so, what was written stays, and the next one goes on.
func TestUnpackProcessKilled(t *testing.T) {
	img, content, payload := image(t, 40<<20)
	m, path := slot(t, 40<<20)
	var child *unpack.Child
	var saved *slots.Checkpoint
	o := slots.Options{Every: 2 << 20, Save: func(c slots.Checkpoint) error { saved = &c; return nil },
		Unpack: func() (_ slots.Unpacker, err error) {
			child, err = unpack.Start("ratchet-none", nil)
			return child, err
		}}
	src := &source{payload: payload, at: len(payload) / 2, do: func() { syscall.Kill(child.Pid(), syscall.SIGKILL) }}
	_, err := slots.Write(t.Context(), m, img, src, o)
	if err == nil || !strings.Contains(err.Error(), "ended by signal 9") {
		t.Fatal(err)
	}
	if saved == nil || saved.Written < 8<<20 {
		t.Fatalf("saved %+v", saved)
	}
	o.From = saved
	if _, err := slots.Write(t.Context(), m, img, src, o); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("the slot does not hold the image: %v", err)
	}
}

// TestUnpackAnything: bytes of a stranger are an error of the payload, not of the process.
func TestUnpackAnything(t *testing.T) {
	img, _, payload := image(t, 1<<20)
	m, _ := slot(t, 1<<20)
	_, err := slots.Write(t.Context(), m, img, &source{payload: bytes.Repeat([]byte("x"), len(payload))},
		slots.Options{Unpack: func() (slots.Unpacker, error) { return unpack.Start("ratchet-none", nil) }})
	if err == nil || !strings.Contains(err.Error(), "cannot decode the zstd frame at payload byte 0") {
		t.Fatal(err)
	}
}

// FuzzReceiver: whatever the process says of the shared memory, nothing is read beyond it.
func FuzzReceiver(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 4, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{255, 255, 255, 255, 1, 0, 0, 128})
	f.Fuzz(func(t *testing.T, says []byte) {
		mem := make([]byte, unpack.Memory)
		n, err := io.Copy(io.Discard, unpack.Receive(mem, bytes.NewReader(says)))
		if n > int64(len(says)/4*unpack.Memory/2) {
			t.Fatalf("%d bytes of %d words: %v", n, len(says)/4, err)
		}
	})
}
