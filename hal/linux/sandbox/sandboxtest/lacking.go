// Package sandboxtest starts programs as on a kernel, or in a unit, that lacks features of the sandbox:
// by a filter that answers their system calls as such a kernel would. It is for tests.
package sandboxtest

import (
	"fmt"
	"os/exec"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Lack is something that a kernel may not have, or a unit not allow.
type Lack struct {
	Name    string
	Feature string // name of the feature that is off then; "" where others make up for it
	calls   []call
}

// call is a system call and its answer: always, or for one value of the first argument.
type call struct {
	nr    uint32
	first int64 // -1: any
	errno unix.Errno
}

// Lacks are all that can be played.
func Lacks() []Lack {
	const setresuid, setgroups, setuid = unix.SYS_SETRESUID, unix.SYS_SETGROUPS, unix.SYS_SETUID
	landlock := func(e unix.Errno) []call { return []call{{unix.SYS_LANDLOCK_CREATE_RULESET, -1, e}} }
	return []Lack{
		{"no Landlock in the kernel", "landlock", landlock(unix.ENOSYS)},
		{"Landlock is not in lsm=", "landlock", landlock(unix.EOPNOTSUPP)},
		{"no Landlock for this process", "landlock", []call{{unix.SYS_LANDLOCK_RESTRICT_SELF, -1, unix.EPERM}}},
		{"no rules of Landlock", "landlock", []call{{unix.SYS_LANDLOCK_ADD_RULE, -1, unix.EINVAL}}},
		{"no seccomp in the kernel", "seccomp", []call{{unix.SYS_SECCOMP, -1, unix.ENOSYS}}},
		{"no filters of seccomp", "seccomp", []call{{unix.SYS_SECCOMP, -1, unix.EINVAL}}},
		{"no namespaces by RestrictNamespaces=", "namespaces", []call{{unix.SYS_UNSHARE, -1, unix.EPERM}}},
		{"no namespaces in the kernel", "namespaces", []call{{unix.SYS_UNSHARE, -1, unix.EINVAL}}},
		{"too many namespaces", "namespaces", []call{{unix.SYS_UNSHARE, -1, unix.ENOSPC}}},
		{"no PID namespace", "", []call{{unix.SYS_UNSHARE, unix.CLONE_NEWPID, unix.EINVAL}}},
		{"no other user", "user", []call{{setgroups, -1, unix.EPERM}, {setgroups32, -1, unix.EPERM},
			{setuid, -1, unix.EPERM}, {setuid32, -1, unix.EPERM}, {setresuid, -1, unix.EPERM}}},
		{"no new privileges cannot be set", "no-new-privileges", []call{{unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS,
			unix.EINVAL}}},
		{"the bounding set cannot be read or changed", "", []call{{unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, unix.EPERM}}},
		{"capabilities cannot be changed", "capabilities", []call{{unix.SYS_CAPSET, -1, unix.EPERM}}},
		{"dumps cannot be switched off", "no-dumps", []call{{unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, unix.EINVAL}}},
		{"limits cannot be set", "limits", []call{{unix.SYS_PRLIMIT64, -1, unix.EPERM},
			{unix.SYS_SETRLIMIT, -1, unix.EPERM}}},
	}
}

// NoProcesses is a machine on which package sandbox cannot start any: one at its limit of processes.
func NoProcesses() Lack {
	const flags = unix.CLONE_VFORK | unix.CLONE_VM | int64(unix.SIGCHLD) // syscall.ForkExec; package os has one more
	return Lack{Name: "no more processes", calls: []call{{unix.SYS_CLONE, flags, unix.EAGAIN}}}
}

// Start starts cmd as on a machine that lacks all of lacks, for it and for all that it starts.
func Start(cmd *exec.Cmd, lacks ...Lack) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and not unlocked: the thread is of no more use
		err := lay(lacks)
		if err == nil {
			err = cmd.Start()
		}
		done <- err
	}()
	return <-done
}

// lay puts the filter on the calling thread.
func lay(lacks []Lack) error {
	load := func(off uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: off}
	}
	equal := func(k uint32, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jf: no}
	}
	ret := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	var prog []unix.SockFilter
	for _, l := range lacks {
		for _, c := range l.calls {
			answer := ret(unix.SECCOMP_RET_ERRNO | uint32(c.errno))
			if c.first < 0 {
				prog = append(prog, load(0), equal(c.nr, 1), answer)
				continue
			}
			prog = append(prog, load(0), equal(c.nr, 3), load(16), equal(uint32(c.first), 1), answer)
		}
	}
	prog = append(prog, ret(unix.SECCOMP_RET_ALLOW))
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	// Root needs no promise of no new privileges, and the program is to be started without.
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return fmt.Errorf("cannot play the lack of %s (needs root): %w", lacks[0].Name, errno)
	}
	return nil
}
