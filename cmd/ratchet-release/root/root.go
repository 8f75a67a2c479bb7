// Package root makes trust roots: the first one, the next version, signatures of several people on one file,
// and the bundle, which holds every complete version and is what devices get.
//
// A root stands in root-N.cbor until enough people have signed it; only then is it added to the bundle.
// Each file is replaced as a whole, the root before the bundle: after an interruption, signing once more
// goes on.
package root

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
)

// refused is a root or a bundle that a device would refuse.
func refused(path string, err error) error {
	return &cli.Refusal{What: path, Reason: reason.RootRefused, Err: err}
}

// fault is a root file from which no root can be made; what is "" where err names the file.
func fault(what string, err error) error {
	return &cli.Refusal{What: what, Reason: reason.RootRefused, Err: err,
		Advice: "Correct " + FileName + ". No device has seen this root."}
}

// inPEM is a key in place of a root.
func inPEM(path string) error {
	return &cli.Refusal{What: path, Reason: reason.RootRefused, Err: errors.New("it is in PEM, as keys are"),
		Advice: "Name a root, root-N.cbor, or a bundle, " + BundleName + "."}
}

// Chain is a bundle: its file and where it leads.
type Chain struct {
	path  string
	roots [][]byte
	Last  trust.Root // zero: there is no bundle yet
}

// ReadChain reads a bundle; one that is not there is an empty one.
func ReadChain(path string) (Chain, error) {
	b, err := files.Read(path, trust.MaxBundle, "root bundle")
	if errors.Is(err, fs.ErrNotExist) {
		return Chain{path: path}, nil
	}
	if err != nil {
		return Chain{}, err
	}
	if bytes.HasPrefix(b, []byte("-----BEGIN ")) {
		return Chain{}, inPEM(path)
	}
	r, err := trust.Anchor(b)
	if err != nil {
		return Chain{}, refused(path, err)
	}
	roots, err := trust.SplitBundle(b)
	if err != nil {
		return Chain{}, refused(path, fmt.Errorf("it is a single root: %w", err))
	}
	return Chain{path: path, roots: roots, Last: r}, nil
}

// ReadTrusted reads a bundle that must be there, and takes its newest root.
func ReadTrusted(path string) (trust.Root, error) {
	ch, err := ReadChain(path)
	if err == nil && ch.Last.IsZero() {
		err = fmt.Errorf("cannot read root bundle %s: there is none; make one with `ratchet-release root init`", path)
	}
	return ch.Last, err
}

// Next makes the next root from root.toml of dir; replace drops one that says something else, with its signatures.
func Next(c cli.Console, dir string, replace bool, now time.Time) error {
	s, err := next(c, dir, replace, now)
	if err == nil {
		warnAlone(c, dir, s)
	}
	return err
}

func next(c cli.Console, dir string, replace bool, now time.Time) (trust.RootSpec, error) {
	ch, err := ReadChain(filepath.Join(dir, BundleName))
	if err != nil {
		return trust.RootSpec{}, err
	}
	s, err := readRootFile(filepath.Join(dir, FileName), ch.Last, now)
	if err != nil {
		return s, err
	}
	msg, err := trust.BuildRoot(s)
	if err != nil {
		return s, fault(filepath.Join(dir, FileName), err)
	}
	path := filepath.Join(dir, fmt.Sprintf("root-%d.cbor", s.Version))
	if old, err := os.ReadFile(path); err == nil && !replace {
		if have, err := trust.ReviewRoot(old, ch.Last); err == nil {
			s.Issued = have.Spec.Issued // a rotation that was begun is gone on with
			if same, err := trust.BuildRoot(s); err == nil && samePayload(old, same) {
				c.Say("%s already says this.", path)
				return show(c, path, ch.path)
			}
		}
		return s, fmt.Errorf("cannot write %s: there is one that says something else; --replace "+
			"drops it with its signatures", path)
	}
	if err := files.Write(path, msg, 0o644); err != nil {
		return s, err
	}
	for _, line := range changes(ch.Last, s) {
		c.Say("%s", line)
	}
	return show(c, path, ch.path)
}

func samePayload(a, b []byte) bool {
	pa, _, err := trust.Payload("root", a)
	pb, _, err2 := trust.Payload("root", b)
	return err == nil && err2 == nil && bytes.Equal(pa, pb)
}

