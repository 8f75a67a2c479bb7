package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// namespaces gives the calling thread, or its children, namespaces of their own, each as far as the
// kernel and the unit (RestrictNamespaces=) let it. The network stays where it is needed.
func namespaces(network bool) (string, error) {
	kinds := []struct {
		name string
		flag int
	}{{"pid", unix.CLONE_NEWPID}, {"ipc", unix.CLONE_NEWIPC}, {"uts", unix.CLONE_NEWUTS},
		{"cgroup", unix.CLONE_NEWCGROUP}, {"net", unix.CLONE_NEWNET}}
	if network {
		kinds = kinds[:len(kinds)-1]
	}
	var have, lack []string
	for _, k := range kinds {
		if err := unix.Unshare(k.flag); err != nil {
			lack = append(lack, fmt.Sprintf("%s: %v", k.name, err))
		} else {
			have = append(have, k.name)
		}
	}
	detail := strings.Join(have, ", ")
	if len(lack) > 0 {
		detail += "; not " + strings.Join(lack, ", ")
	}
	if len(have) == 0 {
		return "", errors.New("none: " + strings.Join(lack, ", "))
	}
	return detail, nil
}

// noCapabilities takes from the calling thread what a program that it executes could get: the bounding
// set, and with it all that the identity of root brings; the inheritable and the ambient one. Its own
// capabilities it keeps until then, to become another user; who does so (other) has none left by that.
func noCapabilities(other bool) (string, error) {
	detail := "none"
	for c := uintptr(0); c < 64; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if err == unix.EINVAL && c > 0 {
			break // the kernel has no more
		}
		if err == unix.EPERM && !held() {
			break // there is nothing to take: this process has none itself, and gets no privileges
		}
		if err != nil && other {
			detail = fmt.Sprintf("none, but the bounding set is not empty (CAP_SETPCAP): %v", err)
			break
		}
		if err != nil {
			return "", errorf("cannot empty the bounding set (CAP_SETPCAP): %w", err)
		}
	}
	err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	if err != nil && err != unix.EINVAL { // there is none before Linux 4.3
		return "", errorf("cannot clear the ambient set: %w", err)
	}
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return "", errorf("cannot read the capabilities: %w", err)
	}
	data[0].Inheritable, data[1].Inheritable = 0, 0
	if err := unix.Capset(&head, &data[0]); err != nil {
		return "", errorf("cannot clear the inheritable set: %w", err)
	}
	return detail, nil
}

// held says whether the calling thread has any capability.
func held() bool {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return true
	}
	return data[0].Permitted|data[1].Permitted|data[0].Inheritable|data[1].Inheritable != 0
}

// yielding is a child's oom_score_adj, if this process has less.
const yielding = 500

// yields is held while this process has a child's: the value is the process's, not the thread's.
var yields sync.Mutex

// yield gives this process the place of a child in a shortage of memory, for the child to inherit; restore gives it
// its own back, which needs no privilege, and is to be called. Under the unit a child's file in /proc is not to be
// seen, and a child could write its own only by a right that it is not to have.
func yield() (restore func(), err error) {
	nothing := func() {}
	f, err := os.OpenFile("/proc/self/oom_score_adj", os.O_RDWR, 0) // now: a confined thread cannot
	if err != nil {
		return nothing, err
	}
	yields.Lock()
	done := func() { yields.Unlock(); f.Close() }
	b := make([]byte, 16)
	n, err := f.Read(b)
	var own int
	if err == nil {
		own, err = strconv.Atoi(strings.TrimSpace(string(b[:n])))
	}
	if err == nil && own < yielding {
		if _, err = f.WriteAt(strconv.AppendInt(nil, yielding, 10), 0); err == nil {
			return func() {
				_, _ = f.WriteAt(strconv.AppendInt(nil, int64(own), 10), 0)
				done()
			}, nil
		}
	}
	done()
	return nothing, err
}
