package pair_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/ratchet-ota/ratchet/transport/wire/pair"
)

func codecs(t testing.TB) (daemon, network *pair.Codec) {
	t.Helper()
	daemon, err := pair.ForDaemon()
	if err != nil {
		t.Fatal(err)
	}
	if network, err = pair.ForNetwork(); err != nil {
		t.Fatal(err)
	}
	return daemon, network
}

var fromDaemon = []pair.Message{
	pair.Setup{Version: 1, Settings: []byte("x")}, pair.Open{ID: 1, Addresses: []string{"https://a", "b"}, Size: 5,
		Offset: 3, Validator: "v"}, pair.Cancel{ID: 2}, pair.Send{ID: 3, Kind: 4, Body: []byte("b")},
	pair.AskRoot{Version: 1 << 60}, pair.Next{}, pair.Given{ID: 4, Error: "no"},
	pair.Signed{ID: 5, Signature: []byte("s"), Error: "e"}, pair.Look{ID: 1<<32 - 1},
}

var fromNetwork = []pair.Message{
	pair.Ready{Version: 1, Features: []pair.Feature{{Name: "n", On: true, Detail: "d"}, {Name: "m"}}},
	pair.Document{Kind: 1, Origin: "mqtt:x", Body: []byte("b")}, pair.Started{ID: 1, Code: pair.Gone, Text: "t",
		Validator: "v"}, pair.Ended{ID: 2, Code: pair.Failed, Text: "t"}, pair.Sent{ID: 3, Code: pair.Offline},
	pair.State{Online: true, Connections: 9, Trouble: "t"}, pair.Log{Level: -4, Text: "l"},
	pair.Want{ID: 1, Path: "/x"}, pair.Sign{ID: 1, Name: "n", Hash: 5, Digest: []byte("d")},
	pair.Looked{ID: 1, Problems: []pair.Problem{{Key: "k", Text: "t"}}},
}

// TestMessages: each message of one end is what the other end takes, and neither takes its own.
func TestMessages(t *testing.T) {
	daemon, network := codecs(t)
	for _, end := range []struct {
		sends    []pair.Message
		one, two *pair.Codec
	}{{fromDaemon, daemon, network}, {fromNetwork, network, daemon}} {
		for _, m := range end.sends {
			b, err := end.one.Encode(m)
			if err != nil {
				t.Fatalf("%T: %v", m, err)
			}
			if got, err := end.two.Decode(b); err != nil || !reflect.DeepEqual(got, m) {
				t.Errorf("%#v is taken as %#v, %v", m, got, err)
			}
			if _, err := end.two.Encode(m); err == nil {
				t.Errorf("%T is sent by the wrong end", m)
			}
			for cut := range b { // no half of a message is one
				if got, err := end.two.Decode(b[:cut]); err == nil {
					t.Errorf("%d of %d bytes are %#v", cut, len(b), got)
				}
			}
			if got, err := end.two.Decode(append(b, 0)); err == nil {
				t.Errorf("a byte more is %#v", got)
			}
		}
	}
}

// TestLimits: what passes a limit is neither sent nor taken; a text for people is made to fit.
func TestLimits(t *testing.T) {
	daemon, network := codecs(t)
	long := strings.Repeat("x", 1<<16)
	for _, m := range []pair.Message{
		pair.Setup{Settings: make([]byte, pair.MaxSettings+1)}, pair.Open{},
		pair.Open{Addresses: []string{"a"}, Size: -1},
		pair.Open{Addresses: []string{"a"}, Offset: -1}, pair.Open{Addresses: make([]string, pair.MaxAddresses+1)},
		pair.Open{Addresses: []string{"a"}, Validator: long}, pair.Send{},
		pair.Send{Body: make([]byte, pair.MaxBody+1)},
		pair.Open{Addresses: []string{long, long}}, pair.Signed{Signature: []byte(long)},
	} {
		if b, err := daemon.Encode(m); err == nil {
			t.Errorf("%T with %d bytes is sent", m, len(b))
		}
	}
	for _, m := range []pair.Message{
		pair.Document{Body: make([]byte, pair.MaxBody+1)}, pair.Started{Code: 99}, pair.Started{Validator: long},
		pair.Ended{Code: 99}, pair.Sent{Code: 99}, pair.Want{}, pair.Want{Path: long}, pair.Sign{},
		pair.Document{Origin: long},
		pair.Sign{Name: "n"}, pair.Sign{Name: "n", Digest: []byte(long)}, pair.Sign{Name: long, Digest: []byte("d")},
	} {
		if b, err := network.Encode(m); err == nil {
			t.Errorf("%T with %d bytes is sent", m, len(b))
		}
	}
	hostile := "a\x1b[2J\nb\x00\xff" + strings.Repeat("ä", 1<<12)
	for _, m := range []pair.Message{
		pair.State{Trouble: hostile}, pair.Log{Text: hostile}, pair.Started{Text: hostile}, pair.Ended{Text: hostile},
		pair.Sent{Text: hostile}, pair.Looked{Problems: make([]pair.Problem, 1000)},
		pair.Looked{Problems: []pair.Problem{{Key: hostile, Text: hostile}}},
		pair.Ready{Features: []pair.Feature{{Name: hostile, Detail: hostile}}},
	} {
		b, err := network.Encode(m)
		if err == nil {
			_, err = daemon.Decode(b)
		}
		if err != nil {
			t.Errorf("%T: %v", m, err)
		}
	}
	s := pair.Line(hostile)
	if !strings.HasPrefix(s, "a?[2J b??ää") || len(s) > pair.MaxText || strings.Contains(s, "\ufffd") {
		t.Errorf("the text is shown as %q", s[:20])
	}
}

