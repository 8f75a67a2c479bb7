package daemon_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/boxtest"
	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/network/networktest"
	"github.com/ratchet-ota/ratchet/transport/wire/pair"
)

// system7 is the image that rogues are asked for.
var system7 = bytes.Repeat([]byte("system 7"), 8192)

// rogues are what a network process does that was taken over.
var rogues = boxtest.Rogues{
	"wrong-bytes": serves(func(w pair.File) pair.Code {
		_, _ = w.Write(bytes.Repeat([]byte("evil"), len(system7)/4))
		return pair.OK
	}),
	"one-bit": serves(func(w pair.File) pair.Code {
		image := bytes.Clone(system7)
		image[len(image)-1] ^= 1
		_, _ = w.Write(image)
		return pair.OK
	}),
	"too-short": serves(func(w pair.File) pair.Code {
		_, _ = w.Write(system7[:len(system7)/2])
		return pair.OK
	}),
	"endless": serves(func(w pair.File) pair.Code {
		for {
			if _, err := w.Write(system7); err != nil {
				return pair.OK
			}
		}
	}),
	"nothing":  serves(func(pair.File) pair.Code { return pair.OK }),
	"changed":  serves(func(pair.File) pair.Code { return pair.Changed }),
	"gone":     serves(func(pair.File) pair.Code { return pair.Gone }),
	"unusable": serves(func(pair.File) pair.Code { return pair.Unusable }),
	"dies": serves(func(w pair.File) pair.Code {
		_, _ = w.Write(system7[:1000])
		os.Exit(3)
		return pair.OK
	}),
	"forger": forges,
	"thief":  steals,
	"heir": func(*networktest.Rogue, string) error { // what it leaves behind holds on to all that it had
		a := &syscall.ProcAttr{Files: []uintptr{0, 1, 2, 3}}
		if _, err := syscall.ForkExec("/bin/sleep", []string{"sleep", "40"}, a); err != nil {
			return fmt.Errorf("without an heir: %w", err)
		}
		return errors.New("so it ends")
	},
	"crash-once": func(r *networktest.Rogue, dir string) error {
		if err := r.Says(pair.Want{ID: 1, Path: filepath.Join(dir, "offer")}); err != nil {
			return err
		}
		for {
			m, f, err := r.Hears()
			if err != nil {
				return err
			}
			if _, ok := m.(pair.Given); ok && f == nil {
				return r.Sleeps()
			}
			if f != nil {
				panic("so it goes")
			}
		}
	},
	"crash": func(*networktest.Rogue, string) error {
		go panic("so it goes")
		select {}
	},
	"deaf": func(*networktest.Rogue, string) error {
		for { // not even the end of the daemon's socket is heard
			_ = syscall.Pause()
		}
	},
}

// file is what the daemon gives of the file at path.
func file(r *networktest.Rogue, path string) ([]byte, error) {
	if err := r.Says(pair.Want{ID: 1, Path: path}); err != nil {
		return nil, err
	}
	m, f, err := networktest.Until[pair.Given](r)
	if err != nil {
		return nil, err
	}
	if m.Error != "" || f == nil {
		return nil, fmt.Errorf("refused: %s", m.Error)
	}
	return io.ReadAll(f)
}

// serves is a rogue that hands the device the good offer that lies in a file which its configuration names, and brings
// the payload as how does. Its first word of it is the truth; how gives its last.
func serves(how func(w pair.File) pair.Code) func(r *networktest.Rogue, dir string) error {
	return func(r *networktest.Rogue, dir string) error {
		offer := []byte(nil)
		if err := r.Says(pair.State{Online: true, Connections: 1}); err != nil {
			return err
		}
		for {
			m, f, err := r.Hears()
			if err != nil {
				return err
			}
			switch m := m.(type) {
			case pair.Next:
				if offer == nil {
					err = r.Says(pair.Want{ID: 1, Path: filepath.Join(dir, "offer")})
				}
			case pair.Given:
				if offer, err = io.ReadAll(f); err == nil {
					err = r.Says(pair.Document{Kind: uint8(transport.Offer), Origin: "mqtt:offer/x", Body: offer})
				}
			case pair.Open:
				if err = r.Says(pair.Started{ID: m.ID}); err == nil {
					err = r.Says(pair.Ended{ID: m.ID, Code: how(f), Text: "so it says"})
				}
			}
			if f != nil {
				_ = f.Close()
			}
			if err != nil {
				return err
			}
		}
	}
}

// forges is a rogue that makes documents up, and acknowledges what it never sends.
func forges(r *networktest.Rogue, _ string) error {
	kinds := []transport.Kind{transport.Offer, transport.Root, transport.Plan, transport.Pulse, transport.Resend}
	if err := r.Says(pair.State{Online: true, Connections: 1}); err != nil {
		return err
	}
	for n := 0; ; {
		m, _, err := r.Hears()
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case pair.Next:
			d := pair.Document{Kind: uint8(kinds[n%len(kinds)]), Origin: "mqtt:x", Body: []byte{0xd8, 0x6b, byte(n)}}
			if n++; n < 50 {
				err = r.Says(d)
			}
		case pair.Send:
			err = r.Says(pair.Sent{ID: m.ID})
		case pair.Look:
			err = r.Says(pair.Looked{ID: m.ID})
		}
		if err != nil {
			return err
		}
	}
}

// steals is a rogue that takes what it can get: by the daemon, and by itself.
func steals(r *networktest.Rogue, dir string) error {
	if _, _, err := networktest.Until[pair.Next](r); err != nil {
		return err
	}
	tell := func(what string, err error) {
		if err == nil {
			_ = r.Says(pair.Log{Text: "STOLEN " + what})
		}
	}
	for _, path := range []string{dir + "/state/device.key", dir + "/state/journal.db", dir + "/release.pem",
		"/etc/shadow",
		dir + "/offer/../state/device.key", "offer", "/proc/self/mem", dir + "/b.img"} {
		_, err := file(r, path)
		tell(path+" from the daemon", err)
	}
	for _, path := range []string{"state/device.key", "state/journal.db", "env0", "a.img", "b.img", "ratchet.toml"} {
		f, err := os.Open(filepath.Join(dir, path))
		tell("a look at "+path, err)
		if err == nil {
			_ = f.Close()
		}
		f, err = os.OpenFile(filepath.Join(dir, path), os.O_WRONLY, 0)
		tell("a pen for "+path, err)
		if err == nil {
			_ = f.Close()
		}
	}
	tell("a file of its own", os.WriteFile(filepath.Join(dir, "rogue"), nil, 0o600))
	parent := os.Getppid()
	if parent > 0 { // it has none in a namespace of its own
		tell("the life of the daemon", syscall.Kill(parent, 0))
	}
	tell("the life of anybody", syscall.Kill(-1, 0))
	tell("the memory of the daemon", readable(fmt.Sprintf("/proc/%d/mem", parent)))
	tell("the environment of the daemon", readable(fmt.Sprintf("/proc/%d/environ", parent)))
	tell("another program", syscall.Exec("/bin/true", []string{"true"}, nil))
	c, err := net.Dial("unix", filepath.Join(dir, "s"))
	tell("the ear of the daemon", err)
	if err == nil {
		_ = c.Close()
	}
	tell("another user", syscall.Setuid(0))
	_ = r.Says(pair.Log{Text: "the thief is done"})
	return r.Sleeps()
}

func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Read(make([]byte, 1))
	return err
}