// changes says what a rotation voids.
func changes(old trust.Root, s trust.RootSpec) (lines []string) {
	if old.IsZero() {
		return nil
	}
	for _, role := range trust.Roles() {
		now, had := s.Roles[role], len(old.Role(role)) > 0
		switch {
		case len(now.Grants) == 0 && had:
			lines = append(lines, fmt.Sprintf("Nobody has the role %s any more.", role))
		case now.Generation == s.Version && role == trust.RoleRoot:
			lines = append(lines, "Other people sign the root from now on.")
		case now.Generation == s.Version && role == trust.RoleRelease:
			lines = append(lines, "Other people release from now on: let them sign the current releases again.")
		case now.Generation == s.Version:
			lines = append(lines,
				fmt.Sprintf("The role %s begins generation %d: what it signed before is void.", role, s.Version))
		}
	}
	return lines
}

// Sign signs, and adds a complete root to the bundle.
//
// Crash: before the root's file is replaced -> no signature; between the two files -> signed, sign
// again adds it to the bundle; after -> both.
func Sign(ctx context.Context, c cli.Console, path, bundle string, key keys.Source) error {
	signer, err := keys.Private(ctx, c, key)
	if err != nil {
		return err
	}
	s, err := sign(c, path, bundle, signer)
	if err == nil {
		warnAlone(c, filepath.Dir(path), s)
	}
	return err
}

func sign(c cli.Console, path, bundle string, signer *trust.Signer) (s trust.RootSpec, err error) {
	msg, err := files.Read(path, trust.MaxMessage, "root")
	if err != nil {
		return s, err
	}
	ch, err := ReadChain(Beside(bundle, path))
	if err != nil {
		return s, err
	}
	if msg, err = trust.SignRoot(msg, signer); errors.Is(err, keys.ErrSigner) {
		return s, err
	} else if err != nil {
		return s, refused(path, err)
	}
	if err := files.Write(path, msg, 0o644); err != nil {
		return s, err
	}
	c.Say("%s: signed by %s (%s).", path, keys.Short(signer.Key().ID()), keys.Algorithm(signer.Key().Alg()))
	v, err := trust.ReviewRoot(msg, ch.Last)
	if err != nil {
		return s, refused(path, err)
	}
	if v.Spec.Version == ch.Last.Version() && len(ch.roots) > 0 && samePayload(msg, ch.roots[len(ch.roots)-1]) {
		c.Say("It is in %s already.", ch.path)
		return v.Spec, nil
	}
	describeRoot(c, v)
	switch {
	case errors.Is(v.Err, trust.ErrNoSigner):
		return v.Spec, nil // others sign it, too
	case v.Err != nil:
		return s, refused(path, v.Err)
	}
	b, err := trust.BuildBundle(append(slices.Clone(ch.roots), msg)...)
	if err != nil {
		return s, refused(path, err)
	}
	if err := files.Write(ch.path, b, 0o644); err != nil {
		return s, err
	}
	then := "Publish it."
	if v.Spec.Version == 1 {
		then = "Build devices with it: copy it into the image, where trust.root names it."
	}
	c.Say("%s ends at version %d now. %s", ch.path, v.Spec.Version, then)
	return v.Spec, nil
}

// Beside is the bundle to use with a root file.
func Beside(bundle, path string) string {
	if bundle != "" {
		return bundle
	}
	return filepath.Join(filepath.Dir(path), BundleName)
}

// Show says what the root or bundle path says, and who has signed it; bundle is "" for the one beside it.
func Show(c cli.Console, path, bundle string) error {
	s, err := show(c, path, bundle)
	if err == nil {
		warnAlone(c, filepath.Dir(path), s)
	}
	return err
}

