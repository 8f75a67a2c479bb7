package ratchet_test

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// TestFormatsTrust holds the pages of the trust root and of its files against the wire structures and the limits.
func TestFormatsTrust(t *testing.T) {
	chapter := document(t, "docs/formats/trust.md")
	said := map[string]map[string]bool{}
	kind := ""
	for _, r := range rows(chapter) {
		if r[0] == "key" {
			kind = r[1]
			said[kind] = map[string]bool{}
		} else if _, err := strconv.Atoi(r[0]); err == nil {
			said[kind][r[0]+" "+r[1]] = true
		}
	}
	for kind, where := range map[string][2]string{
		"root": {"agent/trust/spec.go", "wireRoot"}, "plan": {"agent/campaign/plan.go", "wirePlan"},
		"pulse": {"agent/campaign/pulse.go", "wirePulse"}, "permit": {"agent/campaign/permit.go", "wirePermit"},
		"challenge": {"agent/campaign/permit.go", "wireChallenge"},
	} {
		code := map[string]bool{}
		for _, f := range structs(t, where[0])[where[1]].Fields.List {
			n, _, _ := strings.Cut(tagOf(f, "cbor"), ",")
			code[n+" "+strings.ToLower(f.Names[0].Name)] = true
		}
		same(t, "key of a "+kind, code, said[kind])
	}
	lifted := map[string]bool{}
	_, list, _ := strings.Cut(chapter, "Liftable: ")
	list, _, _ = strings.Cut(list, ".")
	maps.Copy(lifted, words(list))
	code := map[string]bool{}
	for _, c := range consts(t, "agent/reason/reason.go") {
		if campaign.Liftable(reason.Reason(c.text)) {
			code[c.text] = true
		}
	}
	same(t, "liftable reason", code, lifted)
	files := map[string]bool{}
	for _, r := range rows(part(t, document(t, "docs/formats/workspace.md"), "## Roots")) {
		maps.Copy(files, words(r[0]))
	}
	keys := tomlKeys(t, "cmd/ratchet-release/root/file.go", "rootFile", "NAME")
	for typ, table := range map[string]string{"planFile": "", "phaseFile": "phase."} {
		for _, f := range structs(t, "cmd/ratchet-release/campaign/campaign.go")[typ].Fields.List {
			keys[table+tagOf(f, "toml")] = true
		}
	}
	for k := range keys {
		if !files[k] {
			t.Errorf("docs/formats does not have the key %q of a file of the desk", k)
		}
	}
	for _, n := range []int{trust.MaxMessage, trust.MaxCosigned, trust.MaxMembers, trust.MaxName, trust.MaxGrants,
		trust.MaxComponents, trust.MaxRevoked, trust.MaxScope, trust.MaxVersions, trust.MaxBundle, campaign.MaxPlanIDs,
		campaign.MaxDevices, campaign.SaltSize, campaign.MaxPhases, campaign.MaxPermitted} {
		if !strings.Contains(chapter, fmt.Sprintf(" %d", n)) {
			t.Errorf("docs/formats does not have the limit %d", n)
		}
	}
}
