//go:build 386 || arm

package sandboxtest

import "golang.org/x/sys/unix"

const (
	setgroups32 = unix.SYS_SETGROUPS32
	setuid32    = unix.SYS_SETUID32
)
