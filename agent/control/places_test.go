package control_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/control"
)

// crowd is a server whose slots verb takes until the test has ended, and clients that keep places busy or idle.
type crowd struct {
	t    *testing.T
	path string
	busy chan struct{} // gets a value when a request is being served
}

func newCrowd(t *testing.T, a control.Access) crowd {
	c := crowd{t: t, busy: make(chan struct{}, 100)}
	release := make(chan struct{})
	c.path, _ = serve(t, a, func(ctx context.Context, r control.Request, p func(any)) (any, error) {
		if r.Verb == control.VerbSlots {
			c.busy <- struct{}{}
			<-release
		}
		return echo(ctx, r, p)
	})
	t.Cleanup(func() { close(release) })
	return c
}

// serves has n requests of root served, which do not end.
func (c crowd) serves(n int) {
	c.t.Helper()
	for range n {
		go func() {
			for { // the one before may be on its way out
				if _, err := do(c.t, c.path, control.VerbSlots, nil); control.Exit(err) != control.ExitBusy {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}()
	}
	for range n {
		select {
		case <-c.busy:
		case <-time.After(10 * time.Second):
			c.t.Fatal("a request of root is not served")
		}
	}
}

// idle connects n times, and asks nothing.
func (c crowd) idle(n int) (conns []net.Conn) {
	c.t.Helper()
	for range n {
		conn, err := net.Dial("unix", c.path)
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() { conn.Close() })
		conns = append(conns, conn)
	}
	return conns
}

// The ninth client is told so at once while eight are served.
func TestManyClients(t *testing.T) {
	c := newCrowd(t, control.Access{})
	c.serves(control.MaxConnections - 1)
	if _, err := do(t, c.path, control.VerbStatus, nil); err != nil {
		t.Errorf("the eighth: %v", err)
	}
	c.serves(1)
	if _, err := do(t, c.path, control.VerbStatus, nil); control.Exit(err) != control.ExitBusy {
		t.Errorf("the ninth: %v", err)
	}
}

// Whoever connects and asks nothing keeps nobody out: the oldest of those who are idle gives way, and is told.
func TestIdleGiveWay(t *testing.T) {
	c := newCrowd(t, control.Access{})
	idle := c.idle(5 * control.MaxConnections)
	for range 20 {
		if _, err := do(t, c.path, control.VerbConfirm, map[string]string{"note": "x"}); err != nil {
			t.Fatal(err)
		}
	}
	_ = idle[0].SetReadDeadline(time.Now().Add(10 * time.Second))
	if told, _ := io.ReadAll(idle[0]); !strings.Contains(string(told), "as many clients as it can") {
		t.Errorf("the one that gave way is told %q", told)
	}
	c.serves(control.MaxConnections)
	if _, err := do(t, c.path, control.VerbStatus, nil); control.Exit(err) != control.ExitBusy {
		t.Errorf("who is served gives way: %v", err)
	}
}

// Two of the eight places are root's, and two more of those who may write: whoever may only look cannot lock them out.
func TestPlacesForRoot(t *testing.T) {
	const reader, writer = 64002, 64003
	c := newCrowd(t, control.Access{ReadGroup: []uint32{reader}, WriteGroup: []uint32{writer}})
	ask := stranger(t, &c.path)
	for served, want := range []struct{ reader, writer, root int }{
		3: {control.ExitOK, control.ExitOK, control.ExitOK},
		4: {control.ExitBusy, control.ExitOK, control.ExitOK},
		5: {control.ExitBusy, control.ExitOK, control.ExitOK},
		6: {control.ExitBusy, control.ExitBusy, control.ExitOK},
		7: {control.ExitBusy, control.ExitBusy, control.ExitOK},
		8: {control.ExitBusy, control.ExitBusy, control.ExitBusy},
	} {
		if served < 3 {
			continue
		}
		c.serves(map[bool]int{true: 3, false: 1}[served == 3])
		if out, code := ask(control.VerbStatus, reader); code != want.reader {
			t.Errorf("%d served, a reader: %q, exit %d", served, out, code)
		}
		if out, code := ask(control.VerbStatus, writer); code != want.writer {
			t.Errorf("%d served, a writer: %q, exit %d", served, out, code)
		}
		if _, err := do(t, c.path, control.VerbStatus, nil); control.Exit(err) != want.root {
			t.Errorf("%d served, root: %v", served, err)
		}
	}
}
