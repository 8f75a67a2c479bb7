package main

import (
	"context"
	"flag"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/campaign"
)

// campaignVerbs are those about plans, pulses and permits.
func campaignVerbs() []cli.Verb {
	return []cli.Verb{campaignPlanVerb(), campaignPulseVerb(), permitVerb()}
}

func campaignPlanVerb() cli.Verb {
	return cli.Verb{
		Name: "campaign plan", Args: "[flags] PLAN.toml",
		Short: "make a plan: which devices may take which manifest, in which phases",
		Long: `
Makes a plan from PLAN.toml, as plan.cbor beside it, and signs it where --key is given; others add
their signatures with "sign". The envelope that it names is verified against the trust root first.
PLAN.toml:

  manifest = "release.suit"            # a signed envelope
  channel = "stable"                   # default: broker.channel of the release directory
  sequence = 12                        # default: seconds since 1970; higher than every plan before
  classes = ["gateway-v1"]             # default: vendor.classes; devices of one of these
  devices = []                         # and, where any is named, only these
  valid-until = 2027-03-01T00:00:00Z
  [[phase]]
  percent = 1.0                        # of the devices; each phase holds those before it
  [[phase]]
  percent = 100.0
  not-before = 2027-02-01T00:00:00Z

A plan does nothing without a pulse; see "campaign pulse".`,
		Examples: []string{"ratchet-release campaign plan --key keys/campaign.pem plan.toml"},
		Exits:    "3 the envelope is refused, or a device would refuse such a plan",
		Setup: func(fs *flag.FlagSet) cli.Action {
			by := signedFlags(fs)
			out := fs.String("o", "", "write the plan to `FILE` (default: as PLAN.toml, .cbor)")
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) != 1 {
					return cli.Usage("name one plan file, PLAN.toml")
				}
				if *out == "" {
					*out = strings.TrimSuffix(args[0], ".toml") + ".cbor"
				}
				return campaign.Plan(ctx, c, args[0], *by.dir, by.bundleFile(), *by.key, *out, time.Now())
			}
		},
	}
}

func campaignPulseVerb() cli.Verb {
	return cli.Verb{
		Name: "campaign pulse", Args: "[flags] PLAN.cbor",
		Short: "say whether a plan goes on now: open, paused, halted or withdrawn",
		Long: `
Makes a pulse for the plan PLAN.cbor, as pulse.cbor, and signs it with --key. A pulse is short: when
none comes any more, devices stop. It can hold or hasten what the plan allows, and nothing else.
"withdrawn" is final: devices never take that plan again.`,
		Examples: []string{
			"ratchet-release campaign pulse --key keys/pulse.pem --phase 2 plan.cbor",
			"ratchet-release campaign pulse --key keys/pulse.pem --state halted plan.cbor",
		},
		Exits: "3 a device would refuse such a pulse",
		Setup: func(fs *flag.FlagSet) cli.Action {
			by := signedFlags(fs)
			out := fs.String("o", "pulse.cbor", "write the pulse to `FILE`")
			state := fs.String("state", "open", "`STATE` of the plan: open, paused, halted or withdrawn")
			phase := fs.Int("phase", 1, "`NUMBER` of the plan's phase that it is in, from 1")
			life := fs.Duration("for", 24*time.Hour, "the pulse holds for this `DURATION`")
			sequence := fs.String("sequence", "", "`NUMBER` of the pulse (default: seconds since 1970)")
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) != 1 {
					return cli.Usage("name one plan, PLAN.cbor")
				}
				return campaign.Pulse(ctx, c, args[0], by.bundleFile(), *by.key, *out, *state, *phase, *life,
					*sequence, time.Now())
			}
		},
	}
}

func permitVerb() cli.Verb {
	return cli.Verb{
		Name: "permit", Args: "[flags] ENVELOPE",
		Short: "let one device take a manifest although a rule forbids it",
		Long: `
Answers the challenge that "ratchet recover" shows on a device's console: makes a permit, as
permit.cbor, with which that device, and no other, may take the manifest of ENVELOPE (or a digest,
"sha256:...") once, although the rules named with --lift forbid it. Rules that say that something is
genuine, made for that class of device, not revoked, and correctly written can never be lifted.`,
		Examples: []string{
			"ratchet-release permit --challenge RC1-... --lift sequence-below-floor --key keys/recovery.pem old.suit",
			"ratchet-release permit --challenge - --lift quarantined sha256:1f2e... < challenge.txt",
		},
		Exits: "3 a device would refuse such a permit",
		Setup: func(fs *flag.FlagSet) cli.Action {
			by := signedFlags(fs)
			out := fs.String("o", "permit.cbor", "write the permit to `FILE`")
			challenge := fs.String("challenge", "", "`TEXT` that the device shows; \"-\" reads it from standard input")
			lifts := cli.Repeated(fs, "lift", "`RULE` to lift, by its reason; may be repeated")
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) != 1 || *challenge == "" || len(*lifts) == 0 {
					return cli.Usage("name an envelope or a digest, and give --challenge and at least one --lift")
				}
				if *challenge == "-" && by.key.Passphrase == "-" {
					return cli.Usage("standard input cannot give both the challenge and the passphrase")
				}
				return campaign.Permit(ctx, c, args[0], by.bundleFile(), *by.key, *out, *challenge, *lifts, time.Now())
			}
		},
	}
}
