package sandbox_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/hal/linux/sandbox"
	"github.com/ratchet-ota/ratchet/hal/linux/sandbox/sandboxtest"
)

// needs are what a confined process must go on being able to do.
var needs = map[string]func(place) error{
	"connect": func(p place) error {
		r, err := http.Get("http://" + p.Server)
		if err != nil {
			return err
		}
		defer r.Body.Close()
		_, err = io.Copy(io.Discard, r.Body)
		return err
	},
	"resolve": func(p place) error {
		r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, p.DNS)
		}}
		ips, err := r.LookupIP(context.Background(), "ip4", "device.example.")
		if err == nil && (len(ips) != 1 || !ips[0].Equal(net.IPv4(192, 0, 2, 7))) {
			err = fmt.Errorf("it is at %v", ips)
		}
		if err == nil {
			_, err = r.LookupHost(context.Background(), "localhost") // /etc/hosts
		}
		return err
	},
	"late": func(p place) error { // the server makes the file
		r, err := http.Get("http://" + p.Server)
		if err != nil {
			return err
		}
		defer r.Body.Close()
		_, err = os.ReadFile(p.Secret)
		return err
	},
	"certificates": func(place) error { _, err := x509.SystemCertPool(); return err },
	"run":          work,
	"descriptor":   takeDescriptor,
	"hoard": func(place) error {
		b := make([]byte, 1<<30)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		return nil
	},
	"stay":      func(place) error { return nil },
	"inherited": inherited,
}

// inherited fails if it has what nobody gave it; Victim is a descriptor.
func inherited(p place) error {
	if env := os.Environ(); len(env) != 0 {
		return fmt.Errorf("environment %q", env)
	}
	if _, err := unix.FcntlInt(uintptr(p.Victim), unix.F_GETFD, 0); err == nil {
		return errors.New("a descriptor was inherited")
	}
	here, err := os.Stat(".")
	if err != nil {
		return err
	}
	if root, err := os.Stat("/"); err != nil || !os.SameFile(here, root) {
		return fmt.Errorf("not in /: %v", err)
	}
	return nil
}

// work is what the runtime does in its daily life: threads, preemption, timers, memory and its return.
func work(place) error {
	var wg sync.WaitGroup
	var stop atomic.Bool
	for range 8 {
		wg.Go(func() {
			runtime.LockOSThread()
			var b []byte
			for range 20 {
				b = append(b, make([]byte, 1<<20)...)
				time.Sleep(time.Millisecond)
			}
			runtime.KeepAlive(b)
		})
		wg.Go(func() {
			for !stop.Load() { // only a signal interrupts it
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	runtime.GC()
	stop.Store(true)
	wg.Wait()
	debug.FreeOSMemory()
	defer func() { recover() }()
	var p *int
	*p = 1 // the runtime turns the signal into a panic
	return errors.New("no panic")
}

// takeDescriptor reads a file that comes by descriptor 4.
func takeDescriptor(place) error {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(4, make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return err
	}
	cs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return err
	}
	fds, err := unix.ParseUnixRights(&cs[0])
	if err != nil {
		return err
	}
	b, err := io.ReadAll(os.NewFile(uintptr(fds[0]), "handed over"))
	if err == nil && string(b) != "secret" {
		err = fmt.Errorf("read %q", b)
	}
	return err
}

// nameServer answers each question with one address.
func nameServer(t *testing.T) string {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			end := bytes.IndexByte(b[12:n], 0) // of the name
			if end < 0 || 12+end+5 > n {
				continue
			}
			out := append([]byte{b[0], b[1], 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}, b[12:12+end+5]...)
			out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 192, 0, 2, 7)
			pc.WriteTo(out, from)
		}
	}()
	return pc.LocalAddr().String()
}

// TestConfinedProcessDoesItsWork: with all features on it does what a network process must.
func TestConfinedProcessDoesItsWork(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(bytes.Repeat([]byte("x"), 1<<20))
	}))
	defer srv.Close()
	p := place{Server: strings.TrimPrefix(srv.URL, "http://"), DNS: nameServer(t)}
	for _, name := range []string{"connect", "resolve", "certificates", "run", "descriptor"} {
		t.Run(name, func(t *testing.T) {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(pair[0])
			secret := t.TempDir() + "/secret"
			if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(secret)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(int(f.Fd())), nil, 0); err != nil {
				t.Fatal(err)
			}
			far := os.NewFile(uintptr(pair[1]), "pair")
			defer far.Close()
			do := order{Do: name, Place: p,
				Policy: sandbox.Policy{Files: 1, Network: true, Read: true}}
			a := run(t, do, func(o *sandbox.Options) { o.Files = []*os.File{far} })
			if a.Errors[name] != "" {
				t.Error(a.Errors[name])
			}
		})
	}
}

// TestRunIsFilledLate: what a service keeps in a folder of /run that it makes after the process was started can be
// read, for /etc/resolv.conf may lead there.
func TestRunIsFilledLate(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a folder in /run needs root")
	}
	dir := fmt.Sprintf("/run/ratchet-test-%d", os.Getpid())
	defer os.RemoveAll(dir)
	p := place{Secret: dir + "/resolv.conf"}
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(p.Secret, nil, 0o644)); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	p.Server = strings.TrimPrefix(srv.URL, "http://")
	a := run(t, order{Do: "late", Place: p, Policy: sandbox.Policy{Network: true, Read: true}},
		func(o *sandbox.Options) { o.Read = append(o.Read, dir) })
	if a.Errors["late"] != "" {
		t.Error(a.Errors["late"])
	}
}

