package root

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
)

// Files of a trust root in a release directory.
const (
	FileName   = "root.toml"        // what people write
	BundleName = "root-bundle.cbor" // every signed version; what devices get
)

// rootFile is root.toml: what the next root says. The version, the name after the first one, and the
// generations of roles follow from the bundle.
type rootFile struct {
	Name        string                `toml:"name"`
	Development bool                  `toml:"development"`
	OnePerson   bool                  `toml:"one-person"` // meant so; for the desk alone, it is not in the root
	Expires     time.Time             `toml:"expires"`
	Algorithms  []string              `toml:"algorithms"`
	Renew       []string              `toml:"renew"`
	Revoked     []string              `toml:"revoked"`
	Signer      map[string]signerFile `toml:"signer"`
	Role        []roleFile            `toml:"role"`
	Component   map[string]rangeFile  `toml:"component"`
}

type signerFile struct {
	Key     string `toml:"key"`
	Lattice string `toml:"ml-dsa"`
}

type roleFile struct {
	Name      string   `toml:"name"`
	Threshold int      `toml:"threshold"`
	Signers   []string `toml:"signers"`
	Vendors   []string `toml:"vendors"`
	Classes   []string `toml:"classes"`
	Component string   `toml:"component"`
}

type rangeFile struct {
	Min uint64  `toml:"min"`
	Max *uint64 `toml:"max"`
}

// readRootFile makes the root after old, which is zero for a first one, from root.toml.
func readRootFile(path string, old trust.Root, now time.Time) (trust.RootSpec, error) {
	var f rootFile
	doc, err := conf.Read(path, &f)
	if err != nil {
		return trust.RootSpec{}, fmt.Errorf("cannot read root file: %w", err)
	}
	s := trust.RootSpec{Version: 1, Name: f.Name, Development: f.Development, Issued: now.UTC().Truncate(time.Second),
		Expires: f.Expires.UTC(), Roles: map[trust.Role]trust.RoleSpec{}, Components: map[string]trust.SequenceRange{},
		Revoked: slices.Clone(f.Revoked)}
	if f.Expires.IsZero() {
		return s, doc.Errorf("expires", "is missing: name the day by which devices must have a newer root")
	}
	for i, word := range f.Algorithms {
		alg, ok := keys.Algorithms()[strings.ToLower(word)]
		if !ok {
			return s, doc.Errorf("algorithms", "%q is not one of esp256, ed25519, esp384, ml-dsa-65, es256, eddsa",
				manifest.Printable(f.Algorithms[i]))
		}
		s.Algorithms = append(s.Algorithms, alg)
	}
	slices.Sort(s.Algorithms)
	slices.Sort(s.Revoked)
	members, err := f.members(doc, filepath.Dir(path))
	if err != nil {
		return s, err
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		s.Members = append(s.Members, members[name])
	}
	for i, r := range f.Role {
		role := trust.Role(r.Name)
		g, err := r.grant(doc, fmt.Sprintf("role.%d", i), members)
		if err != nil {
			return s, err
		}
		s.Roles[role] = trust.RoleSpec{Generation: 1, Grants: append(s.Roles[role].Grants, g)}
	}
	for name, r := range f.Component {
		top := ^uint64(0)
		if r.Max != nil {
			top = *r.Max
		}
		s.Components[name] = trust.SequenceRange{Min: r.Min, Max: top}
	}
	if old.IsZero() {
		return s, f.check(doc, s, members)
	}
	if f.Name != old.Name() || f.Development != old.Development() {
		return s, doc.Errorf("name", "this chain is named %q and cannot be renamed: another name means another "+
			"root, and devices built for it", old.Name())
	}
	var renew []trust.Role
	for _, r := range f.Renew {
		if !slices.Contains(trust.Roles(), trust.Role(r)) {
			return s, doc.Errorf("renew", "%q is not a role", manifest.Printable(r))
		}
		renew = append(renew, trust.Role(r))
	}
	return old.Next(s, renew...), f.check(doc, s, members)
}

// check finds what makes a root void, where it stands in the file. trust.BuildRoot has the last word.
func (f rootFile) check(doc conf.Document, s trust.RootSpec, members map[string]trust.Member) error {
	if err := f.void(doc, s, members); err != nil {
		return fault("", err)
	}
	return nil
}

