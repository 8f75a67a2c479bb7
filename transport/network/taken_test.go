package network_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/network"
	"github.com/ratchet-ota/ratchet/transport/network/networktest"
	"github.com/ratchet-ota/ratchet/transport/wire/pair"
)

type rogue = networktest.Rogue

func repeat(n int, f func(i int) error) error {
	for i := range n {
		if err := f(i); err != nil {
			return err
		}
	}
	return nil
}

// TestBreaksTheRules: a process that does what an honest one never does is killed, and another one is started after a
// while, later each time; the log says why.
func TestBreaksTheRules(t *testing.T) {
	offer := pair.Document{Kind: uint8(transport.Offer), Origin: "mqtt:x", Body: []byte("x")}
	for what, c := range map[string]struct {
		does func(r *rogue) error
		says string // by the log
	}{
		"a byte that is no message": {func(r *rogue) error { return r.Send([]byte{77}, nil) }, "number 77"},
		"no byte":                   {func(r *rogue) error { return r.Send(nil, nil) }, "0 bytes"},
		"a message of the daemon":   {func(r *rogue) error { return r.Send([]byte{11, 0xa0}, nil) }, "number 11"},
		"CBOR that is none":         {func(r *rogue) error { return r.Send([]byte{1, 0xff}, nil) }, "number 1"},
		"a field that there is not": {func(r *rogue) error {
			return r.Send([]byte("\x07\xa1\x61x\x00"), nil)
		}, "number 7"},
		"nested without end": {func(r *rogue) error {
			return r.Send(append([]byte{7}, bytes.Repeat([]byte{0x81}, 1000)...), nil)
		}, "number 7"},
		"more than a message may have": {func(r *rogue) error {
			return r.Send(make([]byte, pair.Max+1), nil)
		}, "bytes"},
		"a text that draws on terminals": {func(r *rogue) error {
			return r.Send([]byte("\x07\xa2\x65Level\x00\x64Text\x63\x1b[m"), nil)
		}, "nobody should be shown"},
		"a document before it is asked for": {func(r *rogue) error {
			return repeat(3, func(int) error { return r.Says(offer) })
		}, "not asked for"},
		"a document of a kind for others": {func(r *rogue) error {
			if _, _, err := networktest.Until[pair.Next](r); err != nil {
				return err
			}
			return r.Says(pair.Document{Kind: uint8(transport.Evidence), Origin: "mqtt:x", Body: []byte("x")})
		}, "of kind evidence"},
		"a document from a technician": {func(r *rogue) error {
			if _, _, err := networktest.Until[pair.Next](r); err != nil {
				return err
			}
			return r.Says(pair.Document{Kind: uint8(transport.Offer), Origin: "console", Body: []byte("x")})
		}, "another way"},
		"an answer to nothing":  {func(r *rogue) error { return r.Says(pair.Sent{ID: 9}) }, "answers nothing"},
		"an answer of number 0": {func(r *rogue) error { return r.Says(pair.Looked{}) }, "answers nothing"},
		"one state after another": {func(r *rogue) error {
			return repeat(9999, func(i int) error {
				return r.Says(pair.State{Online: i%2 == 0, Connections: uint64(i)})
			})
		}, "floods"},
		"line after line": {func(r *rogue) error {
			return repeat(9999, func(int) error { return r.Says(pair.Log{Text: "x"}) })
		}, "floods"},
		"file after file": {func(r *rogue) error {
			return repeat(9999, func(i int) error { return r.Says(pair.Want{ID: uint32(i), Path: "/etc/shadow"}) })
		}, ""}, // too many, or it does not take the answers
		"signature after signature": {func(r *rogue) error {
			return repeat(9999, func(i int) error { return r.Says(pair.Sign{ID: 1, Name: "k", Digest: []byte("d")}) })
		}, ""},
		"ready twice": {func(r *rogue) error { return r.Says(pair.Ready{Version: pair.Version}) }, "at the wrong time"},
		"an end":      {func(*rogue) error { return errors.New("exit status 2: panic: so it goes") }, "so it goes"},
	} {
		t.Run(what, func(t *testing.T) {
			log := running(t, func(o *network.Options) {
				plays(o, networktest.Play(true, func(r *rogue) error {
					if err := c.does(r); err != nil && c.says == "so it goes" {
						return err
					}
					return r.Sleeps()
				}))
			}, func(ctx context.Context, p *network.Process) {
				early := p.Info().Starts
				time.Sleep(time.Hour)
				if late := p.Info().Starts; early > 2 || late < 8 || late > 40 {
					t.Errorf("%d starts at once and %d in an hour", early, late)
				}
				if i := p.Info(); i.Running || i.Why == nil {
					t.Errorf("it is said to be in order: %+v", i)
				}
				if _, err := p.Problems(ctx); err == nil {
					t.Error("no problem is told")
				}
				if online, _ := p.Online(); online {
					t.Error("a dead process is online")
				}
			})
			if !strings.Contains(log, c.says) || !strings.Contains(log, "level=ERROR") {
				t.Errorf("the log says %s", log)
			}
		})
	}
}

