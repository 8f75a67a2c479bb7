// Package check says what a device with given facts would do with an envelope: the code that devices run
// decides, on a device that exists in memory only. It writes nothing.
package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/cipher"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/release"
	"github.com/ratchet-ota/ratchet/slots"
)

// Options say whom the device trusts and what it is. All are paths.
type Options struct {
	Root, Facts, Payloads string
	Keys, Decrypt         []string
}

// Run says what a device would do.
func Run(ctx context.Context, c cli.Console, path string, o Options) error {
	f, err := readFacts(o.Facts)
	if err != nil {
		return err
	}
	keys, err := decryptionKeys(o.Decrypt)
	if err != nil {
		return err
	}
	if o.Payloads != "" {
		if st, err := os.Stat(o.Payloads); err != nil || !st.IsDir() {
			return cli.Usage("--payloads %s is not a directory", o.Payloads)
		}
	}
	authority, standing, err := o.authority(c, &f)
	if err != nil {
		return err
	}
	e, err := release.Read(c, path)
	if err != nil {
		return err
	}
	m, err := manifest.Verify(e, authority)
	if err != nil {
		return release.Refuse(path, err)
	}
	c.Say("%s", path)
	release.Describe(c, m)
	for _, id := range m.Signers() {
		c.Say("  signed by   %s", id)
	}
	if !m.Identified() {
		c.Say("  note        the shared sequence does not check vendor and class: any device would take it")
	}
	f.meet(m)
	f.Rules = policy.Rules{UnknownTimeWaits: true}
	d := f.Device
	d.Now, d.TimeKnown = f.Now.Wall, f.Now.Known
	u, err := m.Trace(d, narrate(c))
	decision := policy.Decide(policy.Offer{Manifest: m, Stage: policy.Arm, Local: true}, standing,
		campaign.Permit{}, f.Facts)
	if decision.Outcome != policy.Install {
		return against(c, path, decision, u, err)
	}
	c.Say("images")
	for _, in := range u.Installs {
		if err := f.install(ctx, c, in, o.Payloads, keys); err != nil {
			return err
		}
	}
	for _, k := range decision.Carries {
		c.Say("  %s: %s, %d bytes; carried over from the running slot", k.Component, k.Image, k.Size)
	}
	c.Say("accepted: the device would install it in slot %d and try it.", f.target())
	return nil
}

// authority is whom the device trusts: a root, or flat keys.
func (o Options) authority(c cli.Console, f *facts) (manifest.Authority, policy.Standing, error) {
	if o.Root == "" {
		a, err := keys.Verifiers(c, o.Keys, f.es256, f.eddsa)
		return a, policy.Standing{}, err
	}
	b, err := files.Read(o.Root, trust.MaxBundle, "trust root")
	if err != nil {
		return nil, policy.Standing{}, err
	}
	root, err := trust.Anchor(b)
	if err != nil {
		return nil, policy.Standing{}, &cli.Refusal{What: o.Root, Reason: reason.RootRefused, Err: err}
	}
	scope := policy.Scope(f.Device)
	s := policy.Standing{Root: root.At(scope)}
	c.Say("root: version %d of %s", root.Version(), manifest.Printable(root.Name()))
	return s.Root.Release(scope), s, nil
}

func decryptionKeys(paths []string) (cipher.Keys, error) {
	var keys []cipher.Key
	for _, p := range paths {
		b, err := files.Read(p, cipher.MaxKeyFile, "decryption key")
		if err != nil {
			return cipher.Keys{}, err
		}
		k, err := cipher.ParseKey(b)
		if err != nil {
			return cipher.Keys{}, fmt.Errorf("%s: %w", p, err)
		}
		keys = append(keys, k)
	}
	return cipher.NewKeys(keys...)
}

// narrate prints the commands as they are executed.
func narrate(c cli.Console) func(manifest.Step) {
	section := 0
	return func(s manifest.Step) {
		if s.Section != section {
			section = s.Section
			c.Say("%s (%d)", manifest.SectionName(section), section)
		}
		if s.Command == 0 {
			c.Say("  %s", s.Outcome)
			return
		}
		line := fmt.Sprintf("  %5d  %s%s", s.Offset, strings.Repeat("  ", s.Depth), s.Name)
		c.Say("%s", strings.TrimRight(fmt.Sprintf("%-48s %-12s %-7s %s", line, s.Component, s.Outcome,
			manifest.Printable(s.Detail)), " "))
	}
}

// against is the refusal of a decision that is not to install: its first final finding, with the
// place in the manifest that it comes from.
func against(c cli.Console, path string, d policy.Decision, u manifest.Update, err error) error {
	for _, x := range d.Findings {
		c.Say("finding: %s", strings.TrimSuffix(fmt.Sprintf("%s: %s", x.Reason, manifest.Printable(x.Detail)), ": "))
	}
	i := max(0, slices.IndexFunc(d.Findings, func(x policy.Finding) bool { return x.Final }))
	x := d.Findings[i]
	var e *manifest.Error
	if !errors.As(err, &e) || x.Reason != reason.SlotMissing && x.Reason != reason.ManifestUnsupported {
		e = placeOf(x, u)
	}
	return &cli.Refusal{What: path, Reason: x.Reason, Err: e}
}

