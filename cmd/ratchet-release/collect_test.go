package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/cmd/internal/broker"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/fleet"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

func TestCollect(t *testing.T) {
	t.Parallel()
	s := newServer(t, "", nil)
	dir := newDesk(t, s.url())
	out := filepath.Join(t.TempDir(), "evidence")
	g, stranger := newGadget(t, "gw-1"), newGadget(t, "gw-2")
	key := g.enroll(t, dir)
	g.live(t, 39)
	asked := g.answer(t, s, 1)
	s.put(t, g.topic("status"), g.status(t, nil), true)
	file := filepath.Join(out, "gw-1.evidence")

	// The status says that there are 40: all are asked for.
	log, stop := background(t, "evidence", "collect", "--dir", dir, "-o", out)
	until(t, "40 records", func() bool { return strings.Contains(log.String(), "stored up to 40") })
	// Records come while it runs: one is lost, one comes twice, others are nobody's.
	g.live(t, 5)
	for _, n := range []int{41, 42, 42, 44} {
		s.put(t, g.topic("evidence"), g.records[n-1], false)
	}
	s.put(t, g.topic("evidence"), []byte("garbage"), false)
	s.put(t, stranger.topic("evidence"), stranger.records[0], false)
	until(t, "the hole to be filled", func() bool { return strings.Contains(log.String(), "stored up to 45") })
	stop()
	if got := asked(); len(got) != 2 || got[0] != 1 || got[1] != 43 {
		t.Errorf("asked for %v, want 1 and 43", got)
	}
	contains(t, log.String(), "gw-2: not enrolled", "not verified and ignored")
	text, _ := do(t, 0, "evidence", "verify", file, "--key", key)
	contains(t, text, "device   gw-1", "records  45,", "records  1 to 45", "none is missing")

	// A second run takes up where the first one ended.
	before := read(t, file)
	s.put(t, g.topic("evidence"), g.records[3], false)
	again, stop := background(t, "evidence", "collect", "--dir", dir, "-o", out)
	until(t, "subscription", func() bool { return strings.Contains(again.String(), "connected to") })
	for _, n := range []int{3, 45} {
		s.put(t, g.topic("evidence"), g.records[n-1], false)
	}
	g.live(t, 1)
	s.put(t, g.topic("evidence"), g.records[45], false)
	until(t, "46 records", func() bool { return strings.Contains(again.String(), "stored up to 46") })
	stop()
	if after := read(t, file); !bytes.HasPrefix(after, before) || len(after) != len(before)+len(g.records[45]) {
		t.Error("what was there was written again")
	}
	if _, err := os.Stat(filepath.Join(out, "gw-2.evidence")); err == nil {
		t.Error("evidence of a stranger was stored")
	}
}

// bench is a collector without a broker, with a clock.
type bench struct {
	*collector
	g     *gadget
	clock time.Time
	log   *output
}

func newBench(t *testing.T, g *gadget, dir string) *bench {
	t.Helper()
	desk := newDesk(t, "")
	g.enroll(t, desk)
	d, err := workspace.Load(desk)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{g: g, clock: time.Unix(1000, 0), log: &output{}}
	b.collector = newCollector(cli.Console{Out: b.log, Err: b.log}, dir, d.DeviceKeys)
	b.now = func() time.Time { return b.clock }
	return b
}

func (b *bench) records(n ...int) {
	for _, i := range n {
		b.take(broker.Post{Topic: b.g.topic("evidence"), Body: b.g.records[i-1]})
	}
}

// asks writes and returns the number that would be asked for.
func (b *bench) asks(t *testing.T) uint64 {
	t.Helper()
	if err := b.flush(); err != nil {
		t.Fatal(err)
	}
	return b.missing(b.g.id, b.devices[b.g.id])
}

func TestCollectGivesUpOnWhatIsGone(t *testing.T) {
	g := newGadget(t, "gw-1")
	g.live(t, 19)
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
	contains(t, b.log.String(), "does not send records 1 to 9", "does not send records 12 to 14")
	// Records of another device with the same key are not this one's.
	twin := &gadget{id: "gw-2", signer: g.signer, chains: 7}
	twin.begin(t, "", nil)
	b.take(broker.Post{Topic: g.topic("evidence"), Body: twin.records[0]})
	// What comes late is taken all the same.
	b.records(13, 12, 14)
	b.asks(t)
	_, _ = do(t, cli.ExitIncomplete, "evidence", "verify", filepath.Join(b.dir, "gw-1.evidence"), "--key", filepath.Join(keyDir(t, g), "k.pem"))
}