// TestSilence: a process that says nothing, or takes nothing, when it has to, is ended in bounded time.
func TestSilence(t *testing.T) {
	for what, c := range map[string]struct {
		ready bool
		does  func(r *rogue) error
		asks  func(ctx context.Context, p *network.Process) error
		limit time.Duration
	}{
		"it is never ready": {false, (*rogue).Sleeps, nil, 2 * time.Minute},
		"it gives no sign of life": {true, (*rogue).Sleeps, func(ctx context.Context, p *network.Process) error {
			_, err := p.Problems(ctx)
			return err
		}, time.Minute},
		"it takes no message": {true, func(r *rogue) error {
			time.Sleep(24 * time.Hour)
			return nil
		}, func(ctx context.Context, p *network.Process) error {
			return p.Send(ctx, transport.Message{Kind: transport.Status, Body: []byte("x")})
		}, 6 * time.Minute},
		"it never answers for a payload": {true, (*rogue).Sleeps, fetches, 2 * time.Hour},
		"it starts a payload and brings nothing": {true, func(r *rogue) error {
			m, _, err := networktest.Until[pair.Open](r)
			if err == nil {
				err = r.Says(pair.Started{ID: m.ID})
			}
			return errors.Join(err, r.Sleeps())
		}, fetches, 2 * time.Hour},
		"it never says how a payload ended": {true, func(r *rogue) error {
			m, f, err := networktest.Until[pair.Open](r)
			if err == nil {
				err = errors.Join(r.Says(pair.Started{ID: m.ID}), f.Close())
			}
			return errors.Join(err, r.Sleeps())
		}, fetches, time.Minute},
	} {
		t.Run(what, func(t *testing.T) {
			running(t, func(o *network.Options) { plays(o, networktest.Play(c.ready, c.does)) },
				func(ctx context.Context, p *network.Process) {
					began := time.Now()
					if c.asks == nil {
						time.Sleep(c.limit)
						if p.Info().Why == nil {
							t.Error("it is waited for without a limit")
						}
						return
					}
					if err := c.asks(ctx, p); err == nil || time.Since(began) > c.limit {
						t.Errorf("%v after %v", err, time.Since(began))
					}
				})
		})
	}
}

func fetches(ctx context.Context, p *network.Process) error {
	_, _, err := read(ctx, p, 0)
	return err
}

// TestLies: what a process says of a payload, of what was sent and of the connection is taken for what it is worth. No
// word of its ends in a verdict that is final.
func TestLies(t *testing.T) {
	started := func(code pair.Code) func(r *rogue) error {
		return func(r *rogue) error {
			m, _, err := networktest.Until[pair.Open](r)
			if err == nil {
				err = r.Says(pair.Started{ID: m.ID, Code: code, Text: "so"})
			}
			return errors.Join(err, r.Sleeps())
		}
	}
	lies := map[string]func(r *rogue) error{
		"it ends before it starts": func(r *rogue) error {
			m, _, err := networktest.Until[pair.Open](r)
			if err == nil {
				err = r.Says(pair.Ended{ID: m.ID})
			}
			return errors.Join(err, r.Sleeps())
		},
		"it starts twice": func(r *rogue) error {
			m, f, err := networktest.Until[pair.Open](r)
			if err == nil {
				err = errors.Join(r.Says(pair.Started{ID: m.ID}), r.Says(pair.Started{ID: m.ID}), f.Close())
			}
			return errors.Join(err, r.Sleeps())
		},
		"it dies in the middle": func(r *rogue) error {
			m, f, err := networktest.Until[pair.Open](r)
			if err == nil {
				err = r.Says(pair.Started{ID: m.ID})
				_, _ = f.Write([]byte("some"))
			}
			return err
		},
	}
	for code := pair.Failed; code <= pair.Unusable; code++ {
		lies[fmt.Sprintf("it answers with code %d", code)] = started(code)
	}
	for what, lie := range lies {
		running(t, func(o *network.Options) { plays(o, networktest.Play(true, lie)) },
			func(ctx context.Context, p *network.Process) {
				err := fetches(ctx, p)
				if err == nil || errors.Is(err, transport.ErrForbidden) || errors.Is(err, io.EOF) {
					t.Errorf("%s: %v", what, err)
				}
			})
	}
	// An endless payload is the reader's to bound: nothing of it is kept here.
	running(t, func(o *network.Options) {
		plays(o, networktest.Play(true, func(r *rogue) error {
			m, f, err := networktest.Until[pair.Open](r)
			if err == nil {
				err = r.Says(pair.Started{ID: m.ID, Validator: strings.Repeat("v", pair.MaxValidator)})
			}
			for err == nil {
				_, err = f.Write(make([]byte, 1<<20))
			}
			return errors.Join(err, r.Sleeps())
		}))
	}, func(ctx context.Context, p *network.Process) {
		body, v, err := p.Source([]string{"https://a"}, 800_000).Open(ctx, 0, "")
		if err != nil || len(v) != pair.MaxValidator {
			t.Fatalf("%d bytes of a validator, %v", len(v), err)
		}
		if n, err := io.CopyN(io.Discard, body, 64<<20); err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		_ = body.Close()
		if _, err := body.Read(make([]byte, 1)); err == nil {
			t.Error("a closed payload goes on")
		}
		synctest.Wait()
	})
}

