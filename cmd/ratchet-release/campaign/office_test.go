package campaign_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	documents "github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/campaign"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/root"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

// head and roles are the root of the office: two of three people plan.
const (
	head = `name = "acme"
one-person = true
expires = 2099-01-01T00:00:00Z
algorithms = ["esp256"]
`
	roles = `[[role]]
name = "root"
threshold = 1
signers = ["owner"]
[[role]]
name = "release"
threshold = 1
signers = ["ship"]
[[role]]
name = "campaign"
threshold = 2
signers = ["ann", "ben", "cy"]
[[role]]
name = "pulse"
threshold = 1
signers = ["guard"]
[[role]]
name = "recovery"
threshold = 1
signers = ["medic"]
`
	planText = `manifest = "r.suit"
valid-until = 2099-01-01T00:00:00Z
`
	all = "[[phase]]\npercent = 100.0\n"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 678, time.FixedZone("east", 3600))

var team = []string{"owner", "ship", "ann", "ben", "cy", "guard", "medic"}

// office is a release directory with a release, the keys of the team and a root.
type office struct {
	t     *testing.T
	dir   string
	said  bytes.Buffer
	c     cli.Console
	names [][2]string // what differs from run to run, and a word for it
	root  string      // root.toml, without the people
	rel   manifest.Digest
	class manifest.UUID
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, dir: t.TempDir(), root: head + roles}
	o.c = cli.Console{Out: &o.said, Err: &o.said}
	o.write(workspace.FileName,
		"[vendor]\ndomain = \"acme.example\"\nclasses = [\"gateway-v1\"]\n[broker]\n"+
			"url = \"mqtts://broker.example\"\nchannel = \"stable\"\n")
	for _, name := range team {
		k, err := keys.NewPair(o.in(name), "esp256", nil)
		if err != nil {
			t.Fatal(err)
		}
		o.names = append(o.names, [2]string{keys.Short(k.Key().ID()), "key of " + name})
	}
	o.change(1)
	vendor := manifest.VendorUUID("acme.example")
	o.class = manifest.ClassUUID(vendor, "gateway-v1")
	o.release("r.suit", 5, "ship")
	return o
}

// nobody signs.
var nobody keys.Source

// key is that of a person.
func (o *office) key(who string) keys.Source { return keys.Source{Path: o.in(who + ".pem")} }

func (o *office) in(name string) string { return filepath.Join(o.dir, name) }

func (o *office) write(name, text string) string {
	o.t.Helper()
	if err := os.WriteFile(o.in(name), []byte(text), 0o600); err != nil {
		o.t.Fatal(err)
	}
	return o.in(name)
}

func (o *office) read(name string) []byte {
	o.t.Helper()
	b, err := os.ReadFile(o.in(name))
	if err != nil {
		o.t.Fatal(err)
	}
	return b
}

// change makes version n of the root, in which the first of every pair became the second. Who has no role is not
// in it.
func (o *office) change(n int, pairs ...string) {
	o.t.Helper()
	o.root = strings.NewReplacer(pairs...).Replace(o.root)
	text := o.root
	for _, name := range team {
		if strings.Contains(o.root, strconv.Quote(name)) {
			text += fmt.Sprintf("[signer.%s]\nkey = %q\n", name, name+".pub.pem")
		}
	}
	o.write(root.FileName, text)
	err := root.Next(o.c, o.dir, false, now)
	if err == nil {
		err = root.Sign(o.t.Context(), o.c, o.in(fmt.Sprintf("root-%d.cbor", n)), "",
			keys.Source{Path: o.in("owner.pem")})
	}
	if err != nil || o.trusted().Version() != uint64(n) {
		o.t.Fatalf("%v\n%s", err, o.said.String())
	}
	o.said.Reset()
}

func (o *office) bundle() string { return o.in(root.BundleName) }

func (o *office) trusted() trust.Root {
	o.t.Helper()
	r, err := root.ReadTrusted(o.bundle())
	if err != nil {
		o.t.Fatal(err)
	}
	return r
}

// release makes a signed envelope.
func (o *office) release(name string, sequence uint64, by string) {
	o.t.Helper()
	env, err := author.Build(author.Release{Vendor: manifest.VendorUUID("acme.example"),
		Classes: []manifest.UUID{o.class}, Sequence: sequence,
		Components: []author.Component{{Name: "rootfs", Images: []author.Image{{Slot: author.AnySlot,
			Digest: manifest.Sum([]byte("image")), Size: 5, URI: "https://img.example/r"}}}}})
	if err != nil {
		o.t.Fatal(err)
	}
	signer, err := keys.Private(o.t.Context(), o.c, keys.Source{Path: o.in(by + ".pem")})
	if err == nil {
		env, err = author.Sign(env, signer)
	}
	if err != nil {
		o.t.Fatal(err)
	}
	o.write(name, string(env))
	e, err := manifest.Parse(env)
	if err != nil {
		o.t.Fatal(err)
	}
	if name == "r.suit" {
		o.rel = e.ClaimedDigest()
	}
}

// plan makes plan.cbor out of text, by the keys named.
func (o *office) plan(text string, by ...string) (documents.PlanSpec, error) {
	o.t.Helper()
	path := o.write("plan.toml", text)
	if err := campaign.Plan(o.t.Context(), o.c, path, o.dir, o.bundle(), nobody, o.in("plan.cbor"),
		now); err != nil {
		return documents.PlanSpec{}, err
	}
	for _, who := range by {
		if err := campaign.Cosign(o.t.Context(), o.c, "plan", o.in("plan.cbor"), o.in("plan.cbor"),
			o.key(who)); err != nil {
			o.t.Fatal(err)
		}
	}
	s, _, err := documents.ReadPlan(o.read("plan.cbor"))
	if err != nil {
		o.t.Fatal(err)
	}
	return s, nil
}
