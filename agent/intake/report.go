package intake

import (
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// Report makes the SUIT report (draft-ietf-suit-report) that the machine wants kept: on the offer that was
// refused, or on an update that ended. It says in the standard's words what the evidence says in ours. nil
// when there is no manifest to report on. It has no say in anything (I7).
func (in *Intake) Report(s life.State, keep life.KeepReport) []byte {
	if keep.Rec == nil {
		return in.report(s, in.offered.manifest, Target(s), keep.Result, keep.Why)
	}
	if keep.Rec.Digest == "" || keep.Rec.Ext.Revert {
		return nil
	}
	env, err := manifest.Parse(in.o.Store.Document(store.Envelope))
	if err != nil {
		return nil
	}
	m, err := manifest.Verify(env, in.authority())
	if err != nil {
		return nil // a key that was rotated away meanwhile
	}
	return in.report(s, m, keep.Rec.Target, keep.Result, keep.Why)
}

func (in *Intake) report(s life.State, m manifest.Manifest, target bootctl.Slot,
	result string, why reason.Reason) []byte {
	d := in.facts(s, m, in.o.Measure(target)).Device
	r := m.Report(d)
	if result != "updated" && r.Failure == nil {
		code, at := manifest.CodeOperation, manifest.Place{Offset: -1}
		if u, err := m.Resolve(d); err == nil && len(u.Installs) > 0 {
			at = u.Installs[0].Stored
			if why == reason.ImageCorrupt || why == reason.ReadBackMismatch {
				code, at = manifest.CodeCondition, u.Installs[0].Matched
			}
		}
		r = r.Fail(code, at, nil)
	}
	b, err := manifest.EncodeReport(r)
	if err != nil {
		in.o.Log.Warn("no SUIT report can be made", "error", err)
		return nil
	}
	return b
}