// keyDir writes a gadget's public key.
func keyDir(t *testing.T, g *gadget) string {
	t.Helper()
	pem, err := g.signer.Key().MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "k.pem"), string(pem))
	return dir
}

func TestCollectNewChainAndFork(t *testing.T) {
	g := newGadget(t, "gw-1")
	g.live(t, 4)
	b := newBench(t, g, t.TempDir())
	old := g.status(t, nil)
	b.records(1, 2, 4)
	first, last := g.records, g.head
	g.begin(t, "journal-lost", &last)
	g.live(t, 2)
	b.records(1, 2, 3)
	if n := b.asks(t); n != 0 {
		t.Errorf("asks for %d of a chain that is over", n)
	}
	b.take(broker.Post{Topic: g.topic("status"), Body: old})
	if n := b.asks(t); n != 0 {
		t.Errorf("asks for %d because of an old status", n)
	}
	b.take(broker.Post{Topic: g.topic("evidence"), Body: first[2]}) // late
	b.take(broker.Post{Topic: g.topic("evidence"), Body: first[4]})
	if n := b.asks(t); n != 0 {
		t.Errorf("asks for %d", n)
	}
	key := filepath.Join(keyDir(t, g), "k.pem")
	file := filepath.Join(b.dir, "gw-1.evidence")
	out, _ := do(t, 0, "evidence", "verify", "--history", file, "--key", key)
	contains(t, out, "records  8,", "began    journal-lost", "follows  chain 01", "phase idle -> preparing slot=b")

	// The same numbers once more: the device was restored from a copy.
	twin := &gadget{id: g.id, signer: g.signer, chains: 1}
	twin.begin(t, "journal-lost", nil)
	twin.live(t, 1)
	b.take(broker.Post{Topic: g.topic("evidence"), Body: twin.records[1]})
	b.asks(t)
	contains(t, b.log.String(), "FORKED: two different records have number 2")
	if !bytes.Equal(read(t, filepath.Join(b.dir, "gw-1.forked")), twin.records[1]) {
		t.Error("the other record was lost")
	}
	do(t, 0, "evidence", "verify", file, "--key", key)
}

