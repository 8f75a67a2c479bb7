package main

import (
	"bytes"
	"context"
	"flag"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
)

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args     string
		code     int
		out, err string // parts
	}{
		{"", 2, "", "Usage: ratchet-release VERB"},
		{"--help", 0, "evidence collect", ""},
		{"help", 0, "Exit codes", ""},
		{"--version", 0, "ratchet-release ", ""},
		{"version", 0, "ratchet-release ", ""},
		{"help publish", 0, "--withdraw", ""},
		{"help evidence", 0, "evidence collect [flags]", ""},
		{"help evidence verify", 0, "evidence verify [flags] FILE", ""},
		{"help nonsense", 2, "", `no verb "nonsense"`},
		{"nonsense", 2, "", `no verb "nonsense"`},
		{"evidence", 2, "", "use one of: evidence verify, evidence collect"},
		{"evidence nonsense", 2, "", "use one of: evidence verify, evidence collect"},
		{"build", 2, "", "name one release file"},
		{"build a b", 2, "", "usage: ratchet-release build"},
		{"build --nonsense x", 2, "", "not defined: -nonsense"},
		{"build /nowhere.toml", 1, "", "cannot read release file: open /nowhere.toml"},
		{"sign", 2, "", "name one envelope file"},
		{"sign /nowhere", 1, "", "no --key given: . is not a release directory"},
		{"sign --key /nowhere.pem x", 1, "", "cannot read private key"},
		{"sign --key testdata/alice.pub.pem x", 1, "", "want \"PRIVATE KEY\""},
		{"sign --key testdata/alice.pem -", 2, "", "needs -o FILE"},
		{"verify", 2, "", "name one envelope file"},
		{"verify x", 1, "", "no --key given"},
		{"verify x --key testdata/alice.pem", 1, "", "cannot read envelope"},
		{"verify x --key testdata/alice.pub.pem --allow-alg RS256", 2, "", "RS256"},
		{"check", 2, "", "name one envelope file"},
		{"check x", 2, "", "either --root or --key"},
		{"check x --root r --key k", 2, "", "either --root or --key"},
		{"check x --key testdata/alice.pub.pem", 2, "", "give --facts"},
		{"help check", 0, "--decrypt-key", ""},
		{"verify /nowhere --key testdata/alice.pub.pem", 1, "", "cannot read envelope"},
		{"verify x --min 0 --key testdata/alice.pub.pem", 2, "", "at least one signer"},
		{"verify x --key testdata/alice.pub.pem --key testdata/alice.pub.pem", 1, "", "listed twice"},
		{"inspect", 2, "", "name one envelope file"},
		{"inspect testdata", 1, "", "is a directory"},
		{"publish", 2, "", "name at least one envelope file"},
		{"publish a b", 2, "", "a topic holds one offer"},
		{"publish --withdraw a", 2, "", "takes no file"},
		{"publish --images-only --offer-only a", 2, "", "nothing to do"},
		{"publish --channel c a", 2, "", "no broker"},
		{"publish --broker mqtts://b a", 2, "", "no channel and no device: this is not a release directory"},
		{"publish --broker mqtt://b --channel c a", 1, "", "not encrypted"},
		{"publish --broker mqtts://u:p@b --channel c a", 1, "", "user information in the URL"},
		{"publish --broker mqtts://b --channel a/b x", 2, "", "channel"},
		{"publish --broker mqtts://b --device a+b x", 2, "", "device id"},
		{"publish --broker mqtts://b --device x --channel y x", 2, "", "cannot be used together"},
		{"watch x", 2, "", "takes no arguments"},
		{"watch", 2, "", "no broker"},
		{"watch --once --broker mqtt://127.0.0.1:1 --allow-plain", 1, "", "cannot reach the broker"},
		{"watch --broker mqtts://b --cert x", 1, "", "certificate and its key"},
		{"watch --broker mqtts://b --password-file x", 1, "", "needs a user name"},
		{"enroll x", 2, "", "a device id, and the file with its public key"},
		{"evidence verify x", 2, "", "give the device's public key"},
		{"evidence verify /nowhere --key testdata/alice.pub.pem", 1, "", "cannot read evidence"},
		{"evidence collect", 1, "", "not a release directory"},
		{"evidence collect x", 2, "", "takes no arguments"},
		{"init a b", 2, "", "one directory"},
		{"init --alg rsa /tmp/nowhere-x", 2, "", "algorithm \"rsa\""},
	} {
		t.Run(c.args, func(t *testing.T) {
			out, err := do(t, c.code, strings.Fields(c.args)...)
			contains(t, out, c.out)
			contains(t, err, c.err)
		})
	}
}

func TestEveryVerbExplainsItself(t *testing.T) {
	for _, v := range verbs() {
		out, _ := do(t, 0, append(strings.Fields(v.Name), "-h")...)
		contains(t, out, "Usage: ratchet-release "+v.Name, "Examples:", "Exit codes: 0 done")
		for _, e := range v.Examples {
			if !strings.Contains(e, "ratchet-release "+v.Name) {
				t.Errorf("%s: the example %q is of another verb", v.Name, e)
			}
		}
		fs := flag.NewFlagSet("", flag.ContinueOnError)
		v.Setup(fs)
		fs.VisitAll(func(f *flag.Flag) {
			if _, text := flag.UnquoteUsage(f); text == "" || !strings.Contains(out, text) {
				t.Errorf("%s: flag %s is not explained", v.Name, f.Name)
			}
		})
		for _, line := range strings.Split(out, "\n") {
			if len(line) > 110 {
				t.Errorf("%s: help has a line of %d characters: %s", v.Name, len(line), line)
			}
		}
	}
}

// TestErrorsCannotDrive: what comes back in an error never drives the terminal.
func TestErrorsCannotDrive(t *testing.T) {
	hostile := "\x1b]0;owned\x07\x1b[2J\u202e"
	for _, args := range [][]string{
		{hostile}, {"help", hostile}, {"inspect", hostile}, {"build", hostile}, {"enroll", hostile, hostile},
		{"publish", "--broker", "mqtts://b", "--channel", hostile, "x"}, {"build", "--" + hostile, "x"},
		{"watch", "--broker", hostile}, {"init", "--vendor", hostile, "x"}, {"init", "--alg", hostile, "x"},
	} {
		var out, err bytes.Buffer
		if code := run(context.Background(), args, strings.NewReader(""), &out, &err); code != cli.ExitFailed &&
			code != cli.ExitUsage {
			t.Errorf("%q: exit %d", args, code)
		}
		if s := out.String() + err.String(); strings.ContainsAny(s, "\x1b\x07\u202e") {
			t.Errorf("%q: the terminal gets %q", args, s)
		}
	}
}
