package main

// commonHelp ends the help of every verb.
const commonHelp = `
  --socket PATH    the daemon's socket (default $RATCHET_SOCKET, or /run/ratchet/ratchet.sock)
  -h               this text

Exit codes: 0 done, 1 failed, 2 usage, 3 refused by policy or signature, 4 deferred,
5 daemon not reachable, 6 not permitted, 7 busy.
`

// verbHelp is the text of "ratchet VERB -h".
func verbHelp(name string) string {
	switch name {
	case "status":
		return `Usage: ratchet status [--json] [--watch]

Tells what runs, what is in the other slot, what happened last and why, and what to do.

  --json           as JSON, for programs (FORMATS.md)
  --watch          again and again, until Ctrl-C; with --json one line for each change

Examples:
  ratchet status
  ratchet status --json | jq -r .running.holds.version
` + commonHelp
	case "slots":
		return `Usage: ratchet slots [--json]

Tells of both slots what they hold, on which devices, and what the bootloader would do with them.

  --json           as JSON, for programs (FORMATS.md)

Examples:
  ratchet slots
` + commonHelp
	case "history":
		return `Usage: ratchet history [--json] [-n N]

Lists the last records of the evidence, the newest at the bottom.

  -n N             number of records, 1 to 1000 (default 20)
  --json           as JSON, for programs (FORMATS.md)

Examples:
  ratchet history -n 50
` + commonHelp
	case "install":
		return `Usage: ratchet install FILE [--payload FILE] [--yes]

Installs an update from a file, without the network. FILE is the signed envelope; the images it
needs are looked for beside it. The daemon verifies the signature and decides by its rules; a
window, a metered link and approval do not count for somebody at the console. The installation
goes on in the daemon when this command is left with Ctrl-C.

  --payload FILE   an image that is somewhere else, or named otherwise; may be given again
  --yes            do not ask

Examples:
  ratchet install /mnt/usb/gateway-1.4.0.suit
  ratchet install update.suit --payload /tmp/rootfs.img --yes
` + commonHelp
	case "confirm":
		return `Usage: ratchet confirm [--note TEXT]

Keeps the system that is on trial, without waiting for its health checks any longer.

  --note TEXT      why, for the evidence (at most 200 bytes)

Examples:
  ratchet confirm --note "checked by hand, ticket 4711"
` + commonHelp
	case "revert":
		return `Usage: ratchet revert [--note TEXT] [--yes]

Ends an update that is not armed yet, ends a trial and goes back, or, when nothing is in progress,
goes back to what the other slot holds. The machine may reboot.

  --note TEXT      why, for the evidence (at most 200 bytes)
  --yes            do not ask

Examples:
  ratchet revert --note "customer's application fails"
` + commonHelp
	case "recover":
		return `Usage: ratchet recover
       ratchet recover --permit FILE

For an update that a rule forbids on this device. Without --permit it shows a challenge: give it to
those who hold the recovery keys, with the digest of the update. They answer with a permit
(ratchet-release permit), which --permit hands over. The next "ratchet install" of that update then
goes on in spite of the rules that the permit names, once. No permit lifts a signature, a
revocation, the device class or the read-back.

  --permit FILE    the permit

Examples:
  ratchet recover
  ratchet recover --permit permit.cbor && ratchet install old.suit
` + commonHelp
	case "approve":
		return `Usage: ratchet approve [DIGEST] [--note TEXT] [--yes]

Agrees to an update that waits for a person. Without DIGEST it is the one that "ratchet status"
shows.

  --note TEXT      why, for the evidence (at most 200 bytes)
  --yes            do not ask

Examples:
  ratchet approve
  ratchet approve sha256:5d41402abc4b2a76b9719d911017c592...
` + commonHelp
	case "evidence":
		return `Usage: ratchet evidence export [-o FILE] [--from N]

Writes the device's signed records, for "ratchet-release evidence verify" or an auditor's own tool.

  -o FILE          where to (default: standard output, which must not be a terminal)
  --from N         first sequence number (default: the oldest record)

Examples:
  ratchet evidence export -o gw-0042.evidence
  ratchet evidence export | ssh desk "cat >gw-0042.evidence"
` + commonHelp
	}
	return ""
}
