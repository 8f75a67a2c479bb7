package agent

import (
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// report makes the SUIT report (draft-ietf-suit-report) of an offer that was refused, or of an update that ended, with result and
// reason: it says in the standard's words what the evidence says in ours. nil when there is no manifest to report on. It has no say in anything (I7).
func (a *Agent) report(m manifest.Manifest, target SlotDef, result string, why reason.Reason) []byte {
	d := a.facts(m, target).Device
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
		a.log.Warn("no SUIT report can be made", "error", err)
		return nil
	}
	return b
}

// reports turns the reports that a commit asks for into their bytes.
func (a *Agent) reports(ops []life.Op) []life.Op {
	out := ops[:0:0]
	for _, op := range ops {
		r, ok := op.(life.KeepReport)
		if !ok {
			out = append(out, op)
			continue
		}
		var b []byte
		if r.Rec == nil {
			b = a.report(a.offered.manifest, a.other(a.s.Run), r.Result, r.Why)
		} else {
			b = a.reportOf(*r.Rec, r.Result, r.Why)
		}
		if len(b) > 0 {
			out = append(out, store.PutDocument{Name: store.Report, Body: b})
		}
	}
	return out
}

// reportOf is report for the update in progress, from its envelope.
func (a *Agent) reportOf(r life.Record, result string, why reason.Reason) []byte {
	if r.Digest == "" || r.Ext.Revert {
		return nil
	}
	env, err := manifest.Parse(a.st.Document(store.Envelope))
	if err != nil {
		return nil
	}
	m, err := manifest.Verify(env, a.authority())
	if err != nil {
		return nil // a key that was rotated away meanwhile
	}
	if phase := a.s.Rec.Phase; phase == life.Checking || phase == life.Ready || phase == life.Arming {
		a.release() // the target is measured
	}
	return a.report(m, a.slot(r.Target), result, why)
}