func show(c cli.Console, path, bundle string) (s trust.RootSpec, err error) {
	b, err := files.Read(path, trust.MaxBundle, "root")
	if err != nil {
		return s, err
	}
	if bytes.HasPrefix(b, []byte("-----BEGIN ")) {
		return s, inPEM(path)
	}
	if roots, err := trust.SplitBundle(b); err == nil {
		return showBundle(c, path, b, roots)
	}
	ch, err := ReadChain(Beside(bundle, path))
	if err != nil {
		return s, err
	}
	v, err := trust.ReviewRoot(b, trust.Root{})
	if err != nil {
		return s, refused(path, err)
	}
	var old trust.Root
	if n := v.Spec.Version; n > 1 && n-1 <= uint64(len(ch.roots)) {
		before, err := trust.BuildBundle(ch.roots[:n-1]...)
		if err != nil {
			return s, refused(ch.path, err)
		}
		if old, err = trust.Anchor(before); err != nil {
			return s, refused(ch.path, err)
		}
	}
	if v, err = trust.ReviewRoot(b, old); err != nil {
		return s, refused(path, err)
	}
	describeRoot(c, v)
	if v.Spec.Version > 1 && old.IsZero() {
		c.Say("  The version before it is not in %s, so the signatures of its signers cannot be checked.", ch.path)
	}
	if v.Err != nil && !errors.Is(v.Err, trust.ErrNoSigner) {
		return s, refused(path, v.Err)
	}
	return v.Spec, nil
}

func showBundle(c cli.Console, path string, b []byte, roots [][]byte) (s trust.RootSpec, err error) {
	var old trust.Root
	for i := range roots {
		v, err := trust.ReviewRoot(roots[i], old)
		if err != nil {
			return s, refused(path, err)
		}
		describeRoot(c, v)
		part, err := trust.BuildBundle(roots[:i+1]...)
		if err != nil {
			return s, refused(path, err)
		}
		if old, err = trust.Anchor(part); err != nil {
			return s, refused(path, err)
		}
	}
	c.Say("%s: %s, %d bytes, good to version %d.", path, screen.Plural(len(roots), "version"), len(b), old.Version())
	return old.Spec(), nil
}

// describeRoot says in some lines what a root is, and who has signed it.
func describeRoot(c cli.Console, v trust.Review) {
	s := v.Spec
	kind := ""
	if s.Development {
		kind = ", for development"
	}
	c.Say("Root %d of %s%s, from %s until %s", s.Version, s.Name, kind, day(s.Issued), day(s.Expires))
	for _, role := range trust.Roles() {
		for _, g := range s.Roles[role].Grants {
			c.Say("  %-10s %d of %s%s, generation %d",
				role, g.Threshold, people(g.Members), scopeText(g.Scope), s.Roles[role].Generation)
		}
	}
	var algs []string
	for _, a := range s.Algorithms {
		algs = append(algs, keys.Algorithm(a))
	}
	c.Say("  algorithms %s", strings.Join(algs, ", "))
	for _, name := range sortedKeys(s.Components) {
		r := s.Components[name]
		c.Say("  sequence   %s: %d to %d", name, r.Min, r.Max)
	}
	for _, d := range s.Revoked {
		c.Say("  revoked    %s", d)
	}
	quorum := func(what string, q trust.Quorum) {
		if q.Threshold == 0 {
			return
		}
		c.Say("  signed     %s: %d of %d needed%s", what, len(q.Signed), q.Threshold, Missing(q))
	}
	quorum(fmt.Sprintf("by signers of version %d", s.Version-1), v.Old)
	quorum("by its own signers", v.Own)
	switch {
	case v.Err == nil && s.Version == 1:
		c.Say("  It is complete: devices are built with it.")
	case v.Err == nil && v.Old.Threshold > 0:
		c.Say("  Devices that trust the version before it accept it.")
	}
}

// Missing says who of a quorum has not signed, or nothing.
func Missing(q trust.Quorum) string {
	if q.Met() {
		return ""
	}
	return "; not yet: " + people(q.Missing)
}

func people(members []trust.Member) string {
	var names []string
	for _, m := range members {
		name := m.Name + " (" + keys.Short(m.ID())
		if len(m.Keys) > 1 {
			name += ", pair"
		}
		names = append(names, name+")")
	}
	return strings.Join(names, ", ")
}

func scopeText(s trust.Scope) string {
	if s.IsZero() {
		return ""
	}
	var parts []string
	for what, list := range map[string][][16]byte{"vendor ": s.Vendors, "class ": s.Classes} {
		for _, id := range list {
			parts = append(parts, what+manifest.UUID(id).String())
		}
	}
	slices.Sort(parts)
	if s.Component != "" {
		parts = append(parts, "component "+s.Component)
	}
	return " for " + strings.Join(parts, ", ")
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }
