package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

// BuildOptions say what to build.
type BuildOptions struct {
	Release  string // path of the release file
	Out      string // path of the envelope; "" = beside the release file
	Payloads string // folder; "" = that of the envelope
	Sequence uint64 // 0 = that of the release file
	Force    bool   // replace an envelope that others have signed
}

// Build makes payloads first and the envelope last: an envelope that exists has its payloads.
func Build(ctx context.Context, c cli.Console, d workspace.Folder, o BuildOptions) error {
	b, err := files.Read(o.Release, conf.MaxSize, "release file")
	if err != nil {
		return err
	}
	p, err := Parse(o.Release, b, d)
	if err != nil {
		return err
	}
	if err := p.number(o.Sequence); err != nil {
		return err
	}
	if o.Out == "" {
		o.Out = strings.TrimSuffix(o.Release, ".toml") + ".suit"
	}
	if o.Payloads == "" {
		o.Payloads = filepath.Dir(o.Out)
	}
	lines, err := p.makeImages(ctx, o.Payloads)
	if err != nil {
		return err
	}
	envelope, err := author.Build(p.release)
	if err != nil {
		return err
	}
	if p.severText {
		if envelope, err = author.Sever(envelope); err != nil {
			return err
		}
	}
	e, err := manifest.Parse(envelope)
	if err != nil {
		return fmt.Errorf("internal error: %w", err)
	}
	kept, err := keepSigned(o.Out, e, o.Force)
	if err != nil {
		return err
	}
	if !kept {
		if err := files.Write(o.Out, envelope, 0o644); err != nil {
			return err
		}
	}
	c.Say("%s: %d bytes", o.Out, len(envelope))
	p.tell(c, p.auto && o.Sequence == 0, e.ClaimedDigest(), lines)
	if kept {
		c.Say("The file already has this content. It was left as it is, with its signatures.")
	} else {
		key := ""
		if _, err := os.Stat(d.Path(d.Keys.Release)); err != nil {
			key = "--key KEY "
		}
		c.Say("Next: ratchet-release sign %s%s", key, o.Out)
	}
	return nil
}

