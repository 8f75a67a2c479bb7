package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// release is what a release file says of one image.
type release struct {
	name     string // of the release's files, a path without an ending
	version  string
	sequence int
	class    string
	image    string // file
	compress string // "zstd", "none"
}

// build writes the release file, builds the release and signs it. It returns the file of the envelope.
func (s *stage) build(ctx context.Context, r release) (suit string, err error) {
	toml, suit := r.name+".toml", r.name+".suit"
	text := fmt.Sprintf("version = %q\nsequence = %d\nclass = %q\n\n[[component]]\nname = \"rootfs\"\nfile = %q\ncompress = %q\n",
		r.version, r.sequence, r.class, r.image, r.compress)
	if err := os.WriteFile(toml, []byte(text), 0o644); err != nil {
		return "", err
	}
	if err := s.runDesk(ctx, "build", "--dir", s.desk(), "-o", suit, toml); err != nil {
		return "", err
	}
	return suit, s.runDesk(ctx, "sign", "--dir", s.desk(), suit)
}

// campaign signs and announces a plan and a pulse that admit the release in the file suit to all devices of a class, now
// and for a day. name is of its files; sequence numbers the plans of one class.
func (s *stage) campaign(ctx context.Context, name, suit, class string, sequence int) error {
	plan := fmt.Sprintf("manifest = %q\nsequence = %d\nclasses = [%q]\nvalid-until = %s\n\n[[phase]]\npercent = 100.0\n",
		suit, sequence, class, time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339))
	toml, signed, pulse := filepath.Join(s.desk(), name+"-plan.toml"), filepath.Join(s.desk(), name+"-plan.cbor"), filepath.Join(s.desk(), name+"-pulse.cbor")
	if err := os.WriteFile(toml, []byte(plan), 0o644); err != nil {
		return err
	}
	keys := filepath.Join(s.desk(), "keys")
	for _, args := range [][]string{
		{"campaign", "plan", "--dir", s.desk(), "--key", filepath.Join(keys, "campaign.pem"), "-o", signed, toml},
		{"campaign", "pulse", "--dir", s.desk(), "--key", filepath.Join(keys, "pulse.pem"), "-o", pulse, signed},
		{"announce", "--dir", s.desk(), signed, pulse},
	} {
		if err := s.runDesk(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}
