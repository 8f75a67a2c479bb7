package broker_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"

	"github.com/ratchet-ota/ratchet/cmd/internal/broker"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
)

// server is a broker on 127.0.0.1.
func server(t *testing.T) broker.Options {
	t.Helper()
	s := mochi.New(&mochi.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), InlineClient: true})
	if err := s.AddHook(new(auth.AllowHook), nil); err != nil {
		t.Fatal(err)
	}
	l := listeners.NewTCP(listeners.Config{ID: "t", Address: "127.0.0.1:0"})
	if err := s.AddListener(l); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return broker.Options{URL: "mqtt://" + l.Address(), AllowPlain: true}
}

func drop(broker.Post) {}

// TestRetained: what is published with retain is read back; another topic has nothing.
func TestRetained(t *testing.T) {
	b, err := broker.Connect(t.Context(), server(t))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Publish(t.Context(), drop, "a/b", true, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Retained(t.Context(), "a/b", broker.SettleLong); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := b.Retained(t.Context(), "a/c", 50*time.Millisecond); err != nil || got != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestFollow hands over messages until its context ends, which is the normal end.
func TestFollow(t *testing.T) {
	o := server(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var log bytes.Buffer
	var got []string
	c := cli.Console{Out: &log, Err: &log}
	err := broker.Follow(ctx, c, o, []string{"a/#"}, 10*time.Millisecond, func(p broker.Post) {
		got = append(got, p.Topic+" "+string(p.Body))
		cancel()
	}, func(b *broker.Conn) error {
		if len(got) == 0 {
			b.Send("a/b", []byte("hello"))
		}
		return nil
	})
	if err != nil || len(got) == 0 || got[0] != "a/b hello" {
		t.Errorf("%q, %v\n%s", got, err, log.String())
	}
}

func TestValidate(t *testing.T) {
	for want, o := range map[string]broker.Options{
		"name broker.url in some.toml": {Fallback: "some.toml"},
		"not encrypted":                {URL: "mqtt://b"},
		"certificate and its key":      {URL: "mqtts://b", Cert: "x"},
		"needs a user name":            {URL: "mqtts://b", Password: "x"},
		"a client id has at most":      {URL: "mqtts://b", ClientID: strings.Repeat("x", 200)},
		"user information in the URL":  {URL: "mqtts://u:p@b"},
	} {
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", o, err, want)
		}
		if _, err := broker.Connect(t.Context(), o); err == nil {
			t.Errorf("%+v: connected", o)
		}
	}
}
