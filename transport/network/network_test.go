package network_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/network"
	"github.com/ratchet-ota/ratchet/transport/network/networktest"
	"github.com/ratchet-ota/ratchet/transport/wire/pair"
)

// fleet is a broker's connection.
type fleet struct {
	in       chan transport.Message
	connects chan struct{}
	changes  chan struct{}

	mu      sync.Mutex
	sent    []transport.Message
	asked   []uint64
	online  bool
	trouble error
}

func newFleet() *fleet {
	return &fleet{in: make(chan transport.Message, 16), connects: make(chan struct{}, 1),
		changes: make(chan struct{}, 1)}
}

func (f *fleet) Messages() <-chan transport.Message { return f.in }
func (f *fleet) Connects() <-chan struct{}          { return f.connects }
func (f *fleet) Changes() <-chan struct{}           { return f.changes }

func (f *fleet) Send(_ context.Context, m transport.Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.online {
		return fmt.Errorf("no: %w", transport.ErrOffline)
	}
	f.sent = append(f.sent, m)
	return nil
}

func (f *fleet) AskRoot(v uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, v)
}

func (f *fleet) Run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func (f *fleet) Online() (bool, time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.online, time.Time{}
}

func (f *fleet) Trouble() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.trouble
}

func (f *fleet) is(online bool, trouble error) {
	f.mu.Lock()
	f.online, f.trouble = online, trouble
	f.mu.Unlock()
	f.changes <- struct{}{}
	if online {
		f.connects <- struct{}{}
	}
}

// images is an image server.
type images struct {
	data []byte
	err  error // of Open
	ends error // of the body, after the data
}

func (i images) source([]string, int64) transport.Source { return i }

func (i images) Open(_ context.Context, off int64, _ string) (io.ReadCloser, string, error) {
	if i.err != nil {
		return nil, "", i.err
	}
	r := io.Reader(bytes.NewReader(i.data[off:]))
	if i.ends != nil {
		r = io.MultiReader(r, failing{i.ends})
	}
	return io.NopCloser(r), "v1", nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// options are those of a daemon.
func options(log io.Writer) network.Options {
	return network.Options{
		Settings: func() ([]byte, error) { return []byte("settings"), nil },
		Admit: func(a []string, _ int64) error {
			if strings.HasPrefix(a[0], "ftp:") {
				return transport.ErrForbidden
			}
			return nil
		},
		Open: func(path string) (pair.File, error) { return nil, errors.New("no file " + path) },
		Sign: func(context.Context, string, uint, []byte) ([]byte, error) { return []byte("signed"), nil },
		Pipe: networktest.Pipe, Log: slog.New(slog.NewTextHandler(log, nil)),
	}
}

// plays has processes play what play does.
func plays(o *network.Options, play func(conn pair.Conn) error) {
	o.Start = func() (network.Child, error) { return networktest.Start(play), nil }
}

// honest plays the process as it is.
func honest(o *network.Options, f network.Fleet, i images) {
	plays(o, func(conn pair.Conn) error {
		return network.Serve(context.Background(), conn, func(s []byte, d *network.Daemon) (network.Parts, error) {
			slog.New(d.Handler(slog.LevelInfo)).Info("begins", "settings", string(s))
			return network.Parts{Fleet: f, Source: i.source, Features: []pair.Feature{{Name: "walls", On: true}},
				Problems: func() []pair.Problem { return []pair.Problem{{Key: "http.ca", Text: "is not there"}} }}, nil
		})
	})
}

// running runs a process in virtual time, by the options that change is handed, while f looks at it, and returns the
// log.
func running(t *testing.T, change func(*network.Options),
	f func(ctx context.Context, p *network.Process)) string {
	t.Helper()
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		o := options(&log)
		change(&o)
		p, err := network.New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		synctest.Wait()
		f(ctx, p)
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
	})
	return log.String()
}

// TestProcess: documents come in one at a time and in their order, and are sent and acknowledged; the connection's
// state, what the process is confined by and what it cannot use are known; a payload comes from any offset.
func TestProcess(t *testing.T) {
	var fl *fleet
	data := bytes.Repeat([]byte("payload "), 100_000)
	log := running(t, func(o *network.Options) {
		fl = newFleet()
		honest(o, fl, images{data: data})
	}, func(ctx context.Context, p *network.Process) {
		if online, _ := p.Online(); online {
			t.Error("online before there is a connection")
		}
		err := p.Send(ctx, transport.Message{Kind: transport.Status, Body: []byte("s")})
		if !errors.Is(err, transport.ErrOffline) {
			t.Errorf("sent while offline: %v", err)
		}
		fl.is(false, errors.New("no route\x1b[2J to the broker"))
		synctest.Wait()
		if err := p.Trouble(); err == nil || err.Error() != "no route?[2J to the broker" {
			t.Errorf("the trouble is %v", err)
		}
		fl.is(true, nil)
		<-p.Connects()
		if online, _ := p.Online(); !online || p.Trouble() != nil {
			t.Errorf("not online: %v", p.Trouble())
		}
		if err := p.Send(ctx, transport.Message{Kind: transport.Evidence, Body: []byte("e")}); err != nil {
			t.Error(err)
		}
		if err := p.Send(ctx, transport.Message{Kind: transport.Offer, Body: []byte("e")}); err == nil {
			t.Error("a device sends an offer")
		}
		for i := range 9 {
			fl.in <- transport.Message{Kind: transport.Offer, Origin: fmt.Sprintf("mqtt:%d", i), Body: []byte{byte(i)}}
		}
		for i := range 9 {
			m := <-p.Messages()
			if m.Origin != fmt.Sprintf("mqtt:%d", i) || m.Kind != transport.Offer || m.Body[0] != byte(i) {
				t.Errorf("document %d is %+v", i, m)
			}
		}
		p.AskRoot(7)
		synctest.Wait()
		if len(fl.sent) != 1 || string(fl.sent[0].Body) != "e" || len(fl.asked) != 1 || fl.asked[0] != 7 {
			t.Errorf("sent %v, asked %v", fl.sent, fl.asked)
		}
		all, err := p.Problems(ctx)
		if err != nil || len(all) != 1 || all[0].Key != "http.ca" {
			t.Errorf("problems %v, %v", all, err)
		}
		if i := p.Info(); !i.Running || i.Starts != 1 || len(i.Features) != 1 || i.Features[0].Name != "walls" {
			t.Errorf("info %+v", i)
		}
		for _, off := range []int64{0, 1, 799_999, 800_000} {
			got, v, err := read(ctx, p, off)
			if err != nil || v != "v1" || !bytes.Equal(got, data[off:]) {
				t.Errorf("from %d: %d bytes, %q, %v", off, len(got), v, err)
			}
		}
	})
	if !strings.Contains(log, "begins settings=settings") || !strings.Contains(log, "process=net") {
		t.Errorf("the log: %s", log)
	}
}

