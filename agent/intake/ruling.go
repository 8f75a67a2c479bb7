package intake

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// ruling is a decision as the machine takes it.
func ruling(r life.Ruling, d policy.Decision) life.Ruling {
	r.Outcome = life.Outcome(d.Outcome.String())
	r.Why, r.Said, r.Detail = summary(d)
	r.Rules, r.First, r.Retry, r.Ends = rules(d), r.Detail[string(r.Why)], retryAfter(d), ends(d)
	r.Images = imagesOf(d.Plan)
	return r
}

// ends is why waiting makes no sense: the plan behind the update was taken back, replaced or is over.
func ends(d policy.Decision) reason.Reason {
	for _, f := range d.Findings {
		if f.Reason.Info().Ends {
			return f.Reason
		}
	}
	return reason.None
}

// refusal maps an error of Parse, Verify or Resolve to its reason.
func refusal(err error) reason.Reason {
	var me *manifest.Error
	switch {
	case errors.Is(err, manifest.ErrDigest):
		return reason.DigestMismatch
	case errors.Is(err, trust.ErrNoSigner), errors.Is(err, manifest.ErrUnsigned):
		return reason.SignerUnknown
	case errors.Is(err, trust.ErrAlgorithm):
		return reason.AlgorithmNotAllowed
	case errors.Is(err, trust.ErrSignature):
		return reason.SignatureInvalid
	case errors.Is(err, trust.ErrMalformed):
		return reason.EnvelopeMalformed
	case errors.As(err, &me) && me.Code == manifest.CodeAlgorithm:
		return reason.AlgorithmNotAllowed
	case errors.As(err, &me) && me.Code != manifest.CodeParse:
		return reason.ManifestUnsupported
	}
	return reason.EnvelopeMalformed
}

func imagesOf(p policy.Plan) []life.SlotImage {
	var out []life.SlotImage
	for _, i := range p.Installs() {
		out = append(out,
			life.SlotImage{Component: i.Component, Alg: i.Image.Alg, Digest: []byte(i.Image.Sum), Size: i.Size,
				Anywhere: !i.ForSlot})
	}
	for _, c := range p.Carries() {
		out = append(out, life.SlotImage{Component: c.Component, Alg: c.Image.Alg, Digest: []byte(c.Image.Sum),
			Size: c.Size, Sequence: c.Sequence, Manifest: c.Manifest.String(), Carried: true, Anywhere: true})
	}
	return out
}

// Version is what a manifest calls its content; "" when it does not say.
func Version(m manifest.Manifest) string {
	if v := m.SetVersion(); len(v) > 0 {
		return manifest.FormatVersion(v)
	}
	return ""
}

// summary is the first finding as reason, and all of them as text and evidence detail. What a permit
// lifted is in the detail too, and is the reason where nothing else stands against the offer.
func summary(d policy.Decision) (reason.Reason, string, map[string]string) {
	if len(d.Findings)+len(d.Lifted) == 0 {
		return reason.None, "", nil
	}
	why := reason.Permitted
	if len(d.Findings) > 0 {
		why = d.Findings[0].Reason
	}
	for _, f := range d.Findings {
		if d.Outcome == policy.Refuse && f.Final {
			why = f.Reason
			break
		}
	}
	var said []string
	detail := map[string]string{}
	for _, f := range d.Findings {
		s := string(f.Reason)
		if f.Detail != "" {
			s += " (" + f.Detail + ")"
		}
		said = append(said, s)
		note(detail, string(f.Reason), f.Detail)
	}
	for _, f := range d.Lifted {
		note(detail, "lifted-"+string(f.Reason), f.Detail)
	}
	return why, strings.Join(said, "; "), detail
}

// note adds a finding to the detail of a record: behind one of the same reason, about another component.
//
//go:noinline
func note(detail map[string]string, key, text string) {
	switch was, ok := detail[key]; {
	case ok && was != "" && text != "":
		detail[key] = was + "; " + text
	case ok || len(detail) < evidence.MaxDetails:
		detail[key] = text
	}
}

// rules names the findings without their figures, which change all the time (a charge, bytes left):
// a decision is on record again when these change.
func rules(d policy.Decision) string {
	var all []string
	for _, f := range d.Findings {
		if !slices.Contains(all, string(f.Reason)) {
			all = append(all, string(f.Reason))
		}
	}
	return strings.Join(all, " ")
}

// askAgain is how soon whatever waits is decided again at the latest: the clock may have been set without a word, and
// so may everything else that a rule asks about.
const askAgain = 15 * time.Minute

// retryAfter is when the earliest finding may have gone: at least a minute, askAgain at most.
func retryAfter(d policy.Decision) time.Duration {
	var t time.Duration
	for _, f := range d.Findings {
		if f.Retry > 0 && (t == 0 || f.Retry < t) {
			t = f.Retry
		}
	}
	if t == 0 {
		t = askAgain
	}
	return min(max(t, time.Minute), askAgain)
}
