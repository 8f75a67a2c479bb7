package probe_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/health"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/probe"
)

// TestMain lets the test program be the process that asks.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "probe" {
		if err := probe.Process(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var how = probe.How{User: "ratchet-none", Read: []string{"/etc"}}

// TestProbe: a process asks, and its answer is the check's; what the server says reaches a person in one line.
func TestProbe(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/gone":
			w.WriteHeader(http.StatusGone)
		case "/slow":
			<-r.Context().Done()
		default:
			fmt.Fprint(w, "all is well")
		}
	}))
	defer s.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for what, c := range map[string]struct {
		q    probe.Question
		want string
	}{
		"healthy":      {probe.Question{URL: s.URL}, ""},
		"the text":     {probe.Question{URL: s.URL, Contains: "well"}, ""},
		"another text": {probe.Question{URL: s.URL, Contains: "ill"}, "does not contain"},
		"a status":     {probe.Question{URL: s.URL + "/gone", Status: 410}, ""},
		"another":      {probe.Question{URL: s.URL + "/gone"}, "answers 410, not 200"},
		"nobody":       {probe.Question{URL: "http://127.0.0.1:1/"}, "connection refused"},
		"TCP":          {probe.Question{Address: l.Addr().String()}, ""},
		"nobody's TCP": {probe.Question{Address: "127.0.0.1:1"}, "connection refused"},
		"no name":      {probe.Question{Address: "nobody.invalid:1"}, "nobody.invalid"},
	} {
		err := probe.New("", c.q, how).Run(t.Context())
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, health.ErrTimeout)
	defer cancel()
	if err := probe.New("", probe.Question{URL: s.URL + "/slow"}, how).Run(ctx); !errors.Is(err, health.ErrTimeout) {
		t.Errorf("a slow server: %v", err)
	}
}

// TestNames: a check is called and judged as one that is made without a process.
func TestNames(t *testing.T) {
	c := probe.New("", probe.Question{URL: "https://a.example/x"}, how)
	if c.Name() != "http a.example" || !c.Remote() {
		t.Errorf("%s, remote %v", c.Name(), c.Remote())
	}
	if c := probe.New("", probe.Question{Address: "127.0.0.1:1"}, how); c.Name() != "tcp 127.0.0.1:1" || c.Remote() {
		t.Errorf("%s, remote %v", c.Name(), c.Remote())
	}
}