// read reads a payload from off on.
func read(ctx context.Context, p *network.Process, off int64) (all []byte, validator string, err error) {
	body, validator, err := p.Source([]string{"https://a"}, 800_000).Open(ctx, off, "")
	if err != nil {
		return nil, "", err
	}
	defer body.Close()
	all, err = io.ReadAll(body)
	return all, validator, err
}

// TestErrors: what a server's answer means comes through, except for what would be final.
func TestErrors(t *testing.T) {
	for _, is := range []error{transport.ErrChanged, transport.ErrGone, transport.ErrUnusable, transport.ErrOffline,
		transport.ErrForbidden, errors.New("another")} {
		want := is
		if errors.Is(is, transport.ErrForbidden) {
			want = transport.ErrUnusable
		}
		for what, i := range map[string]images{
			"at the start": {err: fmt.Errorf("so: %w", is)},
			"in the body":  {data: make([]byte, 1000), ends: fmt.Errorf("so: %w", is)},
		} {
			plays := func(o *network.Options) { honest(o, newFleet(), i) }
			running(t, plays, func(ctx context.Context, p *network.Process) {
				got, _, err := read(ctx, p, 0)
				if err == nil || !errors.Is(err, want) && !strings.HasSuffix(err.Error(), "so: another") ||
					errors.Is(err, transport.ErrForbidden) || len(got) != len(i.data) {
					t.Errorf("%s, %v: %d bytes and %v", what, is, len(got), err)
				}
			})
		}
	}
	plays := func(o *network.Options) { honest(o, newFleet(), images{}) }
	running(t, plays, func(ctx context.Context, p *network.Process) {
		_, _, err := p.Source([]string{"ftp://a"}, 1).Open(ctx, 0, "")
		if !errors.Is(err, transport.ErrForbidden) {
			t.Errorf("an address that is not allowed: %v", err)
		}
	})
}

// TestLazy: a device without a broker has no such process until it fetches something.
func TestLazy(t *testing.T) {
	running(t, func(o *network.Options) {
		o.Lazy = true
		honest(o, nil, images{data: make([]byte, 800_000)})
	},
		func(ctx context.Context, p *network.Process) {
			if all, err := p.Problems(ctx); p.Info().Starts != 0 || all != nil || err != nil {
				t.Errorf("%+v, %v, %v", p.Info(), all, err)
			}
			if got, _, err := read(ctx, p, 0); err != nil || len(got) != 800_000 {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
}

// TestGoesOn: a payload whose process ends on the way goes on from where it is, by the next process; not without end.
func TestGoesOn(t *testing.T) {
	data := bytes.Repeat([]byte("payload "), 100_000)
	for lives, want := range map[int]bool{1: true, 3: true, 4: false} {
		left := lives
		running(t, func(o *network.Options) {
			fleet := newFleet()
			o.Start = func() (network.Child, error) {
				i := images{data: data}
				if left > 0 {
					left--
					i.data = data[:len(data)/2+lives-left] // a byte more than of the one before
				}
				c := networktest.Start(func(conn pair.Conn) error {
					return network.Serve(context.Background(), conn,
						func([]byte, *network.Daemon) (network.Parts, error) {
							return network.Parts{Fleet: fleet, Source: i.source}, nil
						})
				})
				if len(i.data) < len(data) {
					c = dies{c}
				}
				return c, nil
			}
		}, func(ctx context.Context, p *network.Process) {
			got, _, err := read(ctx, p, 0)
			if (err == nil) != want || want && !bytes.Equal(got, data) {
				t.Errorf("%d processes end: %d bytes, %v", lives, len(got), err)
			}
		})
	}
}

// dies is a process that ends when it has brought all that it has of a payload.
type dies struct{ network.Child }

func (d dies) Conn() pair.Conn { return last{d.Child.Conn(), d} }

type last struct {
	pair.Conn
	of dies
}

func (l last) Receive(b []byte) (int, pair.File, error) {
	n, f, err := l.Conn.Receive(b)
	if n > 0 && b[0] == 4 { // Ended
		_ = l.of.Kill()
		return 0, nil, io.EOF
	}
	return n, f, err
}