// TestShelfTakesAnyOrder: whatever the order of arrival, and however often the collector is started
// anew or cut short, the file is the same.
func TestShelfTakesAnyOrder(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	g := newGadget(t, "gw-1")
	g.live(t, 30)
	var want []byte
	for _, r := range g.records {
		want = append(want, r...)
	}
	for range 20 {
		path := filepath.Join(t.TempDir(), "x.evidence")
		s, err := openShelf(path)
		if err != nil {
			t.Fatal(err)
		}
		order := random.Perm(len(g.records))
		for len(order) > 0 {
			n := 1 + random.IntN(min(7, len(order)))
			for _, i := range append(order[:n:n], order[random.IntN(n)]) {
				head, err := headOf(g.records[i])
				if err != nil {
					t.Fatal(err)
				}
				s.put(signed{head, g.records[i]})
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
				part := g.records[random.IntN(30)]
				f.Write(part[:random.IntN(len(part))])
				f.Close()
				if s, err = openShelf(path); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !bytes.Equal(read(t, path), want) {
			t.Fatal("the file differs")
		}
	}
}

func headOf(msg []byte) (evidence.Head, error) {
	_, head, err := fleet.UnverifiedRecord(msg)
	return head, err
}

func TestShelfRefusesAForeignFile(t *testing.T) {
	g := newGadget(t, "gw-1")
	dir := t.TempDir()
	content := string(g.records[0]) + "somebody's notes, which are no record" + strings.Repeat(".", 6000)
	write(t, filepath.Join(dir, "gw-1.evidence"), content)
	b := newBench(t, g, dir)
	b.records(1)
	if err := b.flush(); err != nil {
		t.Fatal(err)
	}
	contains(t, b.log.String(), "cannot go on with", "move the file away")
	if string(read(t, filepath.Join(dir, "gw-1.evidence"))) != content {
		t.Error("the file was changed")
	}
}

func TestEvidenceVerify(t *testing.T) {
	g := newGadget(t, "gw-1")
	g.live(t, 9)
	key := filepath.Join(keyDir(t, g), "k.pem")
	dir := t.TempDir()
	export := func(records ...[]byte) string {
		return write(t, filepath.Join(dir, "x"), string(bytes.Join(records, nil)))
	}
	out, _ := do(t, 0, "evidence", "verify", export(g.records...), "--key", key)
	contains(t, out, "none is missing")
	out, _ = doWith(t, string(bytes.Join(g.records, nil)), 0, "evidence", "verify", "-", "--key", key, "--history")
	contains(t, out, "     1  2026-03-01T12:00:00Z   chain", "    10  2026")

	out, err := do(t, cli.ExitIncomplete, "evidence", "verify", export(append(g.records[:3:3], g.records[5:]...)...), "--key", key)
	contains(t, out, "MISSING  4 to 5")
	contains(t, err, "2 records are missing")
	out, _ = do(t, cli.ExitIncomplete, "evidence", "verify", export(g.records[4:]...), "--key", key)
	contains(t, out, "MISSING  1 to 4, before")

	for _, c := range []struct {
		name, reason string
		records      [][]byte
	}{
		{"altered", "signature-invalid", [][]byte{g.records[0], altered(g.records[1])}},
		{"another key", "signer-unknown", newGadget(t, "gw-1").records},
		{"order", "envelope-malformed", [][]byte{g.records[0], g.records[2], g.records[1]}},
		{"garbage", "envelope-malformed", [][]byte{g.records[0], []byte("\xff")}},
		{"cut", "envelope-malformed", [][]byte{g.records[0], g.records[1][:50]}},
	} {
		out, err := do(t, cli.ExitRefused, "evidence", "verify", export(c.records...), "--key", key)
		contains(t, out, "reason: "+c.reason)
		if contains(t, err, "x is refused"); c.name != "another key" {
			contains(t, out, "Good before that:", "records  1")
		}
	}
	_, err = do(t, cli.ExitFailed, "evidence", "verify", export(), "--key", key)
	contains(t, err, "holds no record")
}

func altered(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

func TestEnroll(t *testing.T) {
	dir := newDesk(t, "")
	a, b := filepath.Join(keyDir(t, newGadget(t, "x")), "k.pem"), filepath.Join(keyDir(t, newGadget(t, "x")), "k.pem")
	do(t, 0, "enroll", "--dir", dir, "gw-1", a)
	out, _ := do(t, 0, "enroll", "--dir", dir, "gw-1", a)
	contains(t, out, "already")
	_, err := do(t, 1, "enroll", "--dir", dir, "gw-1", b)
	contains(t, err, "another key", "--replace")
	doWith(t, string(read(t, b)), 0, "enroll", "--dir", dir, "--replace", "gw-1", "-")
	if !bytes.Equal(read(t, filepath.Join(dir, "devices", "gw-1.pem")), read(t, b)) {
		t.Error("the key was not replaced")
	}
	_, err = do(t, 1, "enroll", "--dir", dir, "../gw", a)
	contains(t, err, "device id")
	_, err = do(t, 1, "enroll", "--dir", dir, "gw-2", alice)
	contains(t, err, "private key")
	write(t, filepath.Join(dir, "devices", "gw-3.pem"), "garbage")
	_, err = do(t, 1, "enroll", "--dir", dir, "gw-3", a)
	contains(t, err, "--replace")
}

func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "desk")
	out, _ := do(t, 0, "init", "--alg", "ed25519", "--vendor", "acme.example", "--class", "a", "--class", "b \"quoted\"", dir)
	contains(t, out, "Next:", "release.pub.pem to each device", `vendor = ["acme.example"], class = ["a"]`, "Ed25519")
	for name, mode := range map[string]os.FileMode{
		"keys": 0o700, "keys/release.pem": 0o600, "keys/release.pub.pem": 0o644, "ratchet-release.toml": 0o644, "release.toml": 0o644, "images": 0o755, "devices": 0o755,
	} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	d, err := workspace.Load(dir)
	if err != nil || len(d.Vendor.Classes) != 2 || d.Vendor.Classes[1] != "b \"quoted\"" {
		t.Errorf("%+v, %v", d.Vendor, err)
	}
	key := read(t, filepath.Join(dir, "keys/release.pem"))
	_, stderr := do(t, 1, "init", dir)
	if contains(t, stderr, "exists already and is not overwritten"); !bytes.Equal(key, read(t, filepath.Join(dir, "keys/release.pem"))) {
		t.Error("the key was overwritten")
	}
	for _, bad := range [][]string{
		{"--vendor", "Acme"}, {"--channel", "a/b"}, {"--broker", "http://x"}, {"--broker", "mqtt://x"}, {"--base-url", "x"}, {"--class", " x"}, {"--alg", "rsa"},
	} {
		dir := filepath.Join(t.TempDir(), "x")
		do(t, 1, append(append([]string{"init"}, bad...), dir)...)
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%v left a directory", bad)
		}
	}
}

func FuzzShelf(f *testing.F) {
	signer, err := keys.Private(bob)
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
		path := write(t, filepath.Join(t.TempDir(), "x"), string(b))
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
