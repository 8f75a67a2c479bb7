//go:build linux

package main

import "strings"

// runtime is compiled into the package that is changed: the switch of each change.
func runtime(pkg string) string { return strings.Replace(runtimeText, "PACKAGE", pkg, 1) }

const runtimeText = `package PACKAGE

import (
	zzos "os"
	zzstrconv "strconv"
	zzsyscall "syscall"
)

var zzNow, zzSeen = zzStart()

func zzStart() (int, []byte) {
	n, _ := zzstrconv.Atoi(zzos.Getenv("MUTANT"))
	path := zzos.Getenv("MUTANT_SEEN")
	if path == "" {
		return n, nil
	}
	f, err := zzos.OpenFile(path, zzos.O_RDWR, 0)
	if err != nil {
		return n, nil
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return n, nil
	}
	b, err := zzsyscall.Mmap(int(f.Fd()), 0, int(st.Size()), zzsyscall.PROT_READ|zzsyscall.PROT_WRITE,
		zzsyscall.MAP_SHARED)
	if err != nil {
		return n, nil
	}
	return n, b
}

func zz(id int) bool {
	if zzSeen != nil {
		zzSeen[id] = 1
	}
	return zzNow == id
}

type zzInteger interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr
}

type zzNumber interface {
	zzInteger | ~float32 | ~float64
}

type zzOrdered interface {
	zzNumber | ~string
}

func zzLess[T zzOrdered](id int, a, b T) bool    { return a < b || zz(id) && a == b }
func zzMore[T zzOrdered](id int, a, b T) bool    { return a > b || zz(id) && a == b }
func zzAtMost[T zzOrdered](id int, a, b T) bool  { return a < b || !zz(id) && a == b }
func zzAtLeast[T zzOrdered](id int, a, b T) bool { return a > b || !zz(id) && a == b }

func zzPlus[T zzNumber](id int, a, b T) T {
	if zz(id) {
		return a - b
	}
	return a + b
}

func zzMinus[T zzNumber](id int, a, b T) T {
	if zz(id) {
		return a + b
	}
	return a - b
}

func zzMoreBy[T zzInteger](more, less int, v T) T {
	if zz(more) {
		return v + 1
	}
	if less != 0 && zz(less) {
		return v - 1
	}
	return v
}

func zzTwice[T zzInteger](id int, v T) T {
	if zz(id) {
		return 2 * v
	}
	return v
}

func zzOtherText[T ~string](id int, v T) T {
	if zz(id) {
		return v + "\x00"
	}
	return v
}

func zzOtherNumber[T zzInteger](id int, v T) T {
	if zz(id) {
		return v + 101
	}
	return v
}

func zzError(id int, f func() error) error {
	if zz(id) {
		return nil
	}
	return f()
}

func zzEmpty[T any](id int, v T) T {
	if zz(id) {
		var none T
		return none
	}
	return v
}
`
