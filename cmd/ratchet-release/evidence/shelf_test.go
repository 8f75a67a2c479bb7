package evidence

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/broker"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/fleet"
	"github.com/ratchet-ota/ratchet/cmd/internal/fleet/fleettest"
)

// bench is a collector without a broker, with a clock.
type bench struct {
	*collector
	g     *fleettest.Device
	clock time.Time
	log   *bytes.Buffer
}

func newBench(t *testing.T, g *fleettest.Device, dir string) *bench {
	t.Helper()
	anchors := keysOf(t, g)
	b := &bench{g: g, clock: time.Unix(1000, 0), log: &bytes.Buffer{}}
	b.collector = newCollector(cli.Console{Out: b.log, Err: b.log}, dir, func(id string) (trust.Keys, bool, error) {
		return anchors, id == g.ID, nil
	})
	b.now = func() time.Time { return b.clock }
	return b
}

// keysOf is a device's own key.
func keysOf(t *testing.T, g *fleettest.Device) trust.Keys {
	t.Helper()
	k, err := trust.NewKeys([]trust.Key{g.Signer.Key()}, false)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// judge verifies the collected file of a device.
func judge(t *testing.T, b *bench, history bool) (text string, err error) {
	t.Helper()
	var out bytes.Buffer
	name := filepath.Join(b.dir, b.g.ID+".evidence")
	err = Verify(t.Context(), cli.Console{Out: &out, Err: &out}, name, bytes.NewReader(load(t, name)),
		keysOf(t, b.g), history)
	return out.String(), err
}

func load(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func holds(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is missing in:\n%s", p, text)
		}
	}
}

func (b *bench) records(n ...int) {
	for _, i := range n {
		b.take(broker.Post{Topic: b.g.Topic("evidence"), Body: b.g.Records[i-1]})
	}
}

// asks writes and returns the number that would be asked for.
func (b *bench) asks(t *testing.T) uint64 {
	t.Helper()
	if err := b.flush(); err != nil {
		t.Fatal(err)
	}
	return b.missing(b.g.ID, b.devices[b.g.ID])
}

func TestCollectGivesUpOnWhatIsGone(t *testing.T) {
	g := fleettest.New(t, "gw-1")
	g.Live(t, 19)
	b := newBench(t, g, t.TempDir())
	b.records(10, 11)
	if n := b.asks(t); n != 1 {
		t.Fatalf("asks for %d, want 1", n)
	}
	if n := b.asks(t); n != 0 {
		t.Errorf("asks again at once for %d", n)
	}
	b.records(10) // it begins again with 10: 1 to 9 are pruned
	if n := b.asks(t); n != 0 {
		t.Errorf("asks for %d, which the device does not have", n)
	}
	b.records(15)
	for i := range askTimes {
		if n := b.asks(t); n != 12 {
			t.Errorf("time %d: asks for %d, want 12", i, n)
		}
		b.clock = b.clock.Add(askEvery)
	}
	if n := b.asks(t); n != 0 {
		t.Errorf("asks for %d for ever", n)
	}
	holds(t, b.log.String(), "does not send records 1 to 9", "does not send records 12 to 14")
	// Records of another device with the same key are not this one's.
	other := fleettest.Twin(t, "gw-2", g.Signer, 7, "")
	b.take(broker.Post{Topic: g.Topic("evidence"), Body: other.Records[0]})
	// What comes late is taken all the same.
	b.records(13, 12, 14)
	b.asks(t)
	if _, err := judge(t, b, false); !errors.Is(err, cli.ErrIncomplete) {
		t.Errorf("%v", err)
	}
}

