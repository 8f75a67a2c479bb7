package control_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/agent/control"
)

// open returns a file with content, open for reading.
func open(t testing.TB, content string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// descriptors counts the open descriptors of this process.
func descriptors(t testing.TB) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc")
	}
	return len(names)
}

// settled waits until the number of descriptors is back to before.
func settled(t testing.TB, before int) {
	t.Helper()
	for i := 0; ; i++ {
		n := descriptors(t)
		if n <= before {
			return
		}
		if i == 200 {
			t.Errorf("%d descriptors leaked", n-before)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func installArgs(step, names string) map[string]string {
	args := map[string]string{"step": step, "envelope": "x.suit"}
	if names != "" {
		args["names"] = names
	}
	return args
}

func TestFiles(t *testing.T) {
	var kept *os.File
	path, stop := serve(t, control.Access{}, func(_ context.Context, r control.Request, _ func(any)) (any, error) {
		names, err := r.Names()
		if err != nil {
			return nil, err
		}
		var out []string
		for i, f := range r.Files {
			raw, err := f.SyscallConn()
			if err != nil {
				return nil, err
			}
			var flags int
			_ = raw.Control(func(fd uintptr) { flags, _ = unix.FcntlInt(fd, unix.F_GETFD, 0) })
			if flags&unix.FD_CLOEXEC == 0 {
				return nil, fmt.Errorf("descriptor %d is inherited by children", i)
			}
			b, err := io.ReadAll(f)
			if err != nil {
				return nil, err
			}
			out = append(out, string(b))
		}
		if r.Files[0] != nil && len(r.Files) == 3 {
			kept = r.Take(1)
		}
		return append(out, names...), nil
	})
	if _, err := do(t, path, control.VerbStatus, nil); err == nil {
		t.Log("status without files") // also settles the runtime's own descriptors
	}
	before := descriptors(t)
	a, b, c := open(t, "envelope"), open(t, "one"), open(t, "two")
	if _, err := a.Seek(4, io.SeekStart); err != nil { // where an earlier request left it
		t.Fatal(err)
	}
	got, err := do(t, path, control.VerbInstall, installArgs("install", `["one.img","two.img"]`), a, b, c)
	if err != nil || got != `["envelope","one","two","one.img","two.img"]` {
		t.Errorf("result %s, %v", got, err)
	}
	if kept == nil {
		t.Fatal("nothing was kept")
	}
	if _, err := kept.Seek(0, io.SeekStart); err != nil {
		t.Errorf("the kept file: %v", err)
	}
	kept.Close()
	for _, f := range []*os.File{a, b, c} {
		f.Close()
	}
	settled(t, before)
	stop()
}

func TestFilesRefused(t *testing.T) {
	path, _ := serve(t, control.Access{}, func(context.Context, control.Request, func(any)) (any, error) {
		t.Error("handler was called")
		return nil, nil
	})
	_, _ = do(t, path, control.Verb("settle"), nil)
	before := descriptors(t)
	env := open(t, "envelope")
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	wronly, err := os.OpenFile(filepath.Join(t.TempDir(), "w"), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(env.Name(), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	opath := os.NewFile(uintptr(fd), "O_PATH")
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	sock, other := os.NewFile(uintptr(pair[0]), "socket"), os.NewFile(uintptr(pair[1]), "socket")

	check, evidence := installArgs("check", ""), map[string]string{}
	for _, tt := range []struct {
		name  string
		verb  control.Verb
		args  map[string]string
		files []*os.File
		want  string
	}{
		{"directory", control.VerbInstall, check, []*os.File{dir}, "neither a regular file nor a pipe"},
		{"device", control.VerbInstall, check, []*os.File{null}, "neither a regular file nor a pipe"},
		{"socket", control.VerbInstall, check, []*os.File{sock}, "neither a regular file nor a pipe"},
		{"second one is a socket",
			control.VerbInstall, installArgs("install", `["a"]`), []*os.File{env, sock}, "descriptor 1"},
		{"pipe as an envelope", control.VerbInstall, check, []*os.File{r}, "not a regular file"},
		{"only for writing", control.VerbInstall, check, []*os.File{wronly}, "not open for reading"},
		{"only a path", control.VerbInstall, check, []*os.File{opath}, "not open"},
		{"export into a file open for reading",
			control.VerbEvidence, evidence, []*os.File{env}, "not open for writing"},
		{"export into the wrong end", control.VerbEvidence, evidence, []*os.File{r}, "not open for writing"},
		{"status takes none", control.VerbStatus, nil, []*os.File{env}, "takes 0 to 0"},
		{"check with a payload", control.VerbInstall, check, []*os.File{env, env}, "do not fit"},
		{"no step", control.VerbInstall, nil, []*os.File{env}, "no step"},
		{"a name too many",
			control.VerbInstall, installArgs("install", `["a","b"]`), []*os.File{env, env}, "do not fit"},
		{"a name with a path",
			control.VerbInstall, installArgs("install", `["../a"]`), []*os.File{env, env}, "plain file name"},
		{"the same name",
			control.VerbInstall, installArgs("install", `["a","a"]`), []*os.File{env, env, env}, "there twice"},
		{"names that are none",
			control.VerbInstall, installArgs("install", `{}`), []*os.File{env, env}, "not a JSON array"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := do(t, path, tt.verb, tt.args, tt.files...)
			if control.Exit(err) != control.ExitUsage || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	for _, f := range []*os.File{env, dir, null, r, w, wronly, opath, sock, other} {
		f.Close()
	}
	settled(t, before)
}

// What is sent is received or closed, however it is sent.
func TestDescriptorsDoNotLeak(t *testing.T) {
	env := open(t, "envelope")
	line := `{"v":1,"verb":"install","args":{"step":"check"},"files":%d}` + "\n"
	rights := func(n int) []byte {
		fds := make([]int, n)
		for i := range fds {
			fds[i] = int(env.Fd())
		}
		return unix.UnixRights(fds...)
	}
	type part struct {
		data string
		fds  int
	}
	for _, tt := range []struct {
		name  string
		parts []part
		files int // 0: refused
		fails bool
	}{
		{"one", []part{{fmt.Sprintf(line, 1), 1}}, 1, false},
		{"four", []part{{fmt.Sprintf(line, 4), 4}}, 4, false},
		{"five", []part{{fmt.Sprintf(line, 5), 5}}, 0, true},
		{"a hundred", []part{{fmt.Sprintf(line, 100), 100}}, 0, true},
		{"one by one", []part{{"{", 1}, {`"v"`, 1}, {":", 1}, {"1}\n", 1}}, 4, false},
		{"one by one, too many", []part{{"{", 2}, {`"v"`, 2}, {":", 2}, {"1}\n", 2}}, 0, true},
		{"with a request that is too long",
			[]part{{strings.Repeat("x", 1000), 3}, {strings.Repeat("x", control.MaxRequest), 0}}, 0, true},
		{"with half a request", []part{{"{", 4}}, 0, true},
		{"behind the request", []part{{"{}\n", 1}, {"x", 3}}, 1, false},
		{"with what follows the request", []part{{"{}\n{}", 2}}, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := descriptors(t)
			client, server := pair(t)
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				for _, p := range tt.parts {
					if _, _, err := client.WriteMsgUnix([]byte(p.data), rights(p.fds), nil); err != nil {
						break
					}
				}
				_ = client.CloseWrite()
			}()
			_, files, err := control.Receive(server)
			if len(files) != tt.files || (err != nil) != tt.fails {
				t.Errorf("%d files, error %v", len(files), err)
			}
			for _, f := range files {
				f.Close()
			}
			_ = client.Close()
			_ = server.Close()
			<-sent
			settled(t, before)
		})
	}
}

// pair is a connected pair of unix stream sockets.
func pair(t testing.TB) (client, server *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = c.(*net.UnixConn)
	}
	return conns[0], conns[1]
}

// The daemon writes into the pipe that it was handed; the reader sees its end before the result.
func TestExportIntoPipe(t *testing.T) {
	payload := bytes.Repeat([]byte("evidence"), 64<<10)
	path, _ := serve(t, control.Access{}, func(_ context.Context, r control.Request, _ func(any)) (any, error) {
		n, err := r.Files[0].Write(payload)
		return control.EvidenceExport{Bytes: int64(n)}, err
	})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan []byte, 1)
	go func() { b, _ := io.ReadAll(r); r.Close(); read <- b }()
	c, err := control.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Do(t.Context(), control.VerbEvidence, nil, []*os.File{w}, nil)
	w.Close()
	if err != nil || !strings.Contains(string(got), fmt.Sprint(len(payload))) {
		t.Errorf("result %s, %v", got, err)
	}
	if b := <-read; !bytes.Equal(b, payload) {
		t.Errorf("read %d bytes of %d", len(b), len(payload))
	}
}

// A handler that writes into a pipe that nobody empties is woken when the client goes.
func TestBlockedPipe(t *testing.T) {
	woken := make(chan error, 1)
	path, _ := serve(t, control.Access{}, func(_ context.Context, r control.Request, _ func(any)) (any, error) {
		_, err := r.Files[0].Write(make([]byte, 1<<20))
		woken <- err
		return nil, err
	})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	c, err := control.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.Do(ctx, control.VerbEvidence, nil, []*os.File{w}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("client: %v", err)
	}
	select {
	case err := <-woken:
		if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("handler: %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the handler still hangs")
	}
}

// Neither the request line nor the descriptors make the server panic, leak or accept what the verb
// table does not have.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"v":1,"verb":"status"}`), uint8(0))
	f.Add([]byte(`{"v":1,"verb":"install","args":{"step":"install","envelope":"a.suit","names":"[\"b.img\"]"},`+
		`"files":2}`), uint8(2))
	f.Add([]byte(`{"v":1,"verb":"history","args":{"n":"20"}}`), uint8(0))
	f.Add([]byte(`{"v":1,"verb":"evidence","args":{"from":"1"},"files":1}`), uint8(1))
	f.Add([]byte("{\"v\":1}\n{}"), uint8(5))
	f.Add([]byte{0xff, 0, '\n'}, uint8(255))
	f.Fuzz(func(t *testing.T, line []byte, files uint8) {
		r, err := control.Decode(line, int(files%8))
		if err != nil {
			return
		}
		if len(r.Files) > control.MaxFiles || r.Verb == "" {
			t.Errorf("accepted %+v", r)
		}
		names, err := r.Names()
		if r.Verb == control.VerbInstall && (err != nil || len(names) > len(r.Files)-1) {
			t.Errorf("accepted names %q with %d files", names, len(r.Files))
		}
		for _, n := range names {
			if filepath.Base(n) != n || strings.ContainsRune(n, 0) {
				t.Errorf("accepted name %q", n)
			}
		}
	})
}

// However a request is cut up, and whatever descriptors come with it: it is received whole or refused,
// its descriptors are those that were sent, in order, and none is left open. All is sent before it is
// read, in this goroutine, so that the same input takes the same way and coverage means something.
func FuzzReceive(f *testing.F) {
	// one write, a file and a pipe
	f.Add([]byte("{}\n"), []byte{0, 1}, uint8(0), uint8(1))
	// in pieces, a descriptor each
	f.Add([]byte(`{"v":1,"verb":"install","files":2}`+"\n"), []byte{0, 1}, uint8(7), uint8(0))
	// a second request, behind a descriptor
	f.Add([]byte("{}\n{}\n"), []byte{0}, uint8(1), uint8(0))
	f.Add([]byte("{}\n{}\n"), []byte{}, uint8(0), uint8(0))                             // and in one write
	f.Add([]byte("{}\n"), []byte{2}, uint8(0), uint8(0))                                // a device
	f.Add([]byte("{}"), []byte{0}, uint8(0), uint8(0))                                  // no end
	f.Add([]byte("{}\n"), []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, uint8(0), uint8(15)) // too many at once
	f.Add([]byte("0123456789\n"), bytes.Repeat([]byte{1}, 12), uint8(9), uint8(0))      // too many one by one
	f.Add(append(bytes.Repeat([]byte("x"), control.MaxRequest-1), '\n'), []byte{}, uint8(3), uint8(0))
	f.Add(append(bytes.Repeat([]byte("x"), control.MaxRequest), '\n'), []byte{1}, uint8(15), uint8(0))
	f.Add(bytes.Repeat([]byte("x"), control.MaxRequest+5), []byte{0}, uint8(2), uint8(3))
	f.Add([]byte{}, []byte{0}, uint8(0), uint8(0))
	f.Fuzz(func(t *testing.T, data, kinds []byte, cuts, each uint8) {
		data, kinds = data[:min(len(data), control.MaxRequest+64)], kinds[:min(len(kinds), 16)]
		before := descriptors(t)
		sent, drop := kindsOfFiles(t, kinds)
		defer func() {
			drop()
			if n := descriptors(t); n > before { // fewer: what an earlier run left was collected meanwhile
				t.Errorf("%d descriptors before, %d after", before, n)
			}
		}()
		client, server := pair(t)
		defer server.Close()
		whole, passed := send(t, client, data, sent, int(cuts%16)+1, int(each%16)+1)

		line, files, err := control.Receive(server)
		defer func() {
			for _, f := range files {
				f.Close()
			}
		}()
		end := bytes.IndexByte(data, '\n')
		clean := end == len(data)-1 && end >= 0 && len(data) <= control.MaxRequest && len(passed) <= control.MaxFiles &&
			!slices.ContainsFunc(kinds[:len(passed)], func(k byte) bool { return k%3 == 2 })
		switch {
		case err != nil && clean && whole:
			t.Errorf("an honest request of %d bytes with %d descriptors is refused: %v", len(data), len(passed), err)
		case err != nil && len(files) > 0:
			t.Errorf("files with an error: %v", err)
		case err != nil:
		case end < 0 || !bytes.Equal(line, data[:end]) || len(data[:end]) >= control.MaxRequest:
			t.Errorf("%d bytes are taken for a request of %d", len(line), len(data))
		case len(files) > len(passed) || len(files) > control.MaxFiles || clean && len(files) != len(passed):
			t.Errorf("%d files of %d that were sent", len(files), len(passed))
		}
		for i, f := range files {
			got, err := f.Stat()
			want, werr := passed[i].Stat()
			if err != nil || werr != nil || !os.SameFile(got, want) ||
				!got.Mode().IsRegular() && got.Mode()&os.ModeNamedPipe == 0 {
				t.Errorf("file %d is another one, or of a kind that is not allowed: %v, %v", i, err, werr)
			}
		}
	})
}

// kindsOfFiles opens a regular file, a pipe's reading end or a device for each byte.
func kindsOfFiles(t *testing.T, kinds []byte) (files []*os.File, drop func()) {
	t.Helper()
	var all []*os.File
	for _, k := range kinds {
		var f *os.File
		var err error
		switch k % 3 {
		case 0:
			f, err = os.Open("/proc/self/exe")
		case 1:
			var w *os.File
			if f, w, err = os.Pipe(); err == nil {
				all = append(all, w)
			}
		default:
			f, err = os.Open("/dev/null")
		}
		if err != nil {
			t.Fatal(err)
		}
		files, all = append(files, f), append(all, f)
	}
	return files, func() {
		for _, f := range all {
			f.Close()
		}
	}
}

// send writes data in so many pieces, the first ones with each descriptors, and closes its end. passed
// are the descriptors that went; whole is false when they did not all fit in.
func send(t *testing.T, client *net.UnixConn, data []byte,
	files []*os.File, pieces, each int) (whole bool, passed []*os.File) {
	t.Helper()
	defer client.Close()
	size := max(1, (len(data)+pieces-1)/pieces)
	for len(data) > 0 {
		n, k := min(size, len(data)), min(each, len(files))
		var oob []byte
		if k > 0 {
			var fds []int
			for _, f := range files[:k] {
				fds = append(fds, int(f.Fd()))
			}
			oob = unix.UnixRights(fds...)
		}
		n, _, err := client.WriteMsgUnix(data[:n], oob, nil)
		if err != nil {
			t.Fatal(err)
		}
		passed, files, data = append(passed, files[:k]...), files[k:], data[n:]
	}
	return len(files) == 0, passed
}
