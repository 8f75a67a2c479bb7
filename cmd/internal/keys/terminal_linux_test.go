package keys_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
)

// person sits at the other end of a terminal.
type person struct {
	t     *testing.T
	hands *os.File // what is typed, and what the terminal shows
	desk  *os.File // the terminal as a program has it
	shown bytes.Buffer
}

func newPerson(t *testing.T) *person {
	t.Helper()
	hands, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hands.Close() })
	raw, err := hands.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var (
		n    int
		fail error
	)
	if err := raw.Control(func(fd uintptr) {
		if fail = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); fail == nil {
			n, fail = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); err != nil || fail != nil {
		t.Fatal(err, fail)
	}
	desk, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { desk.Close() })
	return &person{t: t, hands: hands, desk: desk}
}

// sees waits until the terminal shows text, and forgets what it showed.
func (p *person) sees(text string) {
	p.t.Helper()
	b := make([]byte, 512)
	for !strings.Contains(p.shown.String(), text) {
		if err := p.hands.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			p.t.Fatal(err)
		}
		n, err := p.hands.Read(b)
		if err != nil {
			p.t.Fatalf("waiting for %q: %v\n%s", text, err, p.shown.String())
		}
		p.shown.Write(b[:n])
	}
	if strings.Contains(p.shown.String(), "horse") {
		p.t.Errorf("the terminal shows a passphrase: %q", p.shown.String())
	}
	p.shown.Reset()
}

// asked waits for a question, and answers once the terminal does not show what is typed.
func (p *person) asked(text, answer string) {
	p.t.Helper()
	p.sees(text)
	for p.echo() {
		time.Sleep(time.Millisecond)
	}
	if _, err := p.hands.WriteString(answer + "\n"); err != nil {
		p.t.Fatal(err)
	}
}

func (p *person) echo() bool {
	p.t.Helper()
	mode, err := unix.IoctlGetTermios(int(p.desk.Fd()), unix.TCGETS)
	if err != nil {
		p.t.Fatal(err)
	}
	return mode.Lflag&unix.ECHO != 0
}

// TestAskedTwice: a new passphrase is asked for until the same one was typed twice, unseen.
func TestAskedTwice(t *testing.T) {
	p := newPerson(t)
	var said bytes.Buffer
	done := make(chan string, 1)
	go func() {
		lock, err := keys.Lock{}.Begin(t.Context(), cli.Console{In: p.desk, Err: &said}, "k.pem")
		if err != nil {
			done <- err.Error()
			return
		}
		pass, err := lock("k.pem")
		done <- fmt.Sprint(string(pass), err)
	}()
	p.asked("New passphrase for k.pem: ", "horse")
	p.asked("New passphrase for k.pem: ", passphrase)
	p.asked("The same again: ", "correct house")
	p.asked("New passphrase for k.pem: ", passphrase)
	p.asked("The same again: ", passphrase)
	if got := <-done; got != passphrase+"<nil>" {
		t.Errorf("%s", got)
	}
	if s := said.String(); !strings.Contains(s, "at least 8") || !strings.Contains(s, "differ") || !p.echo() {
		t.Errorf("echo %v, %s", p.echo(), s)
	}
}

// TestAskedThrice: a person may mistype a passphrase twice; the third time is the last.
func TestAskedThrice(t *testing.T) {
	path, id := pair(t, "esp256", passphrase)
	for _, third := range []string{passphrase, "hobby horse"} {
		p := newPerson(t)
		var said bytes.Buffer
		done := make(chan error, 1)
		go func() {
			s, err := keys.Private(t.Context(), cli.Console{In: p.desk, Err: &said}, keys.Source{Path: path})
			if err == nil && s.Key().ID() != id {
				err = errors.New("another key")
			}
			done <- err
		}()
		for _, answer := range []string{"", "hobby horse", third} {
			p.asked("Passphrase of "+path+": ", answer)
		}
		if err := <-done; (err == nil) != (third == passphrase) || err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("the third time %q: %v", third, err)
		}
		if n := strings.Count(said.String(), path+": wrong passphrase"); n != 2 || !p.echo() {
			t.Errorf("told %d times, echo %v", n, p.echo())
		}
	}
}

// TestInterruptedWhileAsking: Ctrl-C at the question ends it, and the terminal shows again what is typed.
func TestInterruptedWhileAsking(t *testing.T) {
	path, _ := pair(t, "esp256", passphrase)
	p := newPerson(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := keys.Private(ctx, cli.Console{In: p.desk, Err: &bytes.Buffer{}}, keys.Source{Path: path})
		done <- err
	}()
	p.sees("Passphrase of ")
	for p.echo() {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || !p.echo() {
		t.Errorf("echo %v, %v", p.echo(), err)
	}
}
