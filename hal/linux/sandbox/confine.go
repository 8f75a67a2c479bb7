package sandbox

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Policy says what this process needs from now on.
type Policy struct {
	Files   int      // descriptors that were handed over by Options.Files
	Network bool     // sockets of IPv4 and IPv6, which connect
	Read    bool     // files may be opened, for reading
	Memory  int64    // bytes of data that it may have at most; 0: as many as there are
	Without []string // names of features that are switched off
}

// Descriptors is how many descriptors a confined process can have.
const Descriptors = 128

// Confine confines this process for good, on all its threads, and tells how it went. It is for a child
// of Start and comes before the first byte from outside.
func Confine(p Policy) []Feature {
	closeInherited(3 + p.Files)
	var fs []Feature
	add := func(name string, f func() (string, error)) {
		feature := Feature{Name: name, Detail: switchedOff}
		if !slices.Contains(p.Without, name) {
			detail, err := f()
			if feature = (Feature{Name: name, On: err == nil, Detail: detail}); err != nil {
				feature.Detail = err.Error()
			}
		}
		fs = append(fs, feature)
	}
	add(Dumps, func() (string, error) { return "", unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) })
	add(Limits, func() (string, error) { return limits(p) })
	add(Seccomp, func() (string, error) { return filter(p) })
	return fs
}

// closeInherited closes what came with the process's start and was not meant for it. Go opens everything
// so that it is closed then; but the daemon may have been started with a descriptor too many. What was
// opened since (the runtime's own) is marked, what was inherited is not.
func closeInherited(from int) {
	for fd := from; fd < 1024; fd++ {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.Close(fd)
		}
	}
}

// limits lowers what the process may have. Threads are not limited: the limit is of all processes of a
// user, and the Go runtime ends where it cannot make one.
func limits(p Policy) (string, error) {
	type limit struct {
		what int
		n    uint64
	}
	all := []limit{{unix.RLIMIT_CORE, 0}, {unix.RLIMIT_NOFILE, Descriptors}, {unix.RLIMIT_MEMLOCK, 0},
		{unix.RLIMIT_MSGQUEUE, 0}, {unix.RLIMIT_RTPRIO, 0}}
	detail := fmt.Sprintf("%d descriptors", Descriptors)
	if p.Memory > 0 && !unlimited {
		all = append(all, limit{unix.RLIMIT_DATA, uint64(p.Memory)})
		detail += fmt.Sprintf(", %d MiB of data", p.Memory>>20)
	}
	// Who writes a log into a file (a test, StandardError=file:) would be killed by this one.
	file := false
	for fd := range 3 + p.Files {
		var st unix.Stat_t
		file = file || unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG
	}
	if !file {
		all = append(all, limit{unix.RLIMIT_FSIZE, 0})
		detail += ", no byte into a file"
	}
	var errs []error
	for _, l := range all {
		// A hard limit that is lower already stays.
		var now unix.Rlimit
		err := unix.Getrlimit(l.what, &now)
		if err == nil {
			n := min(l.n, uint64(now.Max))
			err = unix.Setrlimit(l.what, &unix.Rlimit{Cur: n, Max: n})
		}
		if err != nil {
			errs = append(errs, errorf("cannot set limit %d: %w", l.what, err))
		}
	}
	return detail, errors.Join(errs...)
}