// placeOf finds the SUIT code and the command that a finding is about.
func placeOf(x policy.Finding, u manifest.Update) *manifest.Error {
	e := &manifest.Error{Code: manifest.CodeUnauthorised, Offset: -1, What: x.Detail}
	if e.What == "" {
		e.What = x.Reason.Info().Says
	}
	for _, f := range u.Findings {
		if f.Detail == x.Detail {
			e.Code, e.Section, e.Offset = manifest.CodeCondition, f.Section, f.Offset
			return e
		}
	}
	switch x.Reason {
	case reason.ImageTooLarge, reason.SlotBusy:
		e.Code = manifest.CodeOperation
		for _, in := range u.Installs {
			if strings.HasPrefix(x.Detail, in.Component+" ") {
				e.Section, e.Offset = in.Stored.Section, in.Stored.Offset
				break
			}
		}
	case reason.ManifestUnsupported, reason.AlreadyInstalled:
		e.Code = manifest.CodeOperation
	}
	return e
}

// install writes one image into a slot in memory, if its payload is at hand.
func (f *facts) install(ctx context.Context, c cli.Console, in manifest.Install, dir string, keys cipher.Keys) error {
	at := func(code manifest.Code, p manifest.Place, why reason.Reason, err error) error {
		return &cli.Refusal{What: "the image of " + in.Component, Reason: why,
			Err: &manifest.Error{Code: code, Section: p.Section, Offset: p.Offset, Component: p.Index,
				What: "cannot install " + in.Component, Err: err}}
	}
	what := fmt.Sprintf("%s: %s, %d bytes", in.Component, in.Image, in.Size)
	src, err := payloadSource(in, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return at(manifest.CodeOperation, in.Stored, reason.SourceGone, err)
	}
	if err != nil {
		return err
	}
	img := slots.Image{Alg: in.Image.Alg, Digest: []byte(in.Image.Sum), Size: in.Size,
		Encoding: slots.Encoding(in.Encoding), PayloadSize: in.PayloadSize}
	if !in.Encryption.IsZero() {
		what += ", encrypted"
		stream, err := cipher.Unwrap(in.Encryption, keys)
		switch {
		case err != nil && !keys.IsZero():
			return at(manifest.CodeOperation, in.Stored, reason.DecryptionKeyMissing, err)
		case err != nil:
			src, what = nil, what+" (no --decrypt-key given)"
		default:
			img.PayloadSize = stream.PlainSize(in.PayloadSize)
			if src != nil {
				src = stream.Source(src)
			}
		}
	}
	if src == nil {
		c.Say("  %s; its payload was not looked at", what)
		return nil
	}
	slot := &memory{size: f.SlotSize[in.Component]}
	_, err = slots.Write(ctx, slot, img, src, slots.Options{})
	switch {
	case errors.Is(err, slots.ErrDigest):
		return at(manifest.CodeCondition, in.Matched, reason.ImageCorrupt, err)
	case release.PayloadFault(err), errors.Is(err, cipher.ErrTag), errors.Is(err, cipher.ErrTooLong):
		return at(manifest.CodeOperation, in.Stored, reason.ImageCorrupt, err)
	case err != nil:
		return fmt.Errorf("cannot write the image of %s: %w", in.Component, err)
	}
	if err := slots.Check(ctx, slot, img, nil); err != nil {
		return fmt.Errorf("cannot read the image of %s back: %w", in.Component, err)
	}
	c.Say("  %s; written to slot %d in memory and read back", what, f.target())
	return nil
}

// payloadSource is where a payload comes from: the envelope, or the first file in dir that is named
// as one of its addresses ends. It is nil when there is no dir.
func payloadSource(in manifest.Install, dir string) (slots.Source, error) {
	if in.Content != nil {
		return release.ContentSource(in.Content), nil
	}
	if dir == "" {
		return nil, nil
	}
	var tried []string
	for _, uri := range append([]string{in.URI}, in.Mirrors...) {
		name := uri[strings.LastIndexByte(uri, '/')+1:]
		name, _, _ = strings.Cut(name, "?")
		path := filepath.Join(dir, name)
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
			return release.FileSource(path), nil
		}
		tried = append(tried, name)
	}
	return nil, fmt.Errorf("%s does not have %s: %w", dir, strings.Join(tried, " or "), fs.ErrNotExist)
}

// memory is a slot that keeps what was written.
type memory struct {
	b    []byte
	size int64
}

// ReadAt reads zeros where nothing was written.
func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(m.b)) {
		copy(p, m.b[off:])
	}
	return len(p), nil
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	end := off + int64(len(p))
	if end > math.MaxInt32*4 {
		return 0, errors.New("an image of this size does not fit into memory")
	}
	if n := end - int64(len(m.b)); n > 0 {
		m.b = append(m.b, make([]byte, n)...)
	}
	return copy(m.b[off:], p), nil
}

func (m *memory) Sync() error  { return nil }
func (m *memory) Close() error { return nil }
func (m *memory) Size() int64  { return m.size }