// TestFilesAndKeys: of what the process asks for it gets what the configuration names, and nothing else; why not is
// told.
func TestFilesAndKeys(t *testing.T) {
	path := t.TempDir() + "/ca.pem"
	if err := os.WriteFile(path, []byte("authorities"), 0o600); err != nil {
		t.Fatal(err)
	}
	asks := func(d *network.Daemon) error {
		for _, p := range []string{"/etc/shadow", "device.key", strings.Repeat("x", pair.MaxPath+1)} {
			if f, err := d.Open(p); err == nil {
				return errors.Join(fmt.Errorf("it may read %.20s", p), f.Close())
			}
		}
		if _, err := d.Open("/etc/shadow"); !strings.Contains(err.Error(), "/etc/shadow is not named") {
			return err
		}
		f, err := d.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if b, err := io.ReadAll(f); err != nil || string(b) != "authorities" {
			return fmt.Errorf("it reads %q, %w", b, err)
		}
		if sig, err := d.Sign("client", []byte("digest"), 5); err != nil || string(sig) != "signed digest" {
			return fmt.Errorf("signature %q, %w", sig, err)
		}
		if _, err := d.Sign("device", []byte("digest"), 5); err == nil || !strings.Contains(err.Error(), "no key") {
			return fmt.Errorf("it signs with another key: %w", err)
		}
		return nil
	}
	result := errors.New("it was not asked")
	running(t, func(o *network.Options) {
		o.Open = func(p string) (pair.File, error) {
			if p != path {
				return nil, fmt.Errorf("%s is not named", p)
			}
			return os.Open(p)
		}
		o.Sign = func(_ context.Context, name string, _ uint, d []byte) ([]byte, error) {
			if name != "client" {
				return nil, fmt.Errorf("no key %s", name)
			}
			return append([]byte("signed "), d...), nil
		}
		plays(o, func(conn pair.Conn) error {
			return network.Serve(context.Background(), conn, func(_ []byte, d *network.Daemon) (network.Parts, error) {
				return network.Parts{Problems: func() []pair.Problem {
					result = asks(d)
					return nil
				}}, nil
			})
		})
	}, func(ctx context.Context, p *network.Process) {
		if _, err := p.Problems(ctx); err != nil {
			t.Error(err)
		}
	})
	if result != nil {
		t.Error(result)
	}
}

// TestHungFile: a file whose file system does not answer is a problem that is told, by its name. It keeps nobody
// from the other files, costs the process nothing, and is not tried twice at a time, whoever asks.
func TestHungFile(t *testing.T) {
	var tries atomic.Int32
	running(t, func(o *network.Options) {
		o.Open = func(p string) (pair.File, error) {
			if p == "/hung" {
				tries.Add(1)
				time.Sleep(365 * 24 * time.Hour)
			}
			return nil, errors.New(p + " is not there")
		}
		plays(o, func(conn pair.Conn) error {
			return network.Serve(context.Background(), conn, func(_ []byte, d *network.Daemon) (network.Parts, error) {
				return network.Parts{Problems: func() (all []pair.Problem) {
					for _, path := range []string{"/hung", "/other", "/hung"} {
						if f, err := d.Open(path); err == nil {
							_ = f.Close()
						} else {
							all = append(all, pair.Problem{Text: err.Error()})
						}
					}
					return all
				}}, nil
			})
		})
	}, func(ctx context.Context, p *network.Process) {
		for range 99 {
			all, err := p.Problems(ctx)
			if err != nil || len(all) != 3 || !strings.HasPrefix(all[0].Text, "/hung: its file system does not") ||
				all[1].Text != "/other is not there" {
				t.Fatalf("told is %v, %v", all, err)
			}
			time.Sleep(time.Minute)
		}
		if i := p.Info(); i.Starts != 1 || tries.Load() != 1 {
			t.Errorf("%d processes, and %d tries", i.Starts, tries.Load())
		}
		time.Sleep(2 * 365 * 24 * time.Hour)
	})
}
