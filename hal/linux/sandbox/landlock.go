package sandbox

import (
	"errors"
	"fmt"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// landlockAPI is the newest version of Landlock that was tried here. A newer kernel forbids what this
// one does: what a later version adds may forbid what is needed, and nobody would have seen it.
const landlockAPI = 7

const readFile, readAll = unix.LANDLOCK_ACCESS_FS_READ_FILE,
	unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR

// handled is what version api can forbid.
func handled(api int, network bool) (attr unix.LandlockRulesetAttr, detail string) {
	attr.Handled_access_fs = 1<<13 - 1
	detail = "no file but what is named, none written"
	if api >= 2 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if api >= 3 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if api >= 4 {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP
		detail += ", no TCP port of its own"
		if !network {
			attr.Handled_access_net |= unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
			detail += ", no TCP"
		}
	}
	if api >= 5 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if api >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
		detail += ", no signals and abstract sockets of others"
	}
	return attr, fmt.Sprintf("version %d: %s", api, detail)
}

// size is how much of the attributes a kernel of version api knows; it refuses more.
func size(api int) uintptr {
	switch {
	case api >= 6:
		return unsafe.Offsetof(unix.LandlockRulesetAttr{}.Quiet_access_fs)
	case api >= 4:
		return unsafe.Offsetof(unix.LandlockRulesetAttr{}.Scoped)
	}
	return unsafe.Offsetof(unix.LandlockRulesetAttr{}.Handled_access_net)
}

// restrict lays Landlock on the calling thread. All that it executes from now on is this program.
func restrict(o Options) (string, error) {
	api, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch errno {
	case 0:
	case unix.ENOSYS:
		return "", errors.New("the kernel has none (Linux 5.13, CONFIG_SECURITY_LANDLOCK)")
	case unix.EOPNOTSUPP:
		return "", errors.New("the kernel was started without it (lsm=landlock,...)")
	default:
		return "", errorf("cannot ask the kernel for it: %w", errno)
	}
	version := min(int(api), landlockAPI)
	attr, detail := handled(version, o.Network)
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size(version), 0)
	if errno != 0 {
		return "", errorf("cannot make a set of rules: %w", errno)
	}
	defer unix.Close(int(fd))
	if err := beneath(int(fd), o.Exe, readFile|unix.LANDLOCK_ACCESS_FS_EXECUTE); err != nil {
		return "", err
	}
	if o.libraries {
		for _, path := range []string{"/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64",
			"/etc/ld.so.cache"} {
			if err := beneath(int(fd), path, readAll|unix.LANDLOCK_ACCESS_FS_EXECUTE); err != nil {
				return "", err
			}
		}
		detail += "; libraries may be read and executed: build Ratchet with CGO_ENABLED=0"
	}
	for _, path := range o.Read {
		if err := beneath(int(fd), path, readAll); err != nil {
			return "", err
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return "", errorf("cannot lay the rules on: %w", errno) // EPERM: neither root nor no-new-privileges
	}
	return detail, nil
}

// beneath allows access at path and beneath. Rules are of what stands there now: for what is missing,
// and for a file that is replaced by another, the folder has to be named. A missing one stands for the
// nearest folder that is there, but never for / or what stands directly in it, save for /run, which is filled while the
// system starts: by who keeps /etc/resolv.conf, too.
func beneath(rules int, path string, access uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	for err == unix.ENOENT || err == unix.ENOTDIR {
		path = filepath.Dir(path)
		if filepath.Dir(path) == "/" && path != "/run" || path == "." {
			return nil
		}
		fd, err = unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return errorf("cannot open %s: %w", path, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return errorf("cannot look at %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &^= unix.LANDLOCK_ACCESS_FS_READ_DIR
	}
	attr := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if errno != 0 {
		return errorf("cannot allow %s: %w", path, errno)
	}
	return nil
}
