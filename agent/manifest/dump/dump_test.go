package dump_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/dump"
	"github.com/ratchet-ota/ratchet/agent/manifest/manifesttest"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

var update = flag.Bool("update", false, "rewrite the dumps that are kept as transcripts")

// read is a file of testdata/suit.
func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(manifesttest.Data(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// transcript compares with a dump that is kept, or writes it with -update.
func transcript(t *testing.T, name string, b []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join(manifesttest.Data(t), name), b, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(b, read(t, name)) {
		t.Errorf("%s differs from what is kept (go test -update rewrites it)", name)
	}
}

// A dump of each golden envelope shows what is wrong with it; some are kept as transcripts.
func TestDumpGolden(t *testing.T) {
	index := strings.Split(strings.TrimSpace(string(read(t, "INDEX.tsv"))), "\n")
	if len(index) < 80 {
		t.Fatalf("%d envelopes in the index", len(index))
	}
	for _, line := range index[1:] {
		row := strings.Split(line, "\t")
		file, stage := row[0], row[2]
		name := strings.TrimSuffix(file, ".suit")
		b := read(t, file)
		var out bytes.Buffer
		if err := dump.Write(&out, b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s := out.String()
		_, err := manifesttest.Accept(t, b)
		signatures := errors.Is(err, trust.ErrNoSigner) || name == "hostile-unsigned" || name == "hostile-mac"
		refused := strings.Contains(s, "/ refused: ") || strings.Contains(s, "DOES NOT MATCH")
		want := stage == "parse" || stage == "verify" && !signatures
		if refused != want && !strings.Contains(name, "garbage") {
			t.Errorf("%s: dump says refused %v, want %v", name, refused, want)
		}
		for _, c := range s {
			if c < ' ' && c != '\n' || c == 0x202e {
				t.Fatalf("%s: dump contains the control character %U", name, c)
			}
		}
		if name == "release-full" || name == "release-encrypted" || name == "hostile-unknown-command" {
			transcript(t, name+".txt", out.Bytes())
		}
	}
}

func FuzzDump(f *testing.F) {
	for _, pattern := range []string{"*.suit", "*.cbor"} {
		files, err := filepath.Glob(filepath.Join(manifesttest.Data(f), pattern))
		if err != nil || len(files) == 0 {
			f.Fatal("no envelopes or reports to begin with: ", err)
		}
		for _, name := range files {
			f.Add(read(f, filepath.Base(name)))
		}
	}
	f.Add([]byte{0xbf, 0x61, 'a', 0x9f, 0xff, 0xff})
	f.Add(bytes.Repeat([]byte{0x81}, 100))
	f.Add(bytes.Repeat([]byte{0xd8, 0x6b}, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		if err := dump.Write(&out, b); err != nil {
			if len(b) <= 4*manifest.MaxEnvelope {
				t.Fatal(err)
			}
			return
		}
		if out.Len() > 5<<20 {
			t.Fatalf("%d bytes were written", out.Len())
		}
		for _, c := range out.Bytes() {
			if c < ' ' && c != '\n' || c == 0x7f {
				t.Fatalf("control character %x", c)
			}
		}
	})
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestDumpReportsWriter(t *testing.T) {
	if err := dump.Write(broken{}, manifesttest.Make(t, manifesttest.Full())); err == nil {
		t.Error("a failing writer went unnoticed")
	}
	if err := dump.Write(io.Discard, make([]byte, 4*manifest.MaxEnvelope+1)); err == nil {
		t.Error("endless input was taken")
	}
}

// The worst input for its size costs bounded output and depth.
func TestDumpIsBounded(t *testing.T) {
	array := append([]byte{0x9a, 0, 3, 0, 0}, bytes.Repeat([]byte{0x80}, 4*manifest.MaxEnvelope-30)...)
	for says, b := range map[string][]byte{
		"data ends early":      {0x81},
		"nested deeper":        bytes.Repeat([]byte{0x81}, 60000),
		"output is cut":        append(bytes.Repeat([]byte{0x81}, 20), array...),
		"longer than the data": {0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		var out bytes.Buffer
		if err := dump.Write(&out, b); err != nil {
			t.Fatal(err)
		}
		if out.Len() > 5<<20 || !bytes.Contains(out.Bytes(), []byte("refused")) ||
			!bytes.Contains(out.Bytes(), []byte(says)) {
			t.Errorf("%d bytes of output without a verdict or %q", out.Len(), says)
		}
	}
}
