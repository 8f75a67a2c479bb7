package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/transport"
)

// largeRoots are three versions of a root whose signers are pairs: together they are larger than a message.
func largeRoots(t *testing.T) [][]byte {
	t.Helper()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	s := trust.RootSpec{Version: 1, Name: "fleet", Issued: now, Expires: now.AddDate(1, 0, 0),
		Algorithms: []int64{trust.MLDSA65, trust.Ed25519}, Roles: map[trust.Role]trust.RoleSpec{}}
	var signers []*trust.Signer
	for _, role := range trust.Roles() {
		g := trust.Grant{Threshold: 2}
		for i := range 2 {
			m := trust.Member{Name: fmt.Sprint(role, i)}
			for _, alg := range []int64{trust.Ed25519, trust.MLDSA65} {
				key, err := trust.Generate(alg)
				if err != nil {
					t.Fatal(err)
				}
				m.Keys = append(m.Keys, key.Key())
				if role == trust.RoleRoot {
					signers = append(signers, key)
				}
			}
			g.Members = append(g.Members, m)
		}
		s.Members = append(s.Members, g.Members...)
		s.Roles[role] = trust.RoleSpec{Generation: 1, Grants: []trust.Grant{g}}
	}
	var roots [][]byte
	for range 3 {
		b, err := trust.BuildRoot(s)
		for _, key := range signers {
			if err == nil {
				b, err = trust.SignRoot(b, key)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, b)
		r, err := trust.Anchor(b)
		if err != nil {
			t.Fatal(err)
		}
		s.Expires = s.Expires.AddDate(0, 1, 0)
		s = r.Next(s)
	}
	return roots
}

// TestAnnounceRootsOneByOne: each version of a bundle is published by itself. The bundle is published where a message
// carries it; where it does not, the one before stays, and the desk says so.
func TestAnnounceRootsOneByOne(t *testing.T) {
	t.Parallel()
	s := newServer(t, "", nil)
	dir := newDesk(t, s.url())
	roots := largeRoots(t)
	for n := 2; n <= 3; n++ {
		bundle, err := trust.BuildBundle(roots[:n]...)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "bundle.cbor")
		if err := os.WriteFile(path, bundle, 0o600); err != nil {
			t.Fatal(err)
		}
		_, stderr := do(t, 0, "announce", "--dir", dir, path)
		for v := 2; v <= n; v++ {
			if !bytes.Equal(s.kept(fmt.Sprintf("ratchet/v1/root/%d", v)), roots[v-1]) {
				t.Errorf("version %d of %d is not published by itself", v, n)
			}
		}
		kept := s.kept("ratchet/v1/root")
		switch {
		case len(bundle) <= transport.MaxMessage && !bytes.Equal(kept, bundle):
			t.Errorf("the bundle of %d bytes is not published", len(bundle))
		case len(bundle) > transport.MaxMessage && (n == 2 || bytes.Equal(kept, bundle)):
			t.Errorf("a bundle of %d versions has %d bytes, of which %d are published", n, len(bundle), len(kept))
		case len(bundle) > transport.MaxMessage:
			contains(t, stderr, "more than the 65536 of a message")
		}
	}
	if s.kept("ratchet/v1/root/1") != nil {
		t.Error("version 1 is published, which no device needs")
	}
}
