package agent

import (
	"bytes"
	"context"

	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/transport"
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

// sendReport hands the newest SUIT report over, signed, once in a life of the daemon.
func (a *Agent) sendReport(ctx context.Context, sent *[]byte) bool {
	b := a.st.Document(store.Report)
	if len(b) == 0 || bytes.Equal(b, *sent) {
		return true
	}
	msg, err := a.o.Signer.Sign1(b, nil, manifest.ReportType)
	if err != nil {
		a.log.Error("SUIT report cannot be signed", "error", err)
		*sent = b // trying again does not help
		return true
	}
	if !a.send(ctx, transport.Message{Kind: transport.Report, Body: msg}) {
		return false
	}
	*sent = b
	return true
}
