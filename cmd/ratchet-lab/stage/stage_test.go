package stage_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/stage"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

// TestTable: the table marks what differs, and only a run in which something was expected and nothing differs is good.
func TestTable(t *testing.T) {
	var out bytes.Buffer
	s := &stage.Stage{Out: &out, Began: time.Now()}
	if s.Table() {
		t.Error("a run that expected nothing is good")
	}
	s.Expect("one", "a", "a")
	if !s.Table() || strings.Contains(out.String(), "DIFFERS") {
		t.Errorf("what is equal differs:\n%s", out.String())
	}
	s.Expect("two", "a", "b")
	if s.Table() || !strings.Contains(out.String(), "DIFFERS  two") {
		t.Errorf("what differs is not told:\n%s", out.String())
	}
}

// TestWaitFor: waiting ends with what was waited for, with the board, with the time, and with the run.
func TestWaitFor(t *testing.T) {
	s := &stage.Stage{}
	n := 0
	if err := s.WaitFor(t.Context(), time.Minute, "three", func() bool { n++; return n == 3 }); err != nil || n != 3 {
		t.Errorf("%v after %d", err, n)
	}
	never := func() bool { return false }
	if err := s.WaitFor(t.Context(), time.Millisecond, "nothing", never); err == nil ||
		!strings.Contains(err.Error(), "in vain for nothing") {
		t.Errorf("%v", err)
	}
	broken, smoke := make(chan error, 1), errors.New("smoke")
	broken <- smoke
	s.Broken = broken
	if err := s.WaitFor(t.Context(), time.Minute, "nothing", never); !errors.Is(err, smoke) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.WaitFor(ctx, time.Minute, "nothing", never); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestOpenPKI: certificates of an authority that was opened again are those of the authority that was made.
func TestOpenPKI(t *testing.T) {
	made, err := stage.NewPKI(filepath.Join(t.TempDir(), "pki"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := stage.OpenPKI(made.Dir)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := again.Issue("somebody")
	if err != nil {
		t.Fatal(err)
	}
	roots := authority(t, made)
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: stage.GuestsHost}); err != nil {
		t.Error(err)
	}
}

func authority(t *testing.T, p *stage.PKI) *x509.CertPool {
	t.Helper()
	b, err := os.ReadFile(p.CA())
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(b) {
		t.Fatalf("the authority has no certificate: %v", err)
	}
	return roots
}

// network starts the servers, with one image of a hundred bytes.
func network(t *testing.T) (*stage.Network, *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	p, err := stage.NewPKI(filepath.Join(dir, "pki"))
	if err != nil {
		t.Fatal(err)
	}
	images := filepath.Join(dir, "images")
	if err := os.MkdirAll(images, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(images, "a.img"), bytes.Repeat([]byte("x"), 100), 0o644); err != nil {
		t.Fatal(err)
	}
	n, err := stage.StartNetwork(p, images, "", stage.Addresses{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n, authority(t, p)
}

// TestImageServer: images come over TLS as they are, are counted, and with Damage come as they are not.
func TestImageServer(t *testing.T) {
	n, roots := network(t)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	get := func() string {
		r, err := client.Get(n.Images + "/a.img")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	want := strings.Repeat("x", 100)
	if got := get(); got != want || n.Served.Load() != 100 {
		t.Errorf("%q, %d bytes counted", got, n.Served.Load())
	}
	n.Damage.Store(true)
	if got := get(); got == want || len(got) != len(want) {
		t.Errorf("damaged: %q", got)
	}
}

// TestWatch: what the device says is verified with its key; what somebody else says is told as forged, and once.
func TestWatch(t *testing.T) {
	n, _ := network(t)
	device, err := trust.Generate(trust.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := device.Key().MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	pub := filepath.Join(t.TempDir(), "device.pem")
	if err := os.WriteFile(pub, pem, 0o644); err != nil {
		t.Fatal(err)
	}
	shown := make(chan evidence.Record, 10)
	if err := n.Watch(pub, func(r evidence.Record) { shown <- r }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := n.Inject(wire.DeviceTopic(stage.DeviceName, wire.Evidence), []byte("no record")); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case r := <-shown:
		if r.Kind != "forged" || !strings.HasPrefix(stage.StoryLine(r), "a record that does not verify: ") {
			t.Errorf("%+v", r)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was told")
	}
	select {
	case r := <-shown:
		t.Errorf("the same record came twice and is told twice: %+v", r)
	case <-time.After(200 * time.Millisecond):
	}
	if n.Count() != 1 || len(n.Since(0)) != 1 || len(n.Since(1)) != 0 {
		t.Errorf("%d records", n.Count())
	}
	n.Forget()
	if all, chains, last := n.Export(); n.Count() != 0 || len(all) != 0 || chains != 0 || last != 0 {
		t.Error("what was forgotten is still there")
	}
}

// TestStoryLine: a record in the words of the timeline.
func TestStoryLine(t *testing.T) {
	for _, c := range []struct {
		event evidence.Event
		want  string
	}{
		{evidence.Event{Kind: evidence.KindStart, Detail: map[string]string{"running": "A", "phase": "idle"}},
			"agent starts in slot A, phase idle"},
		{evidence.Event{Kind: evidence.KindDecision, Sequence: 7, To: "refuse", Reason: reason.WrongClass},
			"offer 7: refuse (wrong-class)"},
		{evidence.Event{Kind: evidence.KindPhase, From: "idle", To: "preparing"}, "idle -> preparing"},
		{evidence.Event{Kind: evidence.KindHealth, To: "fails", Detail: map[string]string{"b": "2", "a": "1"}},
			"health fails: a: 1; b: 2"},
		{evidence.Event{Kind: evidence.KindHealth, To: "holds"}, "health holds"},
		{evidence.Event{Kind: evidence.KindBoot, From: "A", To: "A"}, ""},
	} {
		if got := stage.StoryLine(evidence.Record{Event: c.event}); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