// TestMemoryIsBounded: who asks for more than it may have ends, and the rest of the machine goes on.
func TestMemoryIsBounded(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, err := sandbox.Start(options(t, order{Do: "hoard", Policy: sandbox.Policy{Files: 1, Memory: 256 << 20}},
		func(o *sandbox.Options) { o.Files, o.Stderr = []*os.File{w}, nil }))
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err == nil && !sandbox.Unlimited {
		t.Error("it had a GiB of 256 MiB")
	}
}

// TestEndsBeforeTheDaemon: a shortage of memory takes the child, and the daemon keeps its own place.
func TestEndsBeforeTheDaemon(t *testing.T) {
	place := func(pid string) string {
		b, err := os.ReadFile("/proc/" + pid + "/oom_score_adj")
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	before := place("self")
	o := options(t, order{Do: "stay"}, nil)
	started := hold(t, &o)
	defer started()
	c, err := sandbox.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Kill()
	if got := place(fmt.Sprint(c.Pid())); got != "500" {
		t.Errorf("the child has %s", got)
	}
	if got := place("self"); got != before {
		t.Errorf("this process has %s, and had %s", got, before)
	}
}

// TestOnlyWhatIsHandedOverIsInherited: neither the environment nor another descriptor, though it was
// opened carelessly.
func TestOnlyWhatIsHandedOverIsInherited(t *testing.T) {
	t.Setenv("RATCHET_SECRET", "x")
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	careless, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD, 20)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(careless)
	a := run(t, order{Do: "inherited", Place: place{Victim: careless},
		Policy: sandbox.Policy{Read: true}}, nil)
	if a.Errors["inherited"] != "" {
		t.Error(a.Errors["inherited"])
	}
}

// TestKilledWithItsParent: a daemon that is killed leaves nobody behind, whatever the child does.
func TestKilledWithItsParent(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command("/proc/self/exe", "parent", `{"Do":"stay"}`)
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var pid int
	var a answer
	dec := json.NewDecoder(r)
	if err := errors.Join(dec.Decode(&pid), dec.Decode(&a)); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	// The child has the other end of the pipe, too: it is at its end when the child is.
	if err := r.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Errorf("the child lives: %v", err)
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

// parent starts a child, as a daemon does, and tells its number and what it said.
func parent(text string) {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		panic(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	o.Policy.Files = 1
	child, _ := json.Marshal(o)
	inR, inW, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	c, err := sandbox.Start(sandbox.Options{Args: []string{"child", string(child)}, User: "ratchet-none",
		Network: true, Files: []*os.File{w}, Stdin: inR, Stdout: os.Stdout, Stderr: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	w.Close()
	inR.Close()
	inW.Close()
	var a answer
	if err := json.NewDecoder(r).Decode(&a); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	a.Features = append(c.Features(), a.Features...)
	out := json.NewEncoder(os.Stdout)
	out.Encode(c.Pid())
	out.Encode(a)
	if err := c.Wait(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// TestKernelWithoutAFeature: the process starts, and says what is off and why.
func TestKernelWithoutAFeature(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: a filter that others inherit")
	}
	for _, l := range sandboxtest.Lacks() {
		t.Run(l.Name, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe", "parent", `{"Policy":{"Network":true}}`)
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			if err := sandboxtest.Start(cmd, l); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v: %s", err, &errs)
			}
			var pid int
			var a answer
			dec := json.NewDecoder(&out)
			if err := errors.Join(dec.Decode(&pid), dec.Decode(&a)); err != nil {
				t.Fatal(err)
			}
			for _, f := range a.Features {
				if f.On == (f.Name == l.Feature) && !(l.Feature == sandbox.Privileges && !f.On) {
					t.Errorf("%s: on %v: %s", f.Name, f.On, f.Detail)
				}
				if !f.On {
					t.Logf("%s: %s", f.Name, f.Detail)
				}
			}
		})
	}
}

// TestDaemonOfTheUnit: root with the few capabilities that the unit leaves starts it, without namespaces alone.
func TestDaemonOfTheUnit(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: capabilities")
	}
	cmd := exec.Command("/proc/self/exe", "parent", `{"Do":"run","Policy":{"Network":true}}`, "few")
	cmd.Dir = "/"
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	var a answer
	dec := json.NewDecoder(bytes.NewReader(out))
	if err := errors.Join(dec.Decode(&pid), dec.Decode(&a)); err != nil {
		t.Fatal(err)
	}
	for _, f := range a.Features {
		if f.On == (f.Name == sandbox.Namespaces) {
			t.Errorf("%s: on %v: %s", f.Name, f.On, f.Detail)
		}
	}
}

// few starts this program again as the parent, with the capabilities of the unit.
func few() {
	runtime.LockOSThread()
	for c := uintptr(0); c < 64; c++ {
		switch c {
		case unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_SETPCAP, unix.CAP_KILL:
		default:
			unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		}
	}
	panic(syscall.Exec("/proc/self/exe", os.Args[:3], os.Environ()))
}

// TestUnprivilegedDaemon: who is not root starts it all the same, with what is left.
func TestUnprivilegedDaemon(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: to become another user")
	}
	cmd := exec.Command("/proc/self/exe", "parent", `{"Do":"run","Policy":{"Network":true}}`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	cmd.Dir = "/"
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	var a answer
	dec := json.NewDecoder(bytes.NewReader(out))
	if err := errors.Join(dec.Decode(&pid), dec.Decode(&a)); err != nil {
		t.Fatal(err)
	}
	for _, f := range a.Features {
		if f.On == (f.Name == sandbox.User || f.Name == sandbox.Namespaces) {
			t.Errorf("%s: on %v: %s", f.Name, f.On, f.Detail)
		}
	}
}
