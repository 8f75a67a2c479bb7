//go:build !386 && !arm

package sandboxtest

import "golang.org/x/sys/unix"

const (
	setgroups32 = unix.SYS_SETGROUPS
	setuid32    = unix.SYS_SETUID
)
