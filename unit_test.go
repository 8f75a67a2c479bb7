package ratchet_test

import (
	"encoding/json"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
)

const unitFile = "packaging/systemd/ratchet.service"

// permits are the settings of the unit that let something through: each says above it what that is for.
var permits = []string{"CapabilityBoundingSet", "SystemCallFilter", "RestrictAddressFamilies", "ReadWritePaths",
	"DeviceAllow"}

// TestUnitSaysWhy: a comment stands above every line of the unit that permits something, and names every capability
// and every family of sockets.
func TestUnitSaysWhy(t *testing.T) {
	comment, seen := "", map[string]bool{}
	for _, line := range strings.Split(document(t, unitFile), "\n") {
		key, value, ok := strings.Cut(line, "=")
		switch {
		case strings.HasPrefix(line, "#"):
			comment += line + "\n"
			continue
		case !ok:
		case slices.Contains(permits, key) && !strings.HasPrefix(value, "~"):
			seen[key] = true
			// The lines of one purpose stand together below one comment.
			if comment == "" {
				t.Errorf("%s: nothing above it says why", line)
			}
			for _, word := range strings.Fields(value) {
				name := strings.TrimPrefix(word, "CAP_")
				named := key != "CapabilityBoundingSet" && key != "RestrictAddressFamilies" ||
					regexp.MustCompile(`\b`+name+`\b`).MatchString(comment)
				if !named {
					t.Errorf("%s: the comment above it does not say what %s is for", line, word)
				}
			}
			if key == "DeviceAllow" && value == "char-watchdog rw" {
				continue // and /dev/watchdog
			}
		}
		comment = ""
	}
	for _, key := range permits {
		if !seen[key] {
			t.Errorf("the unit has no %s=", key)
		}
	}
}

var openLine = regexp.MustCompile(`(?m)^# ([A-Z][A-Za-z/=]*=\S*): \S`)

// TestUnitScore: the unit scores 2.5 or less, and says of each line that systemd-analyze finds open, by its name, why
// it is; of no other line.
func TestUnitScore(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("needs systemd-analyze of systemd 252 or newer")
	}
	out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=25", unitFile).CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		t.Errorf("systemd-analyze security: %v: %s", err, lines[len(lines)-1])
	}
	out, err = exec.Command(analyze, "security", "--offline=true", "--json=short", unitFile).Output()
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Name     string
		Set      *bool
		Exposure *string
	}
	if err := json.Unmarshal(out, &rows); err != nil {
		t.Fatalf("%v: %.200s", err, out)
	}
	explained := map[string]bool{}
	for _, m := range openLine.FindAllStringSubmatch(document(t, unitFile), -1) {
		explained[m[1]] = true
	}
	for _, r := range rows {
		if open := r.Exposure != nil && r.Set != nil && !*r.Set; open != explained[r.Name] {
			t.Errorf("%s: open is %v, and the unit's comment says why it is: %v", r.Name, open, explained[r.Name])
		}
		delete(explained, r.Name)
	}
	for name := range explained {
		t.Errorf("%s: systemd-analyze knows no such line", name)
	}
}

// TestUnitMakesTheUser: what is installed makes the system user that the daemon looks for.
func TestUnitMakesTheUser(t *testing.T) {
	users := document(t, "packaging/systemd/ratchet.sysusers")
	if !strings.Contains(users, "\nu "+wire.DefaultUser+" - ") {
		t.Errorf("%s is not made:\n%s", wire.DefaultUser, users)
	}
}
