package cli_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
)

// TestCompletion plays the script in a shell: what follows what was typed.
func TestCompletion(t *testing.T) {
	p := tool(nil)
	for shell, want := range map[string]string{"bash": "complete -o filenames -F _tool tool\n",
		"zsh": "#compdef tool\n", "fish": "complete -c tool -n '__fish_use_subcommand' -f -a look -d 'looks'\n"} {
		if code, out, _ := run(p, "completion", shell); code != cli.ExitOK || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d\n%s", shell, code, out)
		}
	}
	if code, _, errs := run(p, "completion", "sh"); code != cli.ExitUsage || !strings.Contains(errs, "bash|zsh|fish") {
		t.Errorf("exit %d, %s", code, errs)
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	_, script, _ := run(p, "completion", "bash")
	for typed, want := range map[string]string{
		"":              "look key count help completion version",
		"k":             "key",
		"help ":         "look key count help completion version --man",
		"help key ":     "new show",
		"help look ":    "",
		"help key new ": "",
		"version ":      "",
		"look -":        "--key -n -h",
		"count ":        "new",
		"count -":       "--key -n -h",
		"count new -":   "-h",
		"key ":          "new show",
		"key new -":     "--key -n -h",
		"look --k":      "--key",
		"look x --":     "--key",
		"completion z":  "zsh",
		"look cli_test": "cli_test.go",
	} {
		words := "tool " + typed
		cmd := exec.Command(bash, "--norc", "-c", script+`
read -ra COMP_WORDS <<<"$1"; [[ $1 == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _tool; echo "${COMPREPLY[*]}"`, "bash", words)
		if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%q: %q, want %q, %v", typed, strings.TrimSpace(string(out)), want, err)
		}
	}
}

// TestManual: the page holds every verb and flag, and nothing of a text is a command of roff.
func TestManual(t *testing.T) {
	p := tool(nil)
	p.About, p.Section, p.Exits = "looks at things", 8, "0 done; 2 usage."
	p.Environment = []cli.Item{{Name: "LOOK", Says: "where to"}}
	p.Files = []cli.Item{{Name: "/etc/look", Says: "at what"}}
	p.SeeAlso = "see(1)"
	p.Verbs[0].Long = "First.\n.SH not a heading\n\n  as it is\n'neither\\this"
	code, out, _ := run(p, "help", "--man")
	if code != cli.ExitOK {
		t.Fatalf("exit %d", code)
	}
	for _, part := range []string{".TH TOOL 8 \"\" \"tool 1.2.3\" Ratchet\n", "tool \\- looks at things\n",
		".SS look [flags] FILE\n", ".SS key new NAME\n", "\\fB\\-\\-key\\fR \\fIFILE\\fR\na FILE\n",
		"a number (default 20)\n", "\\&.SH not a heading\n", ".nf\n  as it is\n.fi\n", "\\&'neither\\ethis\n",
		"Exit codes besides 0, 1 and 2: 2 refused.\n", ".SH EXIT STATUS\n0 done; 2 usage.\n",
		".SH ENVIRONMENT\n.TP\n\\fBLOOK\\fR\nwhere to\n", ".SH FILES\n.TP\n\\fB/etc/look\\fR\nat what\n",
		".SH SEE ALSO\nsee(1)\n"} {
		if !strings.Contains(out, part) {
			t.Errorf("%q is missing in:\n%s", part, out)
		}
	}
	for _, line := range strings.Split(out, "\n") {
		if strings.HasPrefix(line, ".") && !regexp.MustCompile(`^\.(TH|SH|SS|TP|PP|B|I|nf|fi)\b`).MatchString(line) {
			t.Errorf("a command: %q", line)
		}
	}
}
