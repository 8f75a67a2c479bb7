// Package sandbox starts this program once more as a process that can do less, and confines it.
//
// What the kernel keeps for each thread (namespaces, no new privileges, capabilities, Landlock) is laid
// on one thread of the parent, which then forks: so the child has all of it in its first instruction,
// on all of its threads, and the daemon's other threads have none of it. That thread does nothing else
// until the child has ended, and ends with it; its end would end the child (the parent-death signal).
// What belongs to a whole process (seccomp, limits, no dumps) the child takes on itself, by Confine,
// before it reads the first byte from outside.
//
// Each feature is optional: a kernel, or a unit, that does not have one is told of and does without.
// Nothing here keeps a device from its updates; what is off is said, with its reason.
//
// What a refused system call answers: an error, never the end of the process. A newer kernel or Go
// runtime may call what nobody here has heard of, on a device that nobody can reach; it then hears that
// the call does not exist, and does what it does on an older kernel.
//
// There is no mount namespace: a copy of the mounts would hold the target slot's file system mounted
// after the system has let go of it, and the slot could not be opened any more.
package sandbox

// Names of the features, as they are reported and as Without takes them.
const (
	User         = "user"              // an own user and group, no others
	Namespaces   = "namespaces"        // processes, IPC, names of the host, cgroups; the network, where none is needed
	Privileges   = "no-new-privileges" // nothing that it executes has more rights
	Capabilities = "capabilities"      // none of root's
	Landlock     = "landlock"          // which files may be read, and which ports used
	Priority     = "out-of-memory"     // it ends before the daemon does
	Dumps        = "no-dumps"          // its memory is not for others, nor for a core file
	Limits       = "limits"            // of files, descriptors and memory
	Seccomp      = "seccomp"           // which system calls there are
)

// Names are all features, in the order in which they are reported.
func Names() []string {
	return []string{Priority, User, Namespaces, Privileges, Capabilities, Landlock, Dumps, Limits, Seccomp}
}

// Feature is one feature as it came out.
type Feature struct {
	Name   string
	On     bool
	Detail string // what it comes to; or why it is off
}

const switchedOff = "switched off in the configuration"