func (f rootFile) void(doc conf.Document, s trust.RootSpec, members map[string]trust.Member) error {
	switch {
	case f.Name == "":
		return doc.Errorf("name", "is missing: name the chain of roots, such as example.com")
	case !s.Expires.After(s.Issued):
		return doc.Errorf("expires", "%s is past: name a day by which devices will have a newer root",
			s.Expires.Format("2006-01-02"))
	}
	owner := map[string]string{} // the signer of each key
	for _, name := range slices.Sorted(maps.Keys(members)) {
		for _, k := range members[name].Keys {
			if other := owner[k.ID()]; other != "" {
				return doc.Errorf("signer."+name, "it has a key of signer %s: one key, one signer", other)
			}
			owner[k.ID()] = name
		}
	}
	serves := map[string]string{} // the role of each signer
	for i, r := range f.Role {
		at := fmt.Sprintf("role.%d.", i)
		if r.Threshold < 1 || r.Threshold > len(r.Signers) {
			return doc.Errorf(at+"threshold", "%d: want 1 to %d, as many as it has signers",
				r.Threshold, len(r.Signers))
		}
		for j, name := range r.Signers {
			id := members[name].ID()
			switch role := serves[id]; {
			case slices.Contains(r.Signers[:j], name):
				return doc.Errorf(at+"signers", "%s is listed twice", name)
			case role != "" && role != r.Name:
				return doc.Errorf(at+"signers", "%s has the role %s already: one key, one role", name, role)
			}
			serves[id] = r.Name
		}
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if serves[members[name].ID()] == "" {
			return doc.Errorf("signer."+name, "it has no role")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Components)) {
		if r := s.Components[name]; r.Min > r.Max {
			return doc.Errorf("component."+name, "min %d is above max %d", r.Min, r.Max)
		}
	}
	return nil
}

// grant reads one entry of a role; at is its place in the file.
func (r roleFile) grant(doc conf.Document, at string, members map[string]trust.Member) (trust.Grant, error) {
	g := trust.Grant{Threshold: r.Threshold, Scope: trust.Scope{Component: r.Component}}
	for _, name := range r.Signers {
		m, ok := members[name]
		if !ok {
			return g, doc.Errorf(at+".signers", "there is no [signer.%s]", manifest.Printable(name))
		}
		g.Members = append(g.Members, m)
	}
	for _, v := range r.Vendors {
		id, err := conf.VendorUUID(v)
		if err != nil {
			return g, doc.Errorf(at+".vendors", "%v", err)
		}
		g.Scope.Vendors = append(g.Scope.Vendors, id)
	}
	for _, class := range r.Classes {
		id, err := manifest.ParseUUID(class)
		if err != nil && len(g.Scope.Vendors) == 1 {
			id, err = conf.ClassUUID(g.Scope.Vendors[0], class)
		}
		if err != nil {
			return g, doc.Errorf(at+".classes", "%q: give its UUID, or its name together with one vendor",
				manifest.Printable(class))
		}
		g.Scope.Classes = append(g.Scope.Classes, id)
	}
	order := func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) }
	slices.SortFunc(g.Scope.Vendors, order)
	slices.SortFunc(g.Scope.Classes, order)
	if !slices.Contains(trust.Roles(), trust.Role(r.Name)) {
		return g, doc.Errorf(at+".name", "%q is not one of root, release, campaign, pulse, recovery",
			manifest.Printable(r.Name))
	}
	slices.SortFunc(g.Members, func(a, b trust.Member) int { return strings.Compare(a.Name, b.Name) })
	return g, nil
}

// members reads the keys of all signers.
func (f rootFile) members(doc conf.Document, dir string) (map[string]trust.Member, error) {
	path := func(p string) string {
		if filepath.IsAbs(p) {
			return p
		}
		return filepath.Join(dir, p)
	}
	members := map[string]trust.Member{}
	for _, name := range slices.Sorted(maps.Keys(f.Signer)) {
		s := f.Signer[name]
		m := trust.Member{Name: name}
		if s.Key == "" {
			return nil, doc.Errorf("signer."+name+".key", "is missing")
		}
		for i, p := range append([]string{s.Key}, conf.NonEmpty(s.Lattice)...) {
			k, err := keys.Public(path(p))
			if err != nil {
				return nil, doc.Errorf("signer."+name+[]string{".key", ".ml-dsa"}[i], "%v", err)
			}
			m.Keys = append(m.Keys, k)
		}
		members[name] = m
	}
	return members, nil
}
