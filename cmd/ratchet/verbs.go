package main

import (
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
)

// verbs lists all of them: the daemon, what a technician asks of it, and the counter, which needs none.
func verbs() []cli.Verb {
	return []cli.Verb{
		daemonVerb(), netVerb(), unpackVerb(), probeVerb(),
		technician(cli.Verb{
			Name: "status", Args: "[--json] [--watch]",
			Short: "what runs, what happened last and why, what to do",
			Long: `
Tells what runs, what is in the other slot, what happened last and why, and what to do.`,
			Examples: []string{`ratchet status`, `ratchet status --json | jq -r .running.holds.version`},
		}, (*call).status),
		technician(cli.Verb{
			Name: "slots", Args: "[--json]",
			Short: "the two slots and the bootloader",
			Long: `
Shows what each slot holds, on which devices, and what the bootloader would do with it.`,
			Examples: []string{`ratchet slots`},
		}, (*call).slots),
		technician(cli.Verb{
			Name: "history", Args: "[--json] [-n N]",
			Short: "the last records of what happened",
			Long: `
Lists the last records of the evidence, the newest at the bottom.`,
			Examples: []string{`ratchet history -n 50`},
		}, (*call).history),
		technician(cli.Verb{
			Name: "install", Args: "FILE [--payload FILE] [--yes]",
			Short: "install from a file, without the network",
			Long: `
Installs an update from a file, without the network. FILE is the signed envelope; the images it
needs are looked for beside it. The daemon verifies the signature and decides by its rules.
Maintenance window, metered link and approval do not apply at the console. If you leave this
command with Ctrl-C, the installation goes on in the daemon.`,
			Examples: []string{`ratchet install /mnt/usb/gateway-1.4.0.suit`,
				`ratchet install update.suit --payload /tmp/rootfs.img --yes`},
		}, (*call).install),
		technician(cli.Verb{
			Name: "approve", Args: "[DIGEST] [--note TEXT] [--yes]",
			Short: "agree to an update that waits for a person",
			Long: `
Agrees to an update that waits for a person. Without DIGEST it is the one that "ratchet status"
shows.`,
			Examples: []string{`ratchet approve`, `ratchet approve sha256:5d41402abc4b2a76b9719d911017c592...`},
		}, (*call).approve),
		technician(cli.Verb{
			Name: "retry", Args: "[DIGEST] [--note TEXT] [--yes]",
			Short: "try an update again now that failed or was given up",
			Long: `
Has an update tried again at once. Without DIGEST it is the one that waits, or the one that was
quarantined last. Its failures are forgotten, so that it is not made to wait. If it is quarantined,
or was given up for good, you are asked first; it is tried like any other update then.`,
			Examples: []string{`ratchet retry`, `ratchet retry --yes --note "power supply repaired"`},
		}, (*call).retry),
		technician(cli.Verb{
			Name: "confirm", Args: "[--note TEXT]",
			Short: "keep the system that is on trial",
			Long: `
Keeps the system that is on trial, without waiting for its health checks any longer.`,
			Examples: []string{`ratchet confirm --note "checked by hand, ticket 4711"`},
		}, (*call).confirm),
		technician(cli.Verb{
			Name: "revert", Args: "[--note TEXT] [--yes]",
			Short: "go back to the other slot, or end an update",
			Long: `
Ends an update that is not armed yet, ends a trial and goes back, or, when nothing is in progress,
goes back to what the other slot holds. The machine may reboot.`,
			Examples: []string{`ratchet revert --note "customer's application fails"`},
		}, (*call).revert),
		technician(cli.Verb{
			Name: "recover", Args: "[--permit FILE]",
			Short: "do what a rule forbids, with a permit of the recovery keys",
			Long: `
For an update that a rule forbids on this device. Without --permit it shows a challenge: give it to
those who hold the recovery keys, with the digest of the update. They answer with a permit
(ratchet-release permit), which --permit hands over. The next "ratchet install" of that update then
goes on once, although the rules that the permit names forbid it. No permit lifts a signature, a
revocation, the device class or the read-back.`,
			Examples: []string{`ratchet recover`, `ratchet recover --permit permit.cbor && ratchet install old.suit`},
		}, (*call).recover),
		technician(cli.Verb{
			Name: "evidence export", Args: "[-o FILE] [--from N]",
			Short: "the signed record of everything, for an auditor",
			Long: `
Writes the device's signed records, for "ratchet-release evidence verify" or an auditor's own tool.`,
			Examples: []string{`ratchet evidence export -o gw-0042.evidence`,
				`ratchet evidence export | ssh desk "cat >gw-0042.evidence"`},
		}, (*call).evidence),
		counterVerb(), counterInitVerb(), keyVerb(), keyInitVerb(),
	}
}
