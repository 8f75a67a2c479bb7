package main

import (
	"context"
	"io"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
)

// before and after stand around the list of verbs; exits follows them.
const (
	before = `ratchet-release makes, signs and publishes releases for devices that run ratchet,
and shows what they make of them.

Usage: ratchet-release VERB [flags] [arguments]

`
	after = `
A first release:
  ratchet-release init desk && cd desk    # keys and configuration
  ratchet-release build release.toml      # release.suit and its payloads
  ratchet-release sign release.suit
  ratchet-release publish release.suit
`
	exits = `0 done; 1 input or output failed; 2 usage; 3 refused, with a line "reason: ...";
8 evidence is genuine but incomplete.`
)

// verbs lists all of them in the order of a release's life.
func verbs() []cli.Verb {
	list := []cli.Verb{
		initVerb(), buildVerb(), signVerb(), inspectVerb(), verifyVerb(), checkVerb(), publishVerb(),
		watchVerb(), enrollVerb(), evidenceVerifyVerb(), evidenceCollectVerb(),
	}
	return append(append(append(list, rootVerbs()...), campaignVerbs()...), announceVerb())
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := cli.Program{Name: "ratchet-release", Version: cli.Version(agent.Version),
		About: "make, sign and publish releases for devices that run ratchet", Section: 1, Before: before, After: after,
		Exits: exits, Verbs: verbs(),
		Environment: []cli.Item{
			{Name: "SOURCE_DATE_EPOCH", Says: "The time of a sequence number that is \"auto\"."},
			{Name: "NO_COLOR", Says: "If it is set, watch uses no colours."}},
		Files: []cli.Item{{Name: "ratchet-release.toml",
			Says: "The configuration of a release directory, and what else is in it: ratchet-release.toml(5)."}},
		SeeAlso: "ratchet-release.toml(5), ratchet(8), and /usr/share/doc/ratchet where it is installed"}
	return p.Run(ctx, args, stdin, stdout, stderr)
}
