package sandbox_test

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/hal/linux/sandbox"
)

// order is what a test asks of a child.
type order struct {
	Policy  sandbox.Policy
	Do      string // name of an action; "attack": each of Attacks
	Attacks []string
	Place   place
}

// place is where a child acts.
type place struct {
	Dir    string // everybody may write here
	Secret string // a file of root's, 0600
	Device string // a block device of root's
	Victim int    // a process
	Server string // an address that answers
	DNS    string // an address that answers as a name server
}

// answer is what a child says, on descriptor 3.
type answer struct {
	Features []sandbox.Feature
	Errors   map[string]string // of each attack or need; "" for success
}

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "nothing" {
		return
	}
	if len(os.Args) > 2 && os.Args[1] == "child" {
		child(os.Args[2])
		return
	}
	if len(os.Args) > 2 && os.Args[1] == "parent" { // on a machine that lacks something
		if len(os.Args) > 3 {
			few()
		}
		parent(os.Args[2])
		return
	}
	os.Exit(m.Run())
}

func child(text string) {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		panic(err)
	}
	io.Copy(io.Discard, os.Stdin) // until Start has returned
	// What acts is another thread than the one that confines, and there before.
	work, ready := make(chan func()), make(chan bool)
	go func() {
		runtime.LockOSThread()
		close(ready)
		for f := range work {
			f()
		}
	}()
	<-ready
	a := answer{Features: sandbox.Confine(o.Policy), Errors: map[string]string{}}
	try := func(name string, f func(place) error) {
		done := make(chan error)
		work <- func() { done <- f(o.Place) }
		a.Errors[name] = ""
		if err := <-done; err != nil {
			a.Errors[name] = err.Error()
		}
	}
	for _, name := range o.Attacks {
		try(name, attacks[name])
	}
	if f := needs[o.Do]; f != nil {
		try(o.Do, f)
	}
	out := os.NewFile(3, "answer")
	if err := json.NewEncoder(out).Encode(a); err != nil {
		panic(err)
	}
	if o.Do == "stay" {
		time.Sleep(time.Hour)
	}
}

// options are those of a child of these tests, with what a test changes.
func options(t testing.TB, o order, change func(*sandbox.Options)) sandbox.Options {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	so := sandbox.Options{Args: []string{"child", string(text)}, User: "ratchet-none", Network: true,
		Read: []string{"/etc", "/proc/self"}, Stderr: os.Stderr}
	if change != nil {
		change(&so)
	}
	return so
}

// hold makes a child wait until the function that it returns is called.
func hold(t testing.TB, o *sandbox.Options) func() {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	o.Stdin = r
	return func() { r.Close(); w.Close() }
}

// run runs a child to its end and returns what it said, with the features of both sides.
func run(t testing.TB, o order, change func(*sandbox.Options)) answer {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	o.Policy.Files++
	so := options(t, o, change)
	so.Files = append([]*os.File{w}, so.Files...)
	started := hold(t, &so)
	c, err := sandbox.Start(so)
	started()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(time.Minute, func() { c.Kill() }).Stop()
	var a answer
	decodeErr := json.NewDecoder(r).Decode(&a)
	if err := c.Wait(); err != nil || decodeErr != nil {
		t.Fatalf("the child: %v; its answer: %v; features %+v", err, decodeErr, c.Features())
	}
	a.Features = append(c.Features(), a.Features...)
	return a
}

// everythingBut lists all features but some, for Without.
func everythingBut(names ...string) []string {
	return slices.DeleteFunc(sandbox.Names(), func(n string) bool { return slices.Contains(names, n) })
}

// newPlace makes a place for attacks. It needs root.
func newPlace(t *testing.T) place {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: a device, another user")
	}
	// Not t.TempDir: others may not enter the folder above it.
	dir, err := os.MkdirTemp("", "sandbox")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := place{Dir: dir + "/open", Secret: dir + "/secret", Device: dir + "/disk"}
	victim := exec.Command("/bin/sleep", "100")
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { victim.Process.Kill(); victim.Wait() })
	p.Victim = victim.Process.Pid
	for _, err := range []error{os.Chmod(dir, 0o755), os.Mkdir(p.Dir, 0), os.Chmod(p.Dir, 0o777),
		os.WriteFile(p.Secret, []byte("secret"), 0o600), os.WriteFile(p.Dir+"/other", []byte("x"), 0o666),
		os.Chmod(p.Dir+"/other", 0o666),
		os.WriteFile(p.Dir+"/third", nil, 0o666), syscall.Mknod(p.Device, syscall.S_IFBLK|0o600, 7<<8)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// feature finds a feature by its name.
func feature(t testing.TB, fs []sandbox.Feature, name string) sandbox.Feature {
	t.Helper()
	for _, f := range fs {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("feature %s is not reported: %+v", name, fs)
	return sandbox.Feature{}
}
