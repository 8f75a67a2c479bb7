package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
)

// TestCommandLine: help is no error and goes to the standard output; what is not understood is exit code 2, with the
// usage.
func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		says string // in the stream that it belongs to
	}{
		{"", 2, "ratchet-lab is the laboratory"},
		{"help", 0, "ratchet-lab is the laboratory"},
		{"version", 0, "ratchet-lab "},
		{"toast", 2, `there is no verb "toast"`},
		{"demo -h", 0, "Usage: ratchet-lab demo [flags]"},
		{"demo --size 1", 2, "unexpected arguments"},
		{"rig -h", 0, "ratchet-lab rig smoke|all|cuts|look|cut"},
		{"rig toast", 2, "unexpected arguments"},
		{"rig cut --point 1", 2, "unexpected arguments"}, // of which board?
		{"rig all --every 0", 2, "unexpected arguments"},
		{"demo-health", 2, "DEVICE-DIR"},
		{"replay --scenario toast x", 2, ""},
		{"explore --scenario toast", 2, `"toast" is not known`},
		{"defects --only toast", 2, `no defect is called "toast"`},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), strings.Fields(c.args), &out, &errs)
		said, other := &errs, &out
		if code == 0 {
			said, other = &out, &errs
		}
		if code != c.code || !strings.Contains(said.String(), c.says) || other.Len() > 0 {
			t.Errorf("%q: %d, want %d\nstdout: %s\nstderr: %s", c.args, code, c.code, out.String(), errs.String())
		}
	}
	for _, verb := range []string{"demo", "rig", "explore", "replay", "defects"} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{verb, "-h"}, &out, &errs); code != 0 ||
			strings.Contains(out.String(), "\n        \n") {
			t.Errorf("%s -h: exit %d, or a flag without a text:\n%s", verb, code, out.String())
		}
	}
	var out, errs bytes.Buffer
	run(t.Context(), []string{"rig", "--help"}, &out, &errs)
	for _, k := range board.Kinds() {
		if !strings.Contains(out.String(), k.Name) {
			t.Errorf("the help of rig does not name %s", k.Name)
		}
	}
}
