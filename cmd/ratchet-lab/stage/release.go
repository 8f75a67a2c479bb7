package stage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Release is what a release file says of one image.
type Release struct {
	Name     string // of the release's files, a path without an ending
	Version  string
	Sequence int
	Class    string
	Image    string // file
	Compress string // "zstd", "none"
}

// Build writes the release file, builds the release and signs it. It returns the file of the envelope.
func (s *Stage) Build(ctx context.Context, r Release) (suit string, err error) {
	toml, suit := r.Name+".toml", r.Name+".suit"
	text := fmt.Sprintf("version = %q\nsequence = %d\nclass = %q\n\n"+
		"[[component]]\nname = \"rootfs\"\nfile = %q\ncompress = %q\n",
		r.Version, r.Sequence, r.Class, r.Image, r.Compress)
	if err := os.WriteFile(toml, []byte(text), 0o644); err != nil {
		return "", err
	}
	if err := s.RunDesk(ctx, "build", "--dir", s.Desk(), "-o", suit, toml); err != nil {
		return "", err
	}
	return suit, s.RunDesk(ctx, "sign", "--dir", s.Desk(), suit)
}

// Campaign signs and announces a plan and a pulse that admit the release in the file suit to all devices of a class,
// now and for a day. name is of its files; sequence numbers the plans of one class.
func (s *Stage) Campaign(ctx context.Context, name, suit, class string, sequence int) error {
	plan := fmt.Sprintf("manifest = %q\nsequence = %d\nclasses = [%q]\nvalid-until = %s\n\n"+
		"[[phase]]\npercent = 100.0\n",
		suit, sequence, class, time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339))
	toml, signed, pulse := filepath.Join(s.Desk(), name+"-plan.toml"), filepath.Join(s.Desk(),
		name+"-plan.cbor"), filepath.Join(s.Desk(), name+"-pulse.cbor")
	if err := os.WriteFile(toml, []byte(plan), 0o644); err != nil {
		return err
	}
	keys := filepath.Join(s.Desk(), "keys")
	for _, args := range [][]string{
		{"campaign", "plan", "--dir", s.Desk(), "--key", filepath.Join(keys, "campaign.pem"), "-o", signed, toml},
		{"campaign", "pulse", "--dir", s.Desk(), "--key", filepath.Join(keys, "pulse.pem"), "-o", pulse, signed},
		{"announce", "--dir", s.Desk(), signed, pulse},
	} {
		if err := s.RunDesk(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}
