package boxtest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/connect"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/probe"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/unpack"
	"github.com/ratchet-ota/ratchet/transport/network/networktest"
	"github.com/ratchet-ota/ratchet/transport/wire/pair"
)

// Rogues are network processes that were taken over, by name: what one does on the device of files in dir.
type Rogues map[string]func(r *networktest.Rogue, dir string) error

// Rogue is a table [mqtt] by which the device's network process is the rogue of that name.
func (b *Box) Rogue(name string) string {
	return fmt.Sprintf("[mqtt]\nurl = \"mqtts://127.0.0.1:9\"\nusername = \"rogue %s %s.\"\n", name, b.Dir)
}

// Main runs the tests of m, or what a daemon of theirs has started: this test program is all of its processes.
func Main(m *testing.M, rogues Rogues) {
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == "net":
		err = process(rogues)
	case len(os.Args) > 1 && os.Args[1] == "unpack":
		err = unpack.Process(os.Stdin, os.Stdout, os.Args[2:])
	case len(os.Args) > 1 && os.Args[1] == "probe":
		err = probe.Process(context.Background(), os.Stdin, os.Stdout)
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func process(rogues Rogues) error {
	const descriptor = 3
	name, dir, ok := rogue(descriptor)
	if !ok {
		return connect.Process(context.Background())
	}
	does := rogues[name]
	if does == nil {
		return fmt.Errorf("there is no rogue %q", name)
	}
	conn, err := pair.Socket(os.NewFile(descriptor, "daemon"), true)
	if err != nil {
		return err
	}
	return networktest.Play(true, func(r *networktest.Rogue) error {
		s, err := connect.Decode(r.Setup.Settings)
		if err != nil {
			return err
		}
		connect.Confine(s) // it was taken over when it connected, and not before
		return does(r, dir)
	})(conn)
}

// rogue looks at what the daemon has to say, without taking it, and finds who is to be played.
func rogue(fd int) (name, dir string, ok bool) {
	buf := make([]byte, pair.Max)
	_ = syscall.SetNonblock(fd, false)
	n, _, err := syscall.Recvfrom(fd, buf, syscall.MSG_PEEK)
	if err != nil {
		return "", "", false
	}
	_, after, ok := strings.Cut(string(buf[:n]), "rogue ")
	if !ok {
		return "", "", false
	}
	name, after, _ = strings.Cut(after, " ")
	dir, _, _ = strings.Cut(after, ".")
	return name, dir, true
}
