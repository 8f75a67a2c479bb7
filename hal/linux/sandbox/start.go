package sandbox

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Options say what is started and what it may do.
type Options struct {
	Exe  string   // "": the file of this program, also when its name leads to a newer one by now
	Args []string // behind the program's name
	Env  []string // all of its environment
	// Files are descriptors 3 and up. Of others it has only the three of every process; nil is /dev/null.
	Files                 []*os.File
	Stdin, Stdout, Stderr *os.File
	User                  string   // the system user that it runs as, if this process is root
	Read                  []string // paths that it may read, and beneath; of what is missing, the nearest folder
	Network               bool     // it may connect by IP; else its network is its own, and leads nowhere
	Without               []string // names of features that are switched off

	libraries bool // the program is more than its one file
}

// Child is a process that was started.
type Child struct {
	pid      int
	features []Feature
	mu       sync.Mutex // of reaped, so that no other process of that number is hit
	reaped   bool
	done     chan struct{}
	status   syscall.WaitStatus
}

// Start starts a process. Its working directory is /, its session its own. It is killed when this
// process ends, however that comes about; a process that is to be sure of that also ends when its
// descriptor to this one is at its end, for this one may die while it starts it.
func Start(o Options) (*Child, error) {
	if o.Exe == "" {
		o.Exe = "/proc/self/exe"
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, errorf("cannot start a confined process: %w", err)
	}
	defer null.Close()
	for _, f := range []**os.File{&o.Stdin, &o.Stdout, &o.Stderr} {
		if *f == nil {
			*f = null
		}
	}
	c, err := try(o)
	if err == nil {
		return c, nil
	}
	// A feature that was laid on without an error may still keep the child from starting. Landlock does
	// where the program was linked dynamically. Then each is left out alone, then one after another.
	o.libraries = true
	if c, err := try(o); err == nil {
		return c, nil
	}
	names := []string{Landlock, User, Namespaces, Capabilities, Privileges}
	for n := range 2 * len(names) {
		out := names[n%len(names) : n%len(names)+1]
		if n >= len(names) {
			out = names[:n-len(names)+1]
		}
		some := o
		some.Without = append(slices.Clone(o.Without), out...)
		if c, last := try(some); last == nil {
			return c.without(err, out), nil
		}
	}
	return nil, errorf("cannot start a confined process: %w", err)
}

// without says of features that they are off because of err.
func (c *Child) without(err error, names []string) *Child {
	for i, f := range c.features {
		if slices.Contains(names, f.Name) && f.Detail == switchedOff {
			c.features[i].Detail = fmt.Sprintf("the process does not start with it: %v", err)
		}
	}
	return c
}

// try starts the child on a thread of its own, which is not the process's first: what /proc/self tells
// of the process is told of that one.
func try(o Options) (*Child, error) {
	type result struct {
		c   *Child
		err error
	}
	started := make(chan result)
	var thread func()
	thread = func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			moved := make(chan struct{})
			go func() { defer close(moved); thread() }()
			<-moved
			runtime.UnlockOSThread() // untouched
			return
		}
		c, err := fork(o)
		started <- result{c, err}
		if err == nil {
			c.reap()
		}
	}
	go thread()
	r := <-started
	return r.c, r.err
}

// fork confines the calling thread and starts the child from it.
func fork(o Options) (*Child, error) {
	c := &Child{done: make(chan struct{})}
	attr := &syscall.ProcAttr{Dir: "/", Env: o.Env, Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}}
	for _, f := range append([]*os.File{o.Stdin, o.Stdout, o.Stderr}, o.Files...) {
		attr.Files = append(attr.Files, f.Fd())
	}
	add := func(name string, f func() (string, error)) { c.drop(name, slices.Contains(o.Without, name), f) }
	restore := func() {}
	add(Priority, func() (_ string, err error) {
		restore, err = yield()
		return fmt.Sprintf("oom_score_adj %d", yielding), err
	})
	defer func() { restore() }()
	add(User, func() (string, error) { return credential(o.User, attr.Sys) })
	add(Namespaces, func() (string, error) { return namespaces(o.Network) })
	add(Privileges, func() (string, error) {
		return "", unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	})
	add(Capabilities, func() (string, error) { return noCapabilities(attr.Sys.Credential != nil) })
	add(Landlock, func() (string, error) { return restrict(o) })
	pid, err := syscall.ForkExec(o.Exe, append([]string{"ratchet"}, o.Args...), attr)
	// A finalizer must not close what is being handed over.
	runtime.KeepAlive(o)
	if err != nil {
		return nil, errorf("%s: %w", o.Exe, err)
	}
	c.pid = pid
	return c, nil
}

// drop gives up a right, unless that is switched off, and notes how that went.
//
//go:noinline
func (c *Child) drop(name string, off bool, f func() (string, error)) {
	if off {
		c.features = append(c.features, Feature{Name: name, Detail: switchedOff})
		return
	}
	detail, err := f()
	if err != nil {
		detail = err.Error()
	}
	c.features = append(c.features, Feature{Name: name, On: err == nil, Detail: detail})
}

// credential makes the child run as a user without supplementary groups.
func credential(name string, sys *syscall.SysProcAttr) (string, error) {
	if os.Geteuid() != 0 {
		return "", errorf("this process is user %d, and only root can start one of another user", os.Geteuid())
	}
	detail := "as " + name
	uid, gid, err := lookUp(name)
	if err != nil {
		uid, gid = 65534, 65534
		detail = fmt.Sprintf("as nobody, as which other programs may run, too: %v; make the system user %s", err, name)
	}
	sys.Credential = &syscall.Credential{Uid: uid, Gid: gid}
	return detail, nil
}

// lookUp finds a user of the system's own file, which is where system users are.
func lookUp(name string) (uid, gid uint32, err error) {
	b, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) { // name:password:uid:gid:...
		f := strings.SplitN(line, ":", 5)
		if len(f) < 5 || f[0] != name {
			continue
		}
		u, uerr := strconv.ParseUint(f[2], 10, 32)
		g, gerr := strconv.ParseUint(f[3], 10, 32)
		if uerr != nil || gerr != nil || u == 0 || g == 0 {
			return 0, 0, errorf("/etc/passwd has no user of its own for %s", name)
		}
		return uint32(u), uint32(g), nil
	}
	return 0, 0, errorf("no user %s in /etc/passwd", name)
}

// reap waits for the child's end on the thread that it was started from.
func (c *Child) reap() {
	defer close(c.done)
	for {
		// The number stays the child's until it is reaped, which happens under the lock.
		err := unix.Waitid(unix.P_PID, c.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err == unix.EINTR {
			continue
		}
		break
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reaped = true
	for {
		if _, err := syscall.Wait4(c.pid, &c.status, 0, nil); err != syscall.EINTR {
			return
		}
	}
}

// Features are those that Start laid on; the child reports what Confine did.
func (c *Child) Features() []Feature { return slices.Clone(c.features) }

// Pid is the child's number here; in its own namespace it has another.
func (c *Child) Pid() int { return c.pid }

// Kill ends the child at once. It does not wait; a child that has ended is no error.
func (c *Child) Kill() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reaped {
		return nil
	}
	return syscall.Kill(c.pid, syscall.SIGKILL)
}

// Done is closed when the child has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Wait waits for the child's end: nil if it ended by itself and well.
func (c *Child) Wait() error {
	<-c.done
	switch s := c.status; {
	case s.Signaled():
		return errorf("ended by signal %d (%v)", int(s.Signal()), s.Signal())
	case s.ExitStatus() != 0:
		return errorf("ended with exit status %d", s.ExitStatus())
	}
	return nil
}
