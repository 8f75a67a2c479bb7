package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/evidence/export"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/cmd/internal/fleet"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
)

func evidenceVerifyVerb() cli.Verb {
	return cli.Verb{
		Name: "evidence verify", Args: "[flags] FILE",
		Short: "check an export of a device's evidence, offline",
		Long: `
Checks FILE ("-" is standard input), an export of ` + "`ratchet evidence export`" + ` or a file of evidence
collect: that every record is signed by the device's key, is of one device, and continues the chain
of the record before it. Says what the file holds, how many records are missing and where, and how
often each reason occurs. What is missing is never passed over in silence, but it is no forgery.`,
		Examples: []string{
			"ratchet-release evidence verify gw-0001.evidence --key devices/gw-0001.pem",
			"ratchet-release evidence verify --history --key gw-0001.pem export.cbor | less",
		},
		Exits: "2 a record is forged, altered, out of order or unreadable; what stands before it is good;\n3 all records are genuine, and some are missing",
		Setup: func(fs *flag.FlagSet) cli.Action {
			names := cli.Repeated(fs, "key", "public key `PEM` of the device; may be repeated")
			history := fs.Bool("history", false, "print every record")
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) != 1 {
					return cli.Usage("one file, please")
				}
				if len(*names) == 0 {
					return cli.Usage("whose evidence? give the device's public key with --key")
				}
				anchors, err := keys.Anchors(*names, false)
				if err != nil {
					return err
				}
				in := c.In
				if args[0] != "-" {
					f, err := os.Open(args[0])
					if err != nil {
						return fmt.Errorf("cannot read evidence: %w", err)
					}
					defer f.Close()
					in = f
				}
				return verifyEvidence(ctx, c, args[0], in, anchors, *history)
			}
		},
	}
}

func verifyEvidence(ctx context.Context, c cli.Console, name string, in io.Reader, anchors trust.Keys, history bool) error {
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
		c.Say("         %d more were there twice", s.Duplicates)
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
			c.Say("  follows  chain %s, of which the device knew record %d", hex.EncodeToString(k.Chain[:]), k.Seq)
		}
		if ch.Forgot > 0 {
			c.Say("  forgot   %d records of the chain before, which are here", ch.Forgot)
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
