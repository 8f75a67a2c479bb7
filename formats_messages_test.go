package ratchet_test

import (
	"go/ast"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/transport/wire"
)

// TestFormatsTopics: the page has the topics that transport/wire makes, and no other. A function for a topic that is
// new must be put into the list here.
func TestFormatsTopics(t *testing.T) {
	const channel, id = "<channel>", "<id>"
	made := map[string]string{"RootTopic": wire.RootTopic(),
		"RootVersionTopic": strings.TrimSuffix(wire.RootVersionTopic(1), "1") + "<version>",
		"PlanTopic":        wire.PlanTopic(channel), "PulseTopic": wire.PulseTopic(channel),
		"ChannelTopic": wire.ChannelTopic(channel)}
	code := map[string]bool{}
	for _, d := range source(t, "transport/wire/topics.go").Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || !strings.HasSuffix(f.Name.Name, "Topic") || f.Name.Name == "DeviceTopic" {
			continue
		}
		if made[f.Name.Name] == "" {
			t.Errorf("%s is not in the list of this test", f.Name.Name)
		}
		code[made[f.Name.Name]] = true
	}
	for _, c := range consts(t, "transport/wire/topics.go") {
		if ast.IsExported(c.name) && c.text != wire.Any { // the last level of a device's topic
			code[wire.DeviceTopic(id, c.text)] = true
		}
	}
	said := map[string]bool{}
	for _, r := range rows(part(t, document(t, "docs/formats/messages.md"), "## MQTT")) {
		if topic := strings.Trim(r[0], "`"); strings.HasPrefix(topic, "ratchet/") {
			said[topic] = true
		}
	}
	same(t, "topic", code, said)
}
