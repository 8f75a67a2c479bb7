//go:build linux

package cutdisk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// handed is the descriptor of the disk in a process that was started here.
const handed = 3

// Mark is what the process at work has said, and how many requests the disk had seen then: what it
// did before lies below At, what it did after at At and above.
type Mark struct {
	At   int
	Word string
}

// Format makes an ext4 file system of size bytes with blocks of 4096 bytes and the features that
// mke2fs gives it by default. Its tables are written at once, so that no kernel thread does it while
// the disk records.
func Format(size int64) ([]byte, error) {
	f, err := os.CreateTemp("", "cutdisk-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return nil, err
	}
	c := exec.Command("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-J", "size=4", "-m", "0", "-E",
		"lazy_itable_init=0,lazy_journal_init=0", f.Name())
	if out, err := c.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cannot make a file system: %w %s", err, out)
	}
	return os.ReadFile(f.Name())
}

// isolate makes a command start in a mount namespace of its own, and end when this thread does.
func isolate(c *exec.Cmd, f *os.File) {
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	c.ExtraFiles = []*os.File{f}
}

// Run starts a process, which is to call Attach, serves it this disk until it has ended and the file
// system is unmounted, and returns what it said. on, which may be nil, is called with each word
// while the process waits: it may break the disk.
func (d *Disk) Run(c *exec.Cmd, on func(word string)) ([]Mark, error) {
	fd, err := syscall.Open("/dev/fuse", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open /dev/fuse, which this needs as well as root and loop devices: %w", err)
	}
	// Not an os.File: Go would wait for it with epoll, and the connection begins with the mount.
	defer syscall.Close(fd)
	dup, err := syscall.Dup(fd)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(dup), "/dev/fuse")
	isolate(c, f)
	var errs strings.Builder
	c.Stderr = &errs
	say, err1 := c.StdoutPipe()
	ack, err2 := c.StdinPipe()
	err = errors.Join(err1, err2)
	if err == nil {
		err = c.Start()
	}
	_ = f.Close()
	if err != nil {
		return nil, fmt.Errorf("cannot start a process with a mount namespace of its own, which needs root: %w", err)
	}
	served := make(chan error, 1)
	mounted := false
	var marks []Mark
	for in := bufio.NewScanner(say); in.Scan(); {
		if !mounted { // the first word; before the mount a read from /dev/fuse is an error
			mounted = true
			go func() { served <- d.serve(fd) }()
		} else {
			marks = append(marks, Mark{d.Entries(), in.Text()})
			if on != nil {
				on(in.Text())
			}
		}
		if _, err := io.WriteString(ack, "\n"); err != nil {
			break
		}
	}
	err = c.Wait()
	if err != nil {
		err = fmt.Errorf("the process at work: %w\n%s", err, errs.String())
	}
	if mounted {
		err = errors.Join(err, <-served)
	}
	return marks, err
}

// Attach mounts the disk of this process at a new directory below dir, and returns that. It is for
// the process that Run started.
func Attach(dir string) (string, error) {
	file, at := dir+"/disk", dir+"/state"
	err := errors.Join(os.WriteFile(file, nil, 0o600), os.Mkdir(at, 0o700))
	if err != nil {
		return "", err
	}
	opts := fmt.Sprintf("fd=%d,rootmode=%o,user_id=0,group_id=0", handed, syscall.S_IFREG)
	if err := unix.Mount("cutdisk", file, "fuse", unix.MS_NOSUID|unix.MS_NODEV, opts); err != nil {
		return "", fmt.Errorf("cannot mount FUSE: %w", err)
	}
	if err := unix.Close(handed); err != nil {
		return "", err
	}
	if err := Say("mounted"); err != nil {
		return "", err
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return at, mount(f, at)
}

// mount puts a loop device on a file and mounts it. The device goes with the mount.
func mount(f *os.File, at string) error {
	control, err := unix.Open("/dev/loop-control", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open /dev/loop-control: %w", err)
	}
	defer unix.Close(control)
	for {
		n, err := unix.IoctlRetInt(control, unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return fmt.Errorf("cannot find a loop device: %w", err)
		}
		name := fmt.Sprintf("/dev/loop%d", n)
		fd, err := unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("cannot open %s: %w", name, err)
		}
		err = unix.IoctlLoopConfigure(fd,
			&unix.LoopConfig{Fd: uint32(f.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}})
		if err == nil {
			err = unix.Mount(name, at, "ext4", unix.MS_NOSUID|unix.MS_NODEV, "")
		}
		unix.Close(fd)
		if errors.Is(err, unix.EBUSY) {
			continue // another process was faster
		}
		if err != nil {
			return fmt.Errorf("cannot mount the disk: %w", err)
		}
		return nil
	}
}

// Say tells the parent a word, and waits until it has noted it.
func Say(word string) error {
	if _, err := fmt.Println(word); err != nil {
		return err
	}
	var b [1]byte
	if _, err := os.Stdin.Read(b[:]); err != nil {
		return fmt.Errorf("the parent is gone: %w", err)
	}
	return nil
}