func TestCollectNewChainAndFork(t *testing.T) {
	g := fleettest.New(t, "gw-1")
	g.Live(t, 4)
	b := newBench(t, g, t.TempDir())
	old := g.Status(t, nil)
	b.records(1, 2, 4)
	first, last := g.Records, g.Head
	g.Begin(t, "journal-lost", &last)
	g.Live(t, 2)
	b.records(1, 2, 3)
	if n := b.asks(t); n != 0 {
		t.Errorf("asks for %d of a chain that is over", n)
	}
	b.take(broker.Post{Topic: g.Topic("status"), Body: old})
	if n := b.asks(t); n != 0 {
		t.Errorf("asks for %d because of an old status", n)
	}
	b.take(broker.Post{Topic: g.Topic("evidence"), Body: first[2]}) // late
	b.take(broker.Post{Topic: g.Topic("evidence"), Body: first[4]})
	if n := b.asks(t); n != 0 {
		t.Errorf("asks for %d", n)
	}
	out, err := judge(t, b, true)
	if err != nil {
		t.Errorf("%v", err)
	}
	holds(t, out, "records  8,", "began    journal-lost", "follows  chain 01", "phase idle -> preparing slot=b")

	// The same numbers once more: the device was restored from a copy.
	other := fleettest.Twin(t, g.ID, g.Signer, 1, "journal-lost")
	other.Live(t, 1)
	b.take(broker.Post{Topic: g.Topic("evidence"), Body: other.Records[1]})
	b.asks(t)
	holds(t, b.log.String(), "FORKED: two different records have number 2")
	if !bytes.Equal(load(t, filepath.Join(b.dir, "gw-1.forked")), other.Records[1]) {
		t.Error("the other record was lost")
	}
	if _, err := judge(t, b, false); err != nil {
		t.Errorf("%v", err)
	}
}

// TestShelfTakesAnyOrder: whatever the order of arrival, and however often the collector is started
// anew or cut short, the file is the same.
func TestShelfTakesAnyOrder(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	g := fleettest.New(t, "gw-1")
	g.Live(t, 30)
	var want []byte
	for _, r := range g.Records {
		want = append(want, r...)
	}
	for range 20 {
		path := filepath.Join(t.TempDir(), "x.evidence")
		s, err := openShelf(path)
		if err != nil {
			t.Fatal(err)
		}
		order := random.Perm(len(g.Records))
		for len(order) > 0 {
			n := 1 + random.IntN(min(7, len(order)))
			for _, i := range append(order[:n:n], order[random.IntN(n)]) {
				head, err := headOf(g.Records[i])
				if err != nil {
					t.Fatal(err)
				}
				s.put(signed{head, g.Records[i]})
			}
			order = order[n:]
			if err := s.flush(); err != nil {
				t.Fatal(err)
			}
			if random.IntN(3) == 0 {
				// A crash in the middle of appending leaves a part of a record.
				f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				part := g.Records[random.IntN(30)]
				f.Write(part[:random.IntN(len(part))])
				f.Close()
				if s, err = openShelf(path); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !bytes.Equal(load(t, path), want) {
			t.Fatal("the file differs")
		}
	}
}

func headOf(msg []byte) (evidence.Head, error) {
	_, head, err := fleet.UnverifiedRecord(msg)
	return head, err
}

func TestShelfRefusesAForeignFile(t *testing.T) {
	g := fleettest.New(t, "gw-1")
	dir := t.TempDir()
	content := string(g.Records[0]) + "somebody's notes, which are no record" + strings.Repeat(".", 6000)
	if err := os.WriteFile(filepath.Join(dir, "gw-1.evidence"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, g, dir)
	b.records(1)
	if err := b.flush(); err != nil {
		t.Fatal(err)
	}
	holds(t, b.log.String(), "cannot go on with", "move the file away")
	if string(load(t, filepath.Join(dir, "gw-1.evidence"))) != content {
		t.Error("the file was changed")
	}
}

func FuzzShelf(f *testing.F) {
	signer, err := trust.Generate(trust.Ed25519)
	if err != nil {
		f.Fatal(err)
	}
	rec, _, err := evidence.Begin("gw-1", [16]byte{1}, "", nil, evidence.Stamp{})
	if err != nil {
		f.Fatal(err)
	}
	msg, err := evidence.Sign(rec, signer)
	if err != nil {
		f.Fatal(err)
	}
	head, err := headOf(msg)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(msg)
	f.Add(append(bytes.Clone(msg), msg[:30]...))
	f.Add([]byte{0x9f, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openShelf(path)
		if err != nil {
			return // it is left as it is, and said
		}
		s.put(signed{head, msg})
		if err := s.flush(); err != nil {
			t.Fatal(err)
		}
		again, err := openShelf(path)
		if err != nil || again.size != s.size || again.chain(head.Chain) == nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
	})
}