// TestSockets: a message stays whole, a descriptor comes with its message, and the daemon's end takes none.
func TestSockets(t *testing.T) {
	ours, f, err := pair.Sockets()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	theirs, err := pair.Socket(f, true)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	buf := make([]byte, pair.Max+1)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if err := errors.Join(ours.Send([]byte("one"), nil), ours.Send([]byte("two"), w)); err != nil {
		t.Fatal(err)
	}
	if n, f, err := theirs.Receive(buf); string(buf[:n]) != "one" || f != nil || err != nil {
		t.Errorf("%q, %v, %v", buf[:n], f, err)
	}
	n, got, err := theirs.Receive(buf)
	if string(buf[:n]) != "two" || got == nil || err != nil {
		t.Fatalf("%q, %v, %v", buf[:n], got, err)
	}
	if _, err := got.Write([]byte("through")); err != nil {
		t.Error(err)
	}
	if n, err := r.Read(buf); string(buf[:n]) != "through" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	before := descriptors(t)
	if err := errors.Join(got.Close(), theirs.Send([]byte("three"), r)); err != nil {
		t.Fatal(err)
	}
	if n, f, err := ours.Receive(buf); string(buf[:n]) != "three" || f != nil || err != nil {
		t.Errorf("%q, %v, %v", buf[:n], f, err)
	}
	if after := descriptors(t); after > before-1 {
		t.Errorf("%d descriptors, before %d: one of the other end's stays open", after, before)
	}
	if err := theirs.Send(bytes.Repeat([]byte("x"), pair.Max+100), nil); err != nil {
		t.Fatal(err)
	}
	if n, _, err := ours.Receive(buf); n != pair.Max+1 || err != nil {
		t.Errorf("%d bytes, %v: it cannot be told from one that fits", n, err)
	}
	_ = theirs.Close()
	if _, _, err := ours.Receive(buf); !errors.Is(err, io.EOF) {
		t.Errorf("the end is %v", err)
	}
	plain, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pair.Socket(plain, true); err == nil {
		t.Error("any descriptor is taken for the daemon")
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fds[1])
	if _, err := pair.Socket(os.NewFile(uintptr(fds[0]), "stream"), true); err == nil {
		t.Error("a stream is taken for whole messages")
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// FuzzFromNetwork: whatever a process that was taken over sends is a message within the limits, or refused.
func FuzzFromNetwork(f *testing.F) {
	daemon, network := codecs(f)
	fuzz(f, fromNetwork, network, daemon)
}

// FuzzFromDaemon is the other way.
func FuzzFromDaemon(f *testing.F) {
	daemon, network := codecs(f)
	fuzz(f, fromDaemon, daemon, network)
}

func fuzz(f *testing.F, seeds []pair.Message, one, two *pair.Codec) {
	for _, m := range seeds {
		b, err := one.Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := two.Decode(b)
		if err != nil {
			return
		}
		again, err := one.Encode(m)
		if err != nil {
			t.Fatalf("%#v is taken and could not be sent: %v", m, err)
		}
		n, err := two.Decode(again)
		if err != nil {
			t.Fatalf("%#v: %v", m, err)
		}
		if last, err := one.Encode(n); err != nil || !bytes.Equal(last, again) {
			t.Fatalf("%#v becomes %#v, %v", m, n, err)
		}
	})
}

// TestRoom: the longest message fits into either end's socket, whatever the system gives to sockets by default.
func TestRoom(t *testing.T) {
	ours, theirs, err := pair.Sockets()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer theirs.Close()
	raw, err := ours.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	look := func(fd uintptr) {
		n, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF)
		if err != nil || n < 4*pair.Max {
			t.Errorf("room for %d bytes, %v", n, err)
		}
	}
	if err := raw.Control(look); err != nil {
		t.Error(err)
	}
	look(theirs.Fd())
}
