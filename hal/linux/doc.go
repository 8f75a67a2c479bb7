//go:build linux

// Package linux is hal on a Linux machine: block devices and regular files as slots, the file
// system, /dev/watchdog, reboot(2), the kernel's clocks and the identity of the running system.
//
// Durability is the kernel's: nothing is durable before fdatasync or fsync has returned, and these
// also flush the drive's own cache. A Sync that failed once fails for ever on that handle, because
// the kernel marks the pages clean and a second fsync would succeed without having written them.
package linux