// makeImages makes the payloads of all components, in dir, and returns what is to be said of them.
func (p *Plan) makeImages(ctx context.Context, dir string) (lines []string, err error) {
	for i, list := range p.images {
		component := &p.release.Components[i]
		for _, im := range list {
			image, line, err := makeImage(ctx, im, component.Name, dir)
			if err != nil {
				return nil, err
			}
			component.Images = append(component.Images, image)
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// number sets the sequence number where the command line gives one, or the release file leaves it open.
func (p *Plan) number(given uint64) (err error) {
	if given > 0 {
		p.release.Sequence = given
	} else if p.auto {
		p.release.Sequence, err = autoSequence(os.Getenv("SOURCE_DATE_EPOCH"), time.Now())
	}
	return err
}

// tell says what was built; lines describe the images. A sequence number that was chosen is to be repeated.
func (p Plan) tell(c cli.Console, chosen bool, digest manifest.Digest, lines []string) {
	c.Say("  version   %s", manifest.FormatVersion(p.release.Version))
	if chosen {
		c.Say("  sequence  %d (auto; build again with --sequence %d for the same bytes)",
			p.release.Sequence, p.release.Sequence)
	} else {
		c.Say("  sequence  %d", p.release.Sequence)
	}
	c.Say("  vendor    %s", p.release.Vendor)
	for _, u := range p.release.Classes {
		c.Say("  class     %s", u)
	}
	c.Say("  manifest  %s", digest)
	for _, l := range lines {
		c.Say("%s", l)
	}
}

// autoSequence chooses a sequence number by the clock.
func autoSequence(epoch string, now time.Time) (uint64, error) {
	if epoch == "" {
		return uint64(now.Unix()), nil
	}
	n, err := strconv.ParseUint(epoch, 10, 62)
	if err != nil || n == 0 {
		return 0,
			fmt.Errorf("cannot choose a sequence number: SOURCE_DATE_EPOCH is %.40q, want seconds since 1970", epoch)
	}
	return n, nil
}

// makeImage makes one payload and says so in a few lines.
func makeImage(ctx context.Context, im imagePlan, component, dir string) (author.Image, string, error) {
	var (
		p       payload
		content []byte
		err     error
	)
	if _, err := os.Stat(im.file); err != nil {
		return author.Image{}, "", im.doc.Errorf(im.key+".file", "cannot read image: %v", err)
	}
	if im.embed {
		p, content, err = embed(ctx, im)
	} else {
		p, err = makePayload(ctx, im.file, dir, im.compress, im.level)
	}
	if err != nil {
		return author.Image{}, "", err
	}
	image := author.Image{Slot: im.slot, Digest: p.image, Size: p.size, Encoding: p.encoding,
		Content: content, URI: im.uri}
	if p.encoding != manifest.EncodingRaw {
		image.PayloadSize = p.payloadSize
	}
	where := ""
	if im.embed {
		image.URI = "#" + component
		if im.slot != author.AnySlot {
			image.URI += "." + strconv.Itoa(im.slot)
		}
		where = "in the envelope"
	} else {
		if image.URI == "" {
			image.URI = join(im.base, p.name)
		}
		for _, m := range im.mirrors {
			image.Mirrors = append(image.Mirrors, join(m, p.name))
		}
		where = filepath.Join(dir, p.name)
	}
	return image, im.said(component, where, p, image), nil
}

// said describes an image as it was built, for a person.
func (im imagePlan) said(component, where string, p payload, image author.Image) string {
	line := &strings.Builder{}
	fmt.Fprintf(line, "  %s", component)
	if im.slot != author.AnySlot {
		fmt.Fprintf(line, " for slot %d", im.slot)
	}
	fmt.Fprintf(line, "\n    image    %s, %d bytes\n    payload  %s", p.image, p.size, where)
	if p.encoding == manifest.EncodingZstd {
		fmt.Fprintf(line, "\n             %d bytes, %.1f%% of the image", p.payloadSize,
			100*float64(p.payloadSize)/float64(p.size))
	}
	for _, u := range append([]string{image.URI}, image.Mirrors...) {
		if !im.embed {
			fmt.Fprintf(line, "\n    fetched  %s", u)
		}
	}
	if im.uri != "" {
		if name, ok := PayloadName(im.uri); !ok || name != p.name {
			fmt.Fprintf(line, "\n    note     the uri does not end in the payload's name: publish will not copy it; "+
				"put it there yourself, and never replace it")
		}
	}
	if p.warning != "" {
		fmt.Fprintf(line, "\n    warning  %s", p.warning)
	}
	return line.String()
}

// embed makes a payload in memory.
func embed(ctx context.Context, im imagePlan) (payload, []byte, error) {
	f, err := os.Open(im.file)
	if err != nil {
		return payload{}, nil, fmt.Errorf("cannot read image: %w", err)
	}
	defer f.Close()
	var b bytes.Buffer
	p, _, err := encode(ctx, &capped{&b, manifest.MaxEnvelope}, f, im.compress, im.level)
	if err != nil {
		return payload{}, nil, fmt.Errorf("cannot embed %s: %w", im.file, err)
	}
	return p, b.Bytes(), nil
}

// capped refuses to grow beyond a limit.
type capped struct {
	*bytes.Buffer
	limit int
}

func (c *capped) Write(p []byte) (int, error) {
	if c.Len()+len(p) > c.limit {
		return 0, fmt.Errorf("a whole envelope has at most %d bytes; publish the image beside it instead", c.limit)
	}
	return c.Buffer.Write(p)
}

// join appends a payload's name to a base URL.
func join(base, name string) string { return strings.TrimSuffix(base, "/") + "/" + name }

// keepSigned decides about an envelope that is there already: one that says the same and is signed
// is kept, and one that says something else and is signed is not lost unless forced.
func keepSigned(path string, built manifest.Envelope, force bool) (keep bool, err error) {
	b, err := files.Read(path, manifest.MaxEnvelope, "envelope")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%w; remove it or choose another file with -o", err)
	}
	old, err := manifest.Parse(b)
	if err != nil {
		if force {
			return false, nil
		}
		return false,
			fmt.Errorf("cannot write %s: a file that is no envelope is there; remove it, or use --force", path)
	}
	if signatures(old) == 0 || force {
		return false, nil
	}
	if old.ClaimedDigest() != built.ClaimedDigest() {
		return false, fmt.Errorf("cannot write %s: it is signed and says something else (%s); choose another "+
			"file with -o, or use --force", path, old.ClaimedDigest())
	}
	return true, nil
}
