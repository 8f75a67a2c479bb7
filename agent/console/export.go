package console

import (
	"context"
	"fmt"
	"io"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/evidence"
)

// exportBatch is how many records are read from the journal at once.
const exportBatch = 16

// Export writes the evidence from a sequence number on, signed, as a CBOR sequence. Records that a
// device without a key cannot sign are left out and counted.
func (c *Console) Export(ctx context.Context, w io.Writer, from uint64) (control.EvidenceExport, error) {
	out := control.EvidenceExport{Schema: control.Schema}
	// Whoever exports has the device in front of them, and may be there because its storage fails: what cannot be
	// noted goes out all the same.
	last, err := c.o.Seen()
	head := c.o.Store.Head()
	if err != nil {
		last = head.Evidence()
	}
	out.Chain = fmt.Sprintf("%x", head.Chain)
	for next := max(from, head.First, 1); next <= last.Seq && ctx.Err() == nil; {
		type item struct {
			seq uint64
			rec []byte
		}
		var batch []item
		err := c.o.Store.Records(next, func(seq uint64, rec []byte) bool {
			if seq > last.Seq {
				return false
			}
			batch = append(batch, item{seq, append([]byte(nil), rec...)})
			return len(batch) < exportBatch
		})
		if err != nil {
			return out, fmt.Errorf("cannot export evidence: %w", err)
		}
		if len(batch) == 0 {
			break
		}
		for _, i := range batch {
			next = i.seq + 1
			if c.o.Signer == nil {
				out.Unsigned++
				continue
			}
			msg, err := evidence.Sign(i.rec, c.o.Signer)
			if err != nil {
				return out, fmt.Errorf("cannot export evidence: %w", err)
			}
			if _, err := w.Write(msg); err != nil {
				return out, fmt.Errorf("cannot export evidence: %w", err)
			}
			if out.First == 0 {
				out.First = i.seq
			}
			out.Last = i.seq
			out.Records++
			out.Bytes += int64(len(msg))
		}
	}
	return out, ctx.Err()
}
