package sandbox

import (
	"errors"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A rule allows a system call: always, or if one argument, of which mask is looked at, has one of the
// values; otherwise it answers errno. Arguments are ints and flags, of which the kernel takes the lower
// 32 bits alone.
type rule struct {
	nr     uint32
	arg    int
	mask   uint32
	values []uint32
	errno  unix.Errno
}

const anything = ^uint32(0)

// plain are calls that are allowed as they are: what the runtime of Go and the packages os, net and time use, and what
// the kernel's vDSO turns to where it has no clock of its own.
var plain = []uint16{unix.SYS_READ, unix.SYS_WRITE, unix.SYS_FUTEX, unix.SYS_EPOLL_PWAIT, unix.SYS_NANOSLEEP,
	unix.SYS_CLOCK_NANOSLEEP, unix.SYS_SCHED_YIELD, unix.SYS_CLOSE, unix.SYS_MADVISE, unix.SYS_MUNMAP,
	unix.SYS_MINCORE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_FSTAT, unix.SYS_EPOLL_CTL,
	unix.SYS_EPOLL_CREATE1, unix.SYS_EVENTFD2, unix.SYS_PIPE2, unix.SYS_RT_SIGACTION,
	unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETPPID, unix.SYS_GETUID,
	unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_SCHED_GETAFFINITY, unix.SYS_CLOCK_GETTIME,
	unix.SYS_CLOCK_GETRES, unix.SYS_GETTIMEOFDAY, unix.SYS_GETRANDOM, unix.SYS_UNAME, unix.SYS_SET_ROBUST_LIST,
	unix.SYS_RSEQ, unix.SYS_GETCPU}

// reading are those of a process that opens files.
var reading = []uint16{unix.SYS_READLINKAT, unix.SYS_GETDENTS64, unix.SYS_PREAD64, unix.SYS_LSEEK, unix.SYS_FACCESSAT}

const thread = unix.CLONE_THREAD | unix.CLONE_VM | unix.CLONE_SIGHAND

// checked are calls of which an argument decides.
var checked = []rule{
	// Memory is written or executed, never both, and nothing new is executed.
	{nr: mmap, arg: 2, mask: unix.PROT_EXEC, values: []uint32{0}, errno: unix.EPERM},
	{nr: unix.SYS_MPROTECT, arg: 2, mask: unix.PROT_EXEC, values: []uint32{0}, errno: unix.EPERM},
	// Threads, not processes. clone3 has its flags in memory, where a filter sees nothing: it is not there.
	{nr: unix.SYS_CLONE, arg: 0, mask: thread | unix.CLONE_PTRACE | unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP |
		unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET,
		values: []uint32{thread}, errno: unix.EPERM},
	// Names of memory areas, which the runtime gives.
	{nr: unix.SYS_PRCTL, arg: 0, mask: anything, values: []uint32{unix.PR_SET_VMA}, errno: unix.EPERM},
	{nr: fcntl, arg: 1, mask: anything, errno: unix.EPERM, values: []uint32{unix.F_GETFL, unix.F_SETFL,
		unix.F_GETFD, unix.F_SETFD, unix.F_DUPFD_CLOEXEC}},
}

// readOnly is how files may be opened.
var readOnly = rule{nr: unix.SYS_OPENAT, arg: 2, mask: unix.O_ACCMODE | unix.O_CREAT | unix.O_TRUNC,
	values: []uint32{unix.O_RDONLY}, errno: unix.EACCES}

// rules are what a process of a policy may call. All else does not exist (ENOSYS), which is what Go and others know to
// get along without.
func rules(p Policy) []rule {
	rs := append(always(nil, plain), checked...)
	for _, nr := range []uint32{unix.SYS_TGKILL, unix.SYS_KILL} { // the runtime's signals to itself, and a crash
		rs = append(rs, rule{nr: nr, mask: anything, values: []uint32{uint32(os.Getpid())}, errno: unix.EPERM})
	}
	if p.Read {
		rs = append(always(rs, reading), readOnly)
	}
	return machine(rs, p)
}

// always appends rules without a condition.
func always(rs []rule, nrs []uint16) []rule {
	for _, nr := range nrs {
		rs = append(rs, rule{nr: uint32(nr)})
	}
	return rs
}

// families says whether the filter sees of which family a socket is.
const families = runtime.GOARCH != "386"

const (
	offsetNr   = 0
	offsetArch = 4
	offsetArgs = 16
)

// program turns rules into a program for the kernel. All architectures that it is for are little endian.
func program(rs []rule) []unix.SockFilter {
	load := func(off uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: off}
	}
	ret := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	equal := func(k uint32, yes, no int) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: uint8(yes), Jf: uint8(no)}
	}
	refuse := func(e unix.Errno) unix.SockFilter { return ret(unix.SECCOMP_RET_ERRNO | uint32(e)) }
	// Another architecture's calls have other numbers. Nothing here makes any.
	out := []unix.SockFilter{load(offsetArch), equal(auditArch, 1, 0), ret(unix.SECCOMP_RET_KILL_PROCESS),
		load(offsetNr)}
	for _, r := range rs {
		if r.mask == 0 {
			out = append(out, equal(r.nr, 0, 1), ret(unix.SECCOMP_RET_ALLOW))
			continue
		}
		// nr? load arg; mask; one jump each value; refuse; allow.
		n := len(r.values)
		out = append(out, equal(r.nr, 0, n+4), load(offsetArgs+8*uint32(r.arg)),
			unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: r.mask})
		for i, v := range r.values {
			out = append(out, equal(v, n-i, 0))
		}
		out = append(out, refuse(r.errno), ret(unix.SECCOMP_RET_ALLOW))
	}
	return append(out, refuse(unix.ENOSYS))
}

// filter lays the rules on all threads of this process at once.
func filter(p Policy) (string, error) {
	if auditArch == 0 {
		return "", errors.New("not made for this architecture")
	}
	prog := program(rules(p))
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	stuck, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&fprog)))
	switch {
	case errno == unix.ENOSYS || errno == unix.EINVAL:
		return "", errors.New("the kernel has none (Linux 3.17, CONFIG_SECCOMP_FILTER)")
	case errno == unix.EACCES:
		return "", errors.New("it needs no-new-privileges")
	case errno != 0:
		return "", errorf("cannot lay the filter on: %w", errno)
	case stuck != 0:
		return "", errorf("cannot lay the filter on thread %d", stuck)
	}
	detail := "no other program or process, no executable memory, nothing of another process"
	if !p.Read {
		detail += ", no file"
	}
	if !p.Network {
		detail += ", no socket"
	} else if families {
		detail += ", no socket but IP"
	}
	return detail, nil
}
