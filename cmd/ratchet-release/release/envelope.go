package release

import (
	"errors"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
)

// why gives an error of Parse or Verify the word that a device would record for it.
func why(err error) reason.Reason {
	var m *manifest.Error
	isManifest := errors.As(err, &m)
	switch {
	case errors.Is(err, manifest.ErrDigest):
		return reason.DigestMismatch
	case errors.Is(err, trust.ErrNoSigner), errors.Is(err, manifest.ErrUnsigned):
		return reason.SignerUnknown
	case errors.Is(err, trust.ErrAlgorithm), isManifest && m.Code == manifest.CodeAlgorithm:
		return reason.AlgorithmNotAllowed
	case errors.Is(err, trust.ErrSignature):
		return reason.SignatureInvalid
	case isManifest && m.Code != manifest.CodeParse:
		return reason.ManifestUnsupported
	}
	return reason.EnvelopeMalformed
}

// Refuse makes a refusal of an error of Parse or Verify.
func Refuse(what string, err error) error {
	return &cli.Refusal{What: what, Reason: why(err), Err: err, Advice: advice(what, err)}
}

// advice is what to do at the desk about what is no envelope and about missing signatures; "" is what a device would
// say.
func advice(what string, err error) string {
	switch sign := "`ratchet-release sign --key KEY " + what + "`"; {
	case why(err) == reason.EnvelopeMalformed:
		return "This is not a well-formed envelope. " +
			"Name the file that `ratchet-release build` or `sign` wrote, unchanged."
	case errors.Is(err, manifest.ErrUnsigned):
		return "Nobody has signed it. Run " + sign + "."
	case errors.Is(err, trust.ErrThreshold):
		return "Too few have signed it. Each of those who are missing runs " + sign + "."
	case errors.Is(err, trust.ErrNoSigner):
		return "Nobody who is trusted here has signed it. Run " + sign + " with a key that the devices trust."
	}
	return ""
}

// census is an Authority that trusts nobody and counts the blocks that it is asked about.
type census struct{ blocks int }

var errCensus = errors.New("counted")

// Authenticate implements manifest.Authority.
func (a *census) Authenticate(_ []byte, blocks [][]byte) ([]string, error) {
	a.blocks = len(blocks)
	return nil, errCensus
}

// signatures counts an envelope's authentication blocks, good or bad.
func signatures(e manifest.Envelope) int {
	a := &census{}
	_, _ = manifest.Verify(e, a)
	return a.blocks
}

// Read reads and parses a file.
func Read(c cli.Console, path string) (manifest.Envelope, error) {
	b, err := files.ReadInput(c.In, path, manifest.MaxEnvelope, "envelope")
	if err != nil {
		return manifest.Envelope{}, err
	}
	e, err := manifest.Parse(b)
	if err != nil {
		return manifest.Envelope{}, Refuse(path, err)
	}
	return e, nil
}

// Describe says in a few lines what a manifest is.
func Describe(c cli.Console, m manifest.Manifest) {
	c.Say("  manifest    %s", m.Digest())
	c.Say("  sequence    %d", m.Sequence())
	if v := m.SetVersion(); v != nil {
		c.Say("  version     %s", manifest.FormatVersion(v))
	}
	var names []string
	for _, id := range m.Components() {
		names = append(names, id.String())
	}
	c.Say("  components  %s", strings.Join(names, ", "))
	if text := m.Description("en"); text != "" {
		c.Say("  says        %s", text)
	}
}
