//go:build linux

package cutdisk

import (
	"bufio"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Found is what a process saw on the disk after a cut.
type Found struct {
	Cut    Cut
	Answer string
	Same   bool  // the same disk and question as that of a cut before, whose answer this is
	Err    error // the process failed, or could not mount
}

// Look mounts the disk as each of the cuts left it, in so many processes at once, made by command,
// which are to call Answer. question goes with each cut. The results are in the order of cuts.
func (d *Disk) Look(cuts []Cut, processes int, command func() *exec.Cmd, question func(Cut) string) []Found {
	out := make([]Found, len(cuts))
	type key struct {
		sectors  uint64
		question string
	}
	id, first, same := maphash.MakeSeed(), map[key]int{}, map[int]int{}
	for i, c := range cuts {
		k := key{d.fingerprint(id, c), question(c)}
		if was, ok := first[k]; ok {
			same[i] = was
		} else {
			first[k] = i
		}
	}
	next := make(chan int)
	var wg sync.WaitGroup
	for range processes {
		wg.Go(func() {
			var p *looker
			for i := range next {
				out[i].Cut = cuts[i]
				if p == nil {
					if p, out[i].Err = look(command(), int64(len(d.base))); out[i].Err != nil {
						continue
					}
				}
				if out[i].Answer, out[i].Err = p.ask(d.Image(cuts[i]), question(cuts[i])); out[i].Err != nil {
					p.end()
					p = nil
				}
			}
			if p != nil {
				p.end()
			}
		})
	}
	for i := range cuts {
		if _, ok := same[i]; !ok {
			next <- i
		}
	}
	close(next)
	wg.Wait()
	for i, was := range same {
		out[i] = Found{cuts[i], out[was].Answer, true, out[was].Err}
	}
	return out
}

// looker is a process that mounts what is in a file in memory.
type looker struct {
	c     *exec.Cmd
	image *os.File
	in    io.WriteCloser
	out   *bufio.Scanner
	errs  strings.Builder
}

func look(c *exec.Cmd, size int64) (*looker, error) {
	fd, err := unix.MemfdCreate("cutdisk", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	p := &looker{c: c, image: os.NewFile(uintptr(fd), "cutdisk")}
	isolate(c, p.image)
	c.Stderr = &p.errs
	out, err1 := c.StdoutPipe()
	in, err2 := c.StdinPipe()
	if err := errors.Join(err1, err2, p.image.Truncate(size)); err != nil {
		p.image.Close()
		return nil, err
	}
	if err := c.Start(); err != nil {
		p.image.Close()
		return nil, fmt.Errorf("cannot start a process with a mount namespace of its own, which needs root: %w", err)
	}
	p.in, p.out = in, bufio.NewScanner(out)
	return p, nil
}

func (p *looker) ask(image []byte, question string) (string, error) {
	if _, err := p.image.WriteAt(image, 0); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintln(p.in, question); err != nil {
		return "", err
	}
	if !p.out.Scan() {
		_ = p.in.Close()
		err := p.c.Wait()
		return "", fmt.Errorf("the process that looked ended: %w\n%s", err, p.errs.String())
	}
	if answer, ok := strings.CutPrefix(p.out.Text(), "ok "); ok {
		return answer, nil
	}
	return "", errors.New(p.out.Text())
}

func (p *looker) end() {
	_ = p.in.Close()
	_ = p.c.Wait()
	_ = p.image.Close()
}

// Answer mounts the disk for each question from the parent, asks look about the directory where it
// is, and answers, until the parent has no more. It is for the process that Look started.
func Answer(dir string, look func(at, question string) (string, error)) error {
	at := dir + "/state"
	if err := os.MkdirAll(at, 0o700); err != nil {
		return err
	}
	image := os.NewFile(handed, "cutdisk")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		err := mount(image, at)
		var answer string
		if err == nil {
			answer, err = look(at, in.Text())
			err = errors.Join(err, unix.Unmount(at, 0))
		}
		if err != nil {
			fmt.Println("failed:", strings.ReplaceAll(err.Error(), "\n", "; "))
			return nil // the directory may still be in use
		}
		fmt.Println("ok", answer)
	}
	return nil
}
