package ratchet_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/ratchet-ota/ratchet/"

// allowed lists, for each package, the packages of this module that it may import, and why. Arrows
// point down only; what is not here is not allowed. "cmd/" stands for every command.
var allowed = map[string]map[string]string{
	"hal":                           {},
	"hal/textfile":                  {},
	"hal/linux":                     {"hal": "implements it", "hal/textfile": "/proc, /sys, and files that are named"},
	"hal/linux/tpm":                 {"hal": "implements its counter"},
	"hal/linux/tpm/tpmtest":         {},
	"hal/linux/sandbox":             {},
	"hal/linux/sandbox/sandboxtest": {},
	"hal/sim":                       {"hal": "implements it", "hal/medium": "what a cut leaves"},
	"hal/haltest":                   {"hal": "one suite for all machines"},
	"hal/medium":                    {},
	"hal/cutdisk":                   {"hal/medium": "what a cut leaves"},

	"bootctl":                 {},
	"bootctl/internal/choice": {"bootctl": "the arithmetic of slots that backends share"},
	"bootctl/internal/engine": {"bootctl": "implements Backend", "hal": "files and locks",
		"bootctl/internal/choice": "decides"},
	"bootctl/ubootenv": {"bootctl": "a backend", "hal": "media and files", "bootctl/internal/choice": "",
		"bootctl/internal/engine": ""},
	"bootctl/grubenv": {"bootctl": "a backend", "hal": "media and files", "bootctl/internal/choice": "",
		"bootctl/internal/engine": ""},
	"bootctl/sdboot": {"bootctl": "a backend", "hal": "media and files", "bootctl/internal/choice": "",
		"bootctl/internal/engine": ""},
	"bootctl/efi": {"bootctl": "a backend", "hal": "variables, locks and files", "bootctl/internal/choice": "",
		"bootctl/internal/engine": ""},
	"bootctl/hook":      {"bootctl": "a backend", "bootctl/internal/choice": ""},
	"bootctl/bootmodel": {"hal": "reads the same bytes; never a backend, which it checks"},
	"bootctl/boottest": {"bootctl": "one suite for all backends", "bootctl/bootmodel": "boots the bytes", "hal": "",
		"hal/medium": "what a cut leaves"},

	"slots": {"hal": "writes media"},

	"transport":                    {},
	"transport/secure":             {"hal/textfile": "certificates and keys"},
	"transport/proxy":              {"transport/secure": "TLS to a proxy"},
	"transport/mqtt/nowebsocket":   {}, // in the place of a module that nothing here needs
	"transport/mqtt/noproxy/proxy": {}, // as well
	"transport/mqtt": {"transport/secure": "TLS", "transport": "an inbox and an outbox",
		"transport/proxy": "the way to the broker", "transport/wire": "topics and the guard"},
	"transport/wire":      {},
	"transport/wire/pair": {},
	"transport/network": {"transport": "an inbox, an outbox, sources, at both ends",
		"transport/wire/pair": "what the ends say"},
	"transport/network/networktest": {"transport/network": "plays its process", "transport/wire/pair": "its ends"},
	"transport/http": {"transport/secure": "TLS", "transport": "a source",
		"transport/proxy": "the way to a server"},
	"transport/file":          {"transport": "a source"},
	"transport/transporttest": {"transport": "one suite for all of them"},

	"agent/reason":                 {},
	"agent/manifest":               {"agent/manifest/internal/suit": "numbers and the writer"},
	"agent/manifest/internal/suit": {},
	"agent/manifest/author": {"agent/manifest": "what a device would say",
		"agent/manifest/internal/suit": "numbers and the writer"},
	"agent/manifest/dump": {"agent/manifest": "what a device would say",
		"agent/manifest/internal/suit": "numbers"},
	"agent/manifest/manifesttest": {"agent/manifest": "", "agent/manifest/author": "makes releases for tests",
		"agent/trust": "signs them"},
	"agent/cipher": {"agent/manifest": "the parsed encryption-info"},
	"agent/trust":  {},
	"agent/campaign": {"agent/manifest": "digests and ids", "agent/reason": "says why",
		"agent/trust": "documents are signed and verified by it"},
	"agent/campaign/campaigntest": {"agent/campaign": "signs them for tests", "agent/manifest": "",
		"agent/reason": "", "agent/trust": ""},
	"agent/policy": {"agent/campaign": "plans, pulses and permits",
		"agent/manifest": "decides manifests", "agent/reason": "says why", "agent/trust": "the root"},
	"agent/evidence":        {"agent/reason": "says why", "agent/trust": "signs and verifies"},
	"agent/evidence/export": {"agent/evidence": "records", "agent/reason": "says why", "agent/trust": "verifies"},
	"agent/evidence/evidencetest": {"agent/evidence": "makes chains for tests", "agent/reason": "",
		"agent/trust": "signs them"},
	"agent/journal":             {},
	"agent/journal/journaltest": {"agent/journal": "one suite for all stores"},
	"agent/health":              {"hal": "the clock", "transport": "what may be shown of an address"},
	"agent/oldread":             {},
	"agent/control":             {"agent/reason": "says why"},
	"agent/life": {"agent/evidence": "what a step records", "agent/manifest": "names digests",
		"agent/reason": "says why, and what follows", "bootctl": "its words"},
	"agent/internal/quarantine": {"agent/evidence": "the head at the last write",
		"agent/life": "what is barred and counted", "agent/reason": "says why", "hal": "files"},
	"agent/internal/witness": {"agent/evidence": "the head that others may have seen",
		"agent/life": "floors", "hal": "files"},
	"agent/internal/store": {"agent/evidence": "the chain, which grows with each transition",
		"agent/journal": "keeps it", "agent/life": "what a step commits", "agent/reason": "says why",
		"bootctl": "names of slots", "slots": "how far writing came"},
	"agent/internal/view": {"agent/evidence": "what is in force", "agent/health": "a round of a trial",
		"agent/life": "the state", "agent/reason": "says why",
		"bootctl": "names of slots", "hal": "the clock", "slots": "progress of writing"},
	"agent/report": {"agent/evidence": "signs it", "agent/internal/store": "what is to be sent",
		"agent/internal/view": "what the executor shows; nothing goes back",
		"agent/manifest":      "the type of a SUIT report", "agent/reason": "says why",
		"agent/trust": "the device's signer", "hal": "the clock", "transport": "the outbox"},
	"agent/intake": {"agent/campaign": "plans, pulses and permits as they come",
		"agent/evidence": "what is recorded of a document", "agent/internal/store": "what was taken before",
		"agent/life": "what the machine asks", "agent/manifest": "verifies envelopes", "agent/policy": "decides",
		"agent/reason": "says why", "agent/trust": "the root", "bootctl": "names of slots",
		"hal": "the clock and the supply", "slots": "payloads of a technician", "transport": "messages"},
	"agent/console": {"agent/control": "its answers", "agent/evidence": "exports it",
		"agent/intake": "checks what a person hands over", "agent/internal/store": "reads what is known",
		"agent/internal/view": "what the executor shows", "agent/life": "what a person asks the machine",
		"agent/manifest": "digests", "agent/reason": "says why", "agent/trust": "the device's signer",
		"bootctl": "what the slots are", "hal": "the clock", "transport": "names of payload files"},
	"agent": {"agent/console": "answers people", "agent/intake": "offers and documents",
		"agent/report": "runs beside it", "agent/internal/view": "shows its state",
		"agent/internal/store": "commits a step", "agent/internal/quarantine": "the file apart from the journal",
		"agent/internal/witness": "what others have seen",
		"agent/life":             "executes it", "agent/cipher": "decrypts payloads on their way",
		"agent/control":  "its answers",
		"agent/evidence": "", "agent/health": "", "agent/journal": "the contract of a store", "agent/manifest": "",
		"agent/policy": "", "agent/reason": "", "agent/trust": "the device's signer", "bootctl": "", "hal": "",
		"slots": "", "transport": "the contracts only"},

	"cmd/internal/broker": {"cmd/internal/cli": "says that it connects again",
		"cmd/internal/files": "a password is a file", "cmd/internal/screen": "safe texts", "transport": "back-off",
		"transport/mqtt": "which brokers are admitted", "transport/secure": "the TLS of every client",
		"transport/wire": "the guard, and limits"},
	"cmd/internal/conf": {"hal/textfile": "reads its file",
		"agent/manifest": "identifiers, and what a device admits of a URL",
		"transport":      "what may be shown of an address"},
	"cmd/internal/files": {},
	"cmd/internal/cli": {"cmd/internal/screen": "safe texts", "agent/manifest": "SUIT's code and place of a refusal",
		"agent/reason": "says why, and what to do"},
	"cmd/internal/pbes2": {},
	"cmd/internal/keys": {"cmd/internal/cli": "warns of a private key",
		"cmd/internal/pbes2": "keys that are encrypted", "cmd/internal/screen": "asks for a passphrase",
		"cmd/internal/conf": "files of signing commands", "cmd/internal/files": "keys are files",
		"agent/manifest": "verifies with keys of two kinds", "agent/trust": "keys and signatures"},
	"cmd/internal/fleet": {"cmd/internal/broker": "takes its messages", "cmd/internal/screen": "cuts texts",
		"agent/evidence": "records and status", "agent/evidence/export": "verifies a record by itself",
		"agent/manifest": "makes texts printable", "agent/reason": "of an outcome", "agent/trust": "enrolled keys",
		"transport/wire": "topics"},
	"cmd/internal/fleet/fleettest": {"transport/wire": "topics", "agent/evidence": "what a device signs",
		"agent/reason": "why a chain begins", "agent/trust": "its key"},
	"cmd/internal/screen": {"agent/manifest": "makes texts from outside printable"},

	"cmd/ratchet": {"cmd/internal/cli": "describes verbs", "cmd/ratchet/daemon": "runs it",
		"cmd/ratchet/connect": "runs the process that connects",
		"cmd/ratchet/unpack":  "runs the process that decodes",
		"cmd/ratchet/probe":   "runs the process that asks",
		"cmd/ratchet/wire":    "checks a configuration; the counter", "cmd/ratchet/config": "reads it for both",
		"cmd/ratchet/render": "texts for a person", "cmd/internal/screen": "asks back on a terminal",
		"agent": "its version", "agent/control": "asks the daemon", "hal": "shows the counter",
		"hal/linux/tpm": "how the counter is made", "transport/file": "opens an update in files"},
	"cmd/ratchet/daemon": {"cmd/internal/conf": "how large a configuration may be", "cmd/ratchet/wire": "the parts",
		"cmd/ratchet/config": "reads it", "agent": "runs it", "agent/console": "answers people",
		"agent/intake": "what it refused or put off", "agent/control": "answers on the socket",
		"agent/journal": "another daemon has it", "agent/life": "names the phase at rest",
		"agent/manifest": "limits an envelope", "agent/reason": "says why", "agent/trust": "limits a permit",
		"transport/file": "an image in a file", "transport/network": "runs the process that connects",
		"hal": "keeps the last good configuration", "hal/linux": "real files"},
	"cmd/ratchet/wire": {"cmd/ratchet/config": "what is wired", "hal/textfile": "keys and secrets",
		"cmd/ratchet/connect": "what connections are made of", "cmd/ratchet/unpack": "starts what decodes",
		"cmd/ratchet/probe": "asks servers for health checks",
		"agent":             "its options",
		"agent/control":     "what the path of a socket may be",
		"agent/cipher":      "the device's keys for images", "agent/health": "checks", "agent/journal": "opens it",
		"agent/reason": "how the journal was lost", "agent/trust": "keys and the root", "bootctl": "names of slots",
		"bootctl/ubootenv": "the one switch over backends", "bootctl/grubenv": "", "bootctl/sdboot": "",
		"bootctl/efi": "", "bootctl/hook": "", "slots": "a source of images",
		"transport/network": "the process that connects", "transport/wire/pair": "its socket",
		"hal/linux/sandbox": "starts it",
		"transport/secure":  "TLS of health checks; a key and its certificate", "hal": "contracts",
		"hal/linux": "the machine", "hal/linux/tpm": "a counter, keys"},
	"cmd/ratchet/config": {"cmd/internal/conf": "reads TOML", "hal/textfile": "id and version",
		"hal/linux/sandbox": "names of features",
		"bootctl":           "how many tries there are",
		"hal":               "alignment", "agent/manifest": "who the device is",
		"agent/policy": "its rules", "transport/wire": "what an id may be"},
	"cmd/ratchet/connect": {"cmd/ratchet/config": "what connections are made of", "hal/linux": "gives memory back",
		"hal/linux/sandbox": "confines itself",
		"hal/textfile":      "reads what the daemon opens", "transport": "back-off, and what is forbidden",
		"transport/http": "images", "transport/mqtt": "the fleet", "transport/network": "speaks with the daemon",
		"transport/proxy": "the way to the network", "transport/secure": "TLS", "transport/wire/pair": "the socket"},
	"cmd/ratchet/probe": {"agent/health": "the checks", "hal/linux/sandbox": "confines it",
		"transport/secure": "whom the system trusts", "transport/wire/pair": "a text that people may be shown"},
	"cmd/ratchet/unpack": {"hal/linux/sandbox": "confines it", "slots": "its words"},
	"cmd/ratchet/boxtest": {"cmd/ratchet/connect": "a test program connects for its daemon",
		"transport/network/networktest": "a process that was taken over", "transport/wire/pair": "its socket",
		"agent/trust": "makes a key of the release desk", "bootctl": "names of slots",
		"cmd/ratchet/unpack": "and decodes for it", "cmd/ratchet/probe": "and asks for it",
		"bootctl/ubootenv": "an environment to begin with", "hal/linux": "real files"},
	"cmd/ratchet/render": {"agent/control": "the daemon's answers",
		"cmd/internal/screen": "safe texts and a terminal's width"},

	"cmd/ratchet-release": {"agent": "its version", "agent/manifest": "makes arguments printable",
		"cmd/internal/broker": "flags for it", "cmd/internal/cli": "describes verbs",
		"cmd/internal/keys": "flags for them", "cmd/ratchet-release/campaign": "its verbs",
		"cmd/ratchet-release/check": "its verbs", "cmd/ratchet-release/evidence": "its verbs",
		"cmd/ratchet-release/publish": "its verbs", "cmd/ratchet-release/release": "its verbs",
		"cmd/ratchet-release/root": "its verbs", "cmd/ratchet-release/watch": "its verbs",
		"cmd/ratchet-release/workspace": "its verbs"},
	"cmd/ratchet-release/workspace": {"cmd/internal/broker": "how to reach the broker", "cmd/internal/cli": "",
		"cmd/internal/conf": "its file", "cmd/internal/files": "", "cmd/internal/keys": "anchors, and keys of devices",
		"agent/manifest": "makes texts printable", "agent/trust": "keys", "transport/wire": "ids"},
	"cmd/ratchet-release/release": {"agent/manifest": "envelopes and manifests",
		"agent/manifest/author": "builds and signs", "agent/manifest/dump": "shows", "agent/reason": "says why",
		"agent/trust": "keys, roots, documents", "cmd/internal/cli": "", "cmd/internal/conf": "files that people write",
		"cmd/internal/files": "", "cmd/internal/keys": "reads keys", "cmd/internal/screen": "safe texts",
		"cmd/ratchet-release/workspace": "the folder", "slots": "as a device writes and reads back"},
	"cmd/ratchet-release/root": {"agent/manifest": "envelopes and manifests", "agent/reason": "says why",
		"agent/trust": "keys, roots, documents", "cmd/internal/cli": "", "cmd/internal/conf": "files that people write",
		"cmd/internal/files": "", "cmd/internal/keys": "reads keys", "cmd/internal/screen": "safe texts"},
	"cmd/ratchet-release/check": {"agent/campaign": "documents", "agent/cipher": "decrypts as a device does",
		"agent/manifest": "envelopes and manifests", "agent/policy": "what a device decides",
		"agent/reason": "says why", "agent/trust": "keys, roots, documents", "cmd/internal/cli": "",
		"cmd/internal/conf": "files that people write", "cmd/internal/files": "", "cmd/internal/keys": "reads keys",
		"cmd/ratchet-release/release": "envelopes", "slots": "as a device writes and reads back"},
	"cmd/ratchet-release/campaign": {"agent/campaign": "documents", "agent/manifest": "envelopes and manifests",
		"agent/policy": "what a device decides", "agent/reason": "says why", "agent/trust": "keys, roots, documents",
		"cmd/internal/cli": "", "cmd/internal/conf": "files that people write", "cmd/internal/files": "",
		"cmd/internal/keys": "reads keys", "cmd/internal/screen": "safe texts",
		"cmd/ratchet-release/release": "envelopes", "cmd/ratchet-release/root": "who must sign",
		"cmd/ratchet-release/workspace": "the folder"},
	"cmd/ratchet-release/watch": {"agent/trust": "keys, roots, documents", "cmd/internal/broker": "the connection",
		"cmd/internal/cli": "", "cmd/internal/fleet": "what devices told", "cmd/internal/screen": "safe texts",
		"transport/wire": "topics and ids"},
	"cmd/ratchet-release/publish": {"agent/campaign": "documents", "agent/manifest": "envelopes and manifests",
		"agent/manifest/author": "builds and signs", "agent/trust": "keys, roots, documents",
		"cmd/internal/broker": "the connection", "cmd/internal/cli": "", "cmd/ratchet-release/release": "envelopes",
		"cmd/ratchet-release/workspace": "the folder", "transport": "limits of a message",
		"transport/wire": "topics and ids"},
	"cmd/ratchet-release/evidence": {"agent/evidence": "records", "agent/evidence/export": "verifies an export",
		"agent/reason": "says why", "agent/trust": "keys, roots, documents", "cmd/internal/broker": "the connection",
		"cmd/internal/cli": "", "cmd/internal/files": "", "cmd/internal/fleet": "what devices told",
		"cmd/internal/screen": "safe texts", "transport/wire": "topics and ids"},

	"cmd/ratchet-lab": {"cmd/internal/cli": "describes verbs", "cmd/ratchet-lab/demo": "a verb",
		"cmd/ratchet-lab/explorer": "a verb", "cmd/ratchet-lab/rig": "a verb",
		"cmd/ratchet-lab/rig/board": "names the boards in the help",
		"cmd/ratchet-lab/rig/disk":  "names what a cut does", "cmd/ratchet-lab/rig/look": "is its worker",
		"cmd/ratchet-lab/stage": "where the demonstration stands", "agent": "the version"},
	"cmd/ratchet-lab/rig": {"cmd/ratchet-lab/rig/report": "hands over what was played",
		"cmd/ratchet-lab/rig/cuts": "chooses and counts", "cmd/ratchet-lab/rig/look": "looks at disks",
		"cmd/ratchet-lab/rig/board": "switches boards on", "cmd/ratchet-lab/rig/disk": "recordings",
		"cmd/ratchet-lab/stage": "stands on it", "cmd/ratchet-lab/image": "systems and disks",
		"agent/evidence": "waits for what the device tells", "agent/evidence/export": "verifies it",
		"agent/life": "names of phases", "agent/trust": "the device's key", "transport/wire": "topics"},
	"cmd/ratchet-lab/rig/report": {"cmd/ratchet-lab/rig/cuts": "what was played",
		"cmd/ratchet-lab/rig/board": "on which board", "cmd/ratchet-lab/rig/disk": "of which recording",
		"cmd/ratchet-lab/stage": "rows", "agent/life": "the order of phases"},
	"cmd/ratchet-lab/rig/cuts": {"cmd/ratchet-lab/rig/look": "what was found on a disk",
		"cmd/ratchet-lab/rig/board": "names the partition of a write", "cmd/ratchet-lab/rig/disk": "logs and cuts"},
	"cmd/ratchet-lab/rig/look": {"cmd/ratchet-lab/rig/bench": "plays the disk on",
		"cmd/ratchet-lab/rig/board": "finds the metadata", "cmd/ratchet-lab/rig/disk": "the disk after a cut",
		"cmd/ratchet-lab/image": "the tools of file systems", "cmd/ratchet-lab/explorer": "a process in virtual time",
		"agent/evidence": "walks the chain", "agent/journal": "opens it", "agent/trust": "the release key"},
	"cmd/ratchet-lab/rig/bench": {"cmd/ratchet-lab/rig/board": "the model of the loader, and where slots lie",
		"cmd/ratchet-lab/rig/disk": "the disk, and what it must end as", "agent": "the real one",
		"agent/control": "its status at rest", "agent/health": "its checks", "agent/journal": "opens the disk's",
		"agent/life": "holds its start against Reconcile", "agent/manifest": "who the device is", "agent/trust": "keys",
		"bootctl": "the agent's backend", "hal": "is its machine", "hal/linux": "real files", "slots": "a source",
		"transport": "an inbox"},
	"cmd/ratchet-lab/rig/board": {"cmd/ratchet-lab/rig/disk": "names the partition of a write",
		"cmd/ratchet-lab/image": "makes the disk", "bootctl": "the state of a disk",
		"bootctl/ubootenv": "reads and makes the metadata, as the agent does", "bootctl/grubenv": "the same",
		"bootctl/sdboot": "the same", "bootctl/bootmodel": "boots without QEMU", "hal/linux": "real files"},
	"cmd/ratchet-lab/rig/disk": {"hal/medium": "what a cut leaves",
		"cmd/ratchet-lab/image": "sectors, and files with holes", "agent/reason": "which reasons give an update up"},
	"cmd/ratchet-lab/explorer": {"agent": "the real one", "agent/campaign": "plans for its fleet",
		"agent/console": "answers the technician", "agent/control": "his requests",
		"agent/evidence": "holds it against what was", "agent/evidence/export": "verifies it", "agent/health": "checks",
		"agent/journal": "in memory, old or new", "agent/life": "the durable states", "agent/manifest": "offers",
		"agent/manifest/author": "makes them", "agent/policy": "the device's rules", "agent/reason": "expected ends",
		"agent/trust": "keys", "bootctl": "armed slots", "bootctl/bootmodel": "boots the machine",
		"bootctl/efi": "a backend", "bootctl/grubenv": "a backend", "bootctl/sdboot": "a backend",
		"bootctl/ubootenv": "a backend", "hal": "the machine's contract", "hal/medium": "kinds of media",
		"hal/sim": "the machine", "slots": "sources", "transport": "an inbox",
		"transport/network": "the process that connects", "transport/network/networktest": "the same in memory",
		"transport/wire/pair": "what they say"},
	"cmd/ratchet-lab/demo": {"cmd/ratchet-lab/stage": "stands on it", "cmd/ratchet-lab/image": "its systems",
		"bootctl": "slots", "bootctl/ubootenv": "the factory's environment", "bootctl/bootmodel": "boots the device",
		"hal/linux": "real files", "agent/evidence": "waits for what the device tells", "agent/reason": "says why",
		"transport/wire": "topics"},
	"cmd/ratchet-lab/stage": {"cmd/ratchet-lab/image": "finds the programs of this machine",
		"agent/evidence": "what the device tells", "agent/evidence/export": "verifies it",
		"agent/reason": "tells it in words",
		"agent/trust":  "verifies it", "transport/secure": "TLS", "transport/wire": "topics"},
	"cmd/ratchet-lab/image": {},
}

