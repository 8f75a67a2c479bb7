package linux

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Program headers of ELF, as the kernel has put them into memory (System V ABI, chapter 5).
type (
	header64 struct {
		kind, flags                                uint32
		off, addr, phys, inFile, inMemory, aligned uint64
	}
	header32 struct {
		kind, off, addr, phys, inFile, inMemory, flags, aligned uint32
	}
)

const (
	loaded   = 1 // PT_LOAD
	itself   = 6 // PT_PHDR: where the headers are
	writable = 2 // PF_W
	atPHDR   = 3 // AT_PHDR, AT_PHNUM: where the kernel says that they are, and how many
	atPHNUM  = 5
)

// ReleaseText unmaps the pages of the running program's code and constants that are only there because the kernel maps
// whole neighbourhoods of what a start touches. They stay in the page cache and come back one by one when they are
// used; a daemon that idles then holds what it needs. Nothing that was written to is touched, and no file is opened: a
// process that is confined may do it.
func ReleaseText() error {
	vector, err := unix.Auxv()
	if err != nil {
		return errorf("cannot find the program in memory: %w", err)
	}
	var at, n uintptr
	for _, x := range vector {
		switch x[0] {
		case atPHDR:
			at = x[1]
		case atPHNUM:
			n = x[1]
		}
	}
	if at == 0 || n == 0 || n > 64 {
		return errors.New("cannot find the program in memory: the kernel does not say where it is")
	}
	headers := make([]header64, n)
	for i := range headers {
		headers[i] = programHeader(at, uintptr(i))
	}
	base, found := uint64(0), false
	for _, h := range headers {
		if h.kind == itself {
			base, found = uint64(at)-h.addr, true
		}
	}
	if !found {
		return errors.New("cannot find the program in memory: it does not say where it was to be")
	}
	page := uint64(os.Getpagesize())
	for _, h := range headers {
		if h.kind != loaded || h.flags&writable != 0 {
			continue
		}
		from, to := (base+h.addr)/page*page, (base+h.addr+h.inMemory+page-1)/page*page
		_, _, errno := unix.Syscall(unix.SYS_MADVISE, uintptr(from), uintptr(to-from), unix.MADV_DONTNEED)
		if errno != 0 {
			return errorf("cannot release the program's pages: %w", errno)
		}
	}
	return nil
}

// programHeader is number i of those at an address.
func programHeader(at, i uintptr) header64 {
	p := unsafe.Add(unsafe.Pointer(nil), at)
	if unsafe.Sizeof(at) == 8 {
		return *(*header64)(unsafe.Add(p, i*unsafe.Sizeof(header64{})))
	}
	h := *(*header32)(unsafe.Add(p, i*unsafe.Sizeof(header32{})))
	return header64{kind: h.kind, flags: h.flags, addr: uint64(h.addr), inMemory: uint64(h.inMemory)}
}

// Together is the memory of a process and those of its children that run the same program now, in bytes (PSS: what
// several share is divided among them); 0 where nobody tells. It takes time, and is for measurements.
func Together(pid int) (sum int64) {
	pids := []string{fmt.Sprint(pid)}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		b, _ := os.ReadFile(t)
		pids = append(pids, strings.Fields(string(b))...)
	}
	program, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return 0
	}
	for _, pid := range pids {
		if p, err := os.Stat("/proc/" + pid + "/exe"); err != nil || !os.SameFile(p, program) {
			continue
		}
		b, _ := os.ReadFile("/proc/" + pid + "/smaps_rollup")
		for line := range strings.Lines(string(b)) {
			var kib int64
			if _, err := fmt.Sscanf(line, "Pss: %d", &kib); err == nil {
				sum += kib << 10
			}
		}
	}
	return sum
}
