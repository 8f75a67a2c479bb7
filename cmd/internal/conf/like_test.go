package conf_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
)

// kinds has every kind of field that a configuration has.
type kinds struct {
	S string         `toml:"s"`
	B bool           `toml:"b"`
	I int            `toml:"i"`
	U uint64         `toml:"u"`
	P *int64         `toml:"p"`
	F float64        `toml:"f"`
	T time.Time      `toml:"t"`
	A any            `toml:"a"`
	L []string       `toml:"l"`
	N []any          `toml:"n"`
	M map[string]any `toml:"m"`

	Sub struct {
		S string `toml:"s"`
	} `toml:"sub"`
	Ptr *struct {
		I int `toml:"i"`
	} `toml:"ptr"`
	List []struct {
		S   string `toml:"s"`
		Sub []struct {
			I int `toml:"i"`
		} `toml:"sub"`
	} `toml:"list"`
	Named map[string]struct {
		S     string            `toml:"s"`
		Parts map[string]string `toml:"parts"`
	} `toml:"named"`
}

// like decodes with go-toml's own decoder.
func like(b []byte, into any) error {
	d := toml.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// documents are of every form that TOML has, and of most that it does not.
var documents = []string{
	"", "a = 1", "a = 1\na = 2", "a.b = 1\na.c = 2", "a.b = 1\na = 2", "a = 1\na.b = 2", "a = {b = 1}\na.c = 2",
	"[a]\nb = 1\n[a]", "[a.b]\n[a]\nc = 1", "[a.b]\n[a]\nb.c = 1", "[a.b.c]\n[a]\nb.d = 1", "[a]\nb.c = 1\n[a.b]",
	"[a]\nb.c = 1\n[a.b.d]", "[[a]]\nb = 1\n[[a]]\nb = 2", "[a]\n[[a]]", "[[a]]\n[a]", "[[a]]\n[a.b]\n[[a]]\n[a.b]",
	"a = []\n[[a]]", "a = [{b = 1}]\n[a.c]", "[[a.b]]\n[a]\nb.c = 1", "[a]\n[a.b.c]\n[a.b]", "a = {b.c = 1, b.d = 2}",
	"a = {b = 1, b = 2}", "a = [{b = 1, b = 2}]", "a = {b = {c = 1}, b.d = 2}", "a = 1_000", "a = 0x_1", "a = +0x1",
	"a = 0xfF", "a = 0o17\nb = 0b11", "a = 007", "a = -0", "a = 9223372036854775807", "a = 9223372036854775808",
	"a = -9223372036854775808", "a = 1.5e3", "a = 1e999", "a = +nan", "a = -inf", "a = 1_0.0_1", "a = .5", "a = 5.",
	"a = 2030-02-29", "a = 2028-02-29", "a = 2030-01-01T00:00:00Z", "a = 2030-01-01 00:00:00+23:59", "a = 12:00",
	"a = 2030-01-01t00:00z", "a = 2030-01-01T00:00:00+24:00", "a = 2030-01-01T00:00:00ZZ", "a = 2030-01-01T1:00:00Z",
	"a = 2030-01-01T00:00:00.123456789123Z", "a = 2030-01-01T00:00:00*01:00", "a = 2030-01-01T00:00:60Z", "a = 25:00",
	"a = \"\\u00e9\\n\"", "a = '''\nx'''", "a = \"x", "a = [1, 'x', [2.0]]", "a = [1,,2]", "= 1",
	"a", "[a", "[]", "[a.]",
	"s = 1", "s = \"x\"", "b = 1", "i = 1.0", "u = -1", "i = \"1\"", "f = 1", "f = 0x10", "f = \"1\"",
	"t = 2030-01-01t00:00:00z", "t = 2030-01-01", "t = 2030-01-01t00:00:00", "t = 1",
	"t = \"2030-01-01t00:00:00z\"",
	"l = [\"a\"]", "l = \"a\"", "l = [1]", "l = []", "n = [1, {x = 1}]", "m = {x = 1}", "[m]\nx = 1\n[m.y]\nz = 1",
	"m = 1", "sub = 1", "[sub]\ns = \"x\"", "[[sub]]", "sub.s = \"x\"", "[ptr]", "ptr = {i = 1}", "[[list]]\ns = \"x\"",
	"[list]\ns = \"x\"", "list = [{s = \"x\"}]", "list = {s = \"x\"}",
	"[[list]]\n[[list.sub]]\ni = 1\n[[list.sub]]\n[[list]]", "[list.sub]\ni = 1", "list.s = \"x\"",
	"[named.x]\ns = \"y\"",
	"[named.x.parts]\na = \"b\"\n[named.x]\ns = \"y\"",
	"named.x.s = \"y\"",
	"[[named]]", "[[named.x]]", "unknown = 1", "[unknown.x]", "[[unknown]]", "[sub]\nx.y = 1",
	"[[a]]\nx = 1\n[[a.b]]\n[[a]]",
	"a.x = 1\na.y.z = 2", "[s]", "[[s]]", "[i]", "p = 5", "\xff = 1", "a = \"\xff\"", "a = 1 # c\r\nb = 2\r\n",
}

// FuzzLikeGoToml: what go-toml's own decoder takes is taken and means the same, and what it refuses is refused.
func FuzzLikeGoToml(f *testing.F) {
	for _, text := range documents {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var got, want kinds
		if lower := bytes.ToLower(b); bytes.Equal(b, lower) { // a key in two spellings means nothing
			compare(t, b, &got, &want)
		}
		var free, wantFree map[string]any
		compare(t, b, &free, &wantFree)
	})
}

func compare(t *testing.T, b []byte, got, want any) {
	t.Helper()
	_, err := conf.Decode("x.toml", b, got)
	wantErr := like(b, want)
	if (err == nil) != (wantErr == nil) {
		t.Errorf("%q: %v, go-toml: %v", b, err, wantErr)
	} else if err == nil && !reflect.DeepEqual(got, want) && !strings.Contains(fmt.Sprint(want), "NaN") {
		t.Errorf("%q: %+v, go-toml: %+v", b, got, want)
	}
}
