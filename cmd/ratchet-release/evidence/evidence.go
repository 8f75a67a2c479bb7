// Package evidence verifies a file of a device's evidence, and collects such files from the broker.
//
// A collected file has each record once, sorted, and ends in whole records: it is appended to and flushed,
// or written beside its place and renamed. After a crash it holds what was flushed; what is missing is
// asked for again.
package evidence

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/evidence/export"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/cmd/internal/fleet"
)

// Verify reads an export from in, called name, says what it holds, and returns a refusal where it is not
// genuine, ErrIncomplete where records are missing. history prints every record.
func Verify(ctx context.Context, c cli.Console, name string, in io.Reader, anchors trust.Keys, history bool) error {
	out := bufio.NewWriter(c.Out)
	defer out.Flush()
	c.Out = out
	s, err := export.Verify(files.Interruptible(ctx, in), anchors, func(r evidence.Record) error {
		if history {
			c.Say("%s", historyLine(r))
		}
		return nil
	})
	var broken *export.BreakError
	switch {
	case errors.Is(err, export.ErrEmpty):
		return fmt.Errorf("cannot verify %s: it holds no record", name)
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &broken):
		if s.Records > 0 {
			c.Say("Good before that:")
			report(c, s)
		}
		return &cli.Refusal{What: name, Reason: evidenceReason(err), Err: err}
	case err != nil:
		return fmt.Errorf("cannot verify %s: %w", name, err)
	}
	report(c, s)
	if n := s.Missing(); n > 0 {
		return fmt.Errorf("%w: %s missing", cli.ErrIncomplete, pluralBig(n, "record is", "records are"))
	}
	c.Say("Every record is signed by the key and continues its chain; none is missing.")
	return nil
}

// evidenceReason gives an error of export.Verify its word.
func evidenceReason(err error) reason.Reason {
	switch {
	case errors.Is(err, trust.ErrAlgorithm):
		return reason.AlgorithmNotAllowed
	case errors.Is(err, trust.ErrNoSigner), errors.Is(err, export.ErrDevice):
		return reason.SignerUnknown
	case errors.Is(err, trust.ErrSignature):
		return reason.SignatureInvalid
	case errors.Is(err, export.ErrForged), errors.Is(err, export.ErrForked):
		return reason.DigestMismatch
	}
	return reason.EnvelopeMalformed
}

func pluralBig(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// report prints a summary.
func report(c cli.Console, s export.Summary) {
	c.Say("device   %s", s.Device)
	c.Say("key      %s", s.Signer)
	c.Say("records  %d, %d bytes", s.Records, s.Bytes)
	if s.Duplicates > 0 {
		c.Say("         %d more are duplicates", s.Duplicates)
	}
	for _, ch := range s.Chains {
		c.Say("chain    %s", hex.EncodeToString(ch.ID[:]))
		c.Say("  records  %d to %d", ch.First, ch.Last)
		if ch.First > 1 {
			c.Say("  MISSING  %d to %d, before the first one here", 1, ch.First-1)
		} else if ch.Why != reason.None {
			c.Say("  began    %s", ch.Why)
		}
		told := uint64(0)
		for _, g := range ch.Gaps {
			c.Say("  MISSING  %d to %d", g.From, g.To)
			told += g.To - g.From + 1
		}
		if ch.Missing > told {
			c.Say("  MISSING  %d more, in further gaps", ch.Missing-told)
		}
		if k := ch.Known; k != nil {
			c.Say("  follows  chain %s; the last record that the device knew is %d",
				hex.EncodeToString(k.Chain[:]), k.Seq)
		}
		if ch.Forgot > 0 {
			c.Say("  lost     %d records of the chain before; this file has them", ch.Forgot)
		}
	}
	if len(s.Reasons) > 0 {
		c.Say("reasons")
	}
	for _, r := range slices.Sorted(maps.Keys(s.Reasons)) {
		c.Say("  %6d  %s", s.Reasons[r], r)
	}
}

// historyLine is one record for people. Its texts were made printable by Decode.
func historyLine(r evidence.Record) string {
	when := "time unknown        "
	if !r.Wall.IsZero() {
		when = r.Wall.UTC().Format(time.RFC3339)
		if r.Quality != "synced" {
			when += "?"
		}
	}
	return fmt.Sprintf("%6d  %-21s  %s", r.Seq, when, fleet.Sentence(r))
}