// TestArrows holds the imports of every package, tests left out, against the table.
func TestArrows(t *testing.T) {
	used := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() &&
			(strings.HasPrefix(d.Name(), ".") && path != "." || d.Name() == "testdata" || d.Name() == "bin") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		pkg := filepath.ToSlash(filepath.Dir(path))
		table, known := allowed[pkg]

		open := strings.HasPrefix(pkg, "scripts/") ||
			strings.HasPrefix(pkg, "cmd/") && !strings.HasPrefix(pkg, "cmd/ratchet-lab")
		if !known && open {
			return nil // wires everything together
		}
		if !known {
			t.Errorf("package %s is not in the table: say what it may import, and why", pkg)
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			if in, ok := strings.CutPrefix(name, module); ok {
				if _, ok := table[in]; !ok {
					t.Errorf("%s imports %s, which %s may not know", path, in, pkg)
				}
				used[pkg+" "+in] = true
			}
			checkForeign(t, path, pkg, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var stale []string
	for pkg, table := range allowed {
		for in := range table {
			if !used[pkg+" "+in] {
				stale = append(stale, pkg+" -> "+in)
			}
		}
	}
	sort.Strings(stale)
	if len(stale) > 0 {
		t.Errorf("allowed and not used, remove them: %s", strings.Join(stale, ", "))
	}
}

// TestDeviceProgram: what only the desk or a test needs is not in the program that runs on devices,
// so that the code that a device trusts can be counted.
func TestDeviceProgram(t *testing.T) {
	never := map[string]bool{"agent/manifest/author": true, "agent/manifest/dump": true,
		"agent/manifest/manifesttest": true, "agent/evidence/export": true, "agent/evidence/evidencetest": true,
		"agent/campaign/campaigntest": true, "agent/journal/journaltest": true, "bootctl/bootmodel": true,
		"bootctl/boottest": true, "hal/sim": true, "hal/medium": true, "hal/haltest": true, "hal/cutdisk": true,
		"hal/linux/tpm/tpmtest":   true,
		"transport/transporttest": true, "cmd/internal/fleet/fleettest": true,
		"cmd/ratchet/boxtest": true, "cmd/internal/keys": true, "cmd/internal/pbes2": true}
	seen, todo := map[string]bool{}, []string{"cmd/ratchet"}
	for len(todo) > 0 {
		pkg := todo[0]
		todo = todo[1:]
		if seen[pkg] {
			continue
		}
		seen[pkg] = true
		if never[pkg] {
			t.Errorf("the device's program holds %s", pkg)
		}
		files, err := filepath.Glob(filepath.Join(filepath.FromSlash(pkg), "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no source: %v", pkg, err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range f.Imports {
				if in, ok := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), module); ok {
					todo = append(todo, in)
				}
			}
		}
	}
	for pkg := range never {
		if _, known := allowed[pkg]; !known {
			t.Errorf("there is no package %s", pkg)
		}
	}
}

// homes lists what is written in one place only: a text in the source, and the packages that may hold it.
var homes = map[string]map[string]string{
	`ratchet/v1/`: {"transport/wire": "the names of the topics"},
	`.Rename(`: {"hal": "ReplaceFile, the one way", "hal/linux": "the system call",
		"hal/haltest": "the suite of hal.FS", "bootctl/bootmodel": "what a boot loader renames",
		"agent/journal": "bbolt makes the file; a corrupt one is set aside", "cmd/ratchet": "an export is a stream",
		"cmd/internal/files": "files on a workstation"},
	`tls.Config{`: {"transport/secure": "every client's", "cmd/ratchet-lab/stage": "the servers around a device"},
}

// TestHomes: nobody else writes what has one home, tests left out.
func TestHomes(t *testing.T) {
	held := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(path))
		for text, where := range homes {
			if !strings.Contains(string(b), text) {
				continue
			}
			if held[text+pkg] = true; where[pkg] == "" {
				t.Errorf("%s has %s, which belongs to %v", path, text, where)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for text, where := range homes {
		for pkg := range where {
			if !held[text+pkg] {
				t.Errorf("%s no longer has %s: remove it from the table", pkg, text)
			}
		}
	}
}

// checkForeign keeps each dependency in the one place that may know it.
func checkForeign(t *testing.T, path, pkg, name string) {
	t.Helper()
	only := map[string][]string{
		"go.etcd.io/bbolt":                    {"agent/journal"},
		"github.com/eclipse/paho.mqtt.golang": {"transport/mqtt", "cmd/internal/broker", "cmd/ratchet-lab/stage"},
		"github.com/klauspost/compress":       {"slots"},
		"github.com/veraison/go-cose":         {"agent/trust", "agent/manifest"},
		"filippo.io/mldsa":                    {"agent/trust"},
		"github.com/mochi-mqtt/server":        {"cmd/ratchet-lab/stage"},
		"github.com/pelletier/go-toml":        {"cmd/internal/conf"},
		"github.com/coreos/go-systemd":        {"cmd/ratchet/daemon"},
		"golang.org/x/crypto":                 {"cmd/internal/pbes2"},
		"golang.org/x/term":                   {"cmd/internal/keys"},
		"golang.org/x/sys": {"hal/linux", "hal/linux/tpm", "hal/linux/sandbox", "hal/linux/sandbox/sandboxtest",
			"hal/cutdisk", "agent/control",
			"agent/journal", "cmd/ratchet-lab/rig/disk", "cmd/ratchet-lab/rig/look", "cmd/internal/screen",
			"cmd/ratchet/unpack"},
	}
	for dep, where := range only {
		if !strings.HasPrefix(name, dep) {
			continue
		}
		for _, w := range where {
			if pkg == w {
				return
			}
		}
		t.Errorf("%s imports %s, which belongs to %v and to commands", path, name, where)
	}
	pure := map[string]bool{"agent/life": true, "agent/manifest": true, "agent/manifest/author": true,
		"agent/manifest/dump": true, "agent/cipher": true, "agent/trust": true, "agent/policy": true,
		"agent/campaign": true, "agent/evidence": true, "agent/evidence/export": true, "agent/reason": true}
	if pure[pkg] && (name == "os" || name == "net" || name == "net/http" || name == "syscall" || name == "os/exec") {
		t.Errorf("%s imports %s: %s is pure", path, name, pkg)
	}
}
