// Command noskips is `go test` for .ci/run: it fails where a test is skipped that has to run there.
//
//	go run ./scripts/noskips [-tags interop] PACKAGE...
//
// On a machine of one's own a test may skip what the machine has not: a program, root, a loop device. Where the
// packages of scripts/deps.sh are installed nothing of that may be missing, or a test is quietly none. What a test
// always leaves out, on any machine, is in the table below.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// always are reasons to skip that say nothing of the machine.
var always = []string{
	// Conformance suites: what one of the implementations is not.
	"this machine has no counter",
	"no variables",
	"this backend has no invalid metadata",
	"rig cannot change the content",
	"rig cannot remove the content",
	"rig cannot break",
	// A process that other tests start.
	"plays its roles for the other tests only",
	// Vectors of others, which are not copied into this repository, and what this profile leaves out of them.
	"the shared vectors are not beside this repository",
	"COSE_Sign with external data is not used by this profile",
	// It takes hours.
	"no -search",
}

func main() {
	cmd := exec.Command("go", append([]string{"test", "-json"}, os.Args[1:]...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "noskips:", err)
		os.Exit(2)
	}
	bad, err := watch(out, os.Stdout)
	if failed := cmd.Wait(); failed != nil || err != nil || bad > 0 {
		fmt.Fprintf(os.Stderr, "noskips: %d tests were skipped that have to run here; go test: %v; %v\n",
			bad, failed, err)
		os.Exit(1)
	}
}

// event is a line of `go test -json` (go doc test2json).
type event struct {
	Action, Package, Test, Output string
}

// watch shows what go test would, and each skip that may not be; it returns how many those are.
func watch(in io.Reader, out io.Writer) (bad int, err error) {
	said := map[string]string{} // by package and test
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintf(out, "%s\n", lines.Bytes()) // not of a test
			continue
		}
		name := e.Package + " " + e.Test
		switch {
		case e.Output == "PASS\n":
		case e.Output != "" && e.Test == "":
			fmt.Fprint(out, e.Output)
		case e.Output != "":
			said[name] += e.Output
		case e.Action == "fail":
			fmt.Fprint(out, said[name])
		case e.Action == "skip" && e.Test != "" && !slices.ContainsFunc(always, func(why string) bool {
			return strings.Contains(lastLine(said[name]), why)
		}):
			bad++
			fmt.Fprintf(out, "SKIPPED: %s\n%s", name, said[name])
		}
		if e.Action == "pass" || e.Action == "fail" || e.Action == "skip" {
			delete(said, name)
		}
	}
	return bad, lines.Err()
}

// lastLine is what a test that is skipped says at its end: why.
func lastLine(said string) (line string) {
	for l := range strings.Lines(said) {
		if trimmed := strings.TrimSpace(l); !strings.HasPrefix(trimmed, "--- ") && !strings.HasPrefix(trimmed, "=== ") {
			line = trimmed
		}
	}
	return line
}
