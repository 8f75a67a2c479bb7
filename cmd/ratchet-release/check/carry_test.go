package check_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// TestCarried: a device with a part that the release leaves out takes it only where the facts say what the running
// slot holds of it.
func TestCarried(t *testing.T) {
	b := newBench(t, full())
	digest := manifest.Sum([]byte("logo")).String()
	for _, c := range []struct{ facts, want string }{
		{"", "slot-incomplete, code 4, section 0"},
		{fmt.Sprintf("digest = %q\nsize = 4\nsequence = 13", digest), "accepted"},
		{fmt.Sprintf("digest = %q\nsize = 4\nsequence = 12", digest), "slot-incomplete, code 4, section 0"},
		{fmt.Sprintf("digest = %q\nsize = 1025\nsequence = 13", digest), "slot-incomplete, code 4, section 0"},
		{fmt.Sprintf("digest = %q\nsize = 0", digest), "running.logo.size: want bytes"},
		{fmt.Sprintf("digest = %q\nsize = 4\nsequence = -1", digest), "running.logo.sequence: -1 is less than 0"},
		{"digest = \"x\"\nsize = 4", "running.logo.digest: "},
		{fmt.Sprintf("digest = %q\nsize = 4\nmanifest = \"x\"", digest), "running.logo.manifest: "},
	} {
		text := strings.Replace(gateway, `components = [`, `components = ["logo", `, 1)
		if c.facts != "" {
			text += "[running.logo]\n" + c.facts + "\n"
		}
		b.write("facts.toml", text)
		said, err := b.run(nil)
		if got := outcome(err); !strings.Contains(got, c.want) {
			t.Errorf("%q: %s, want %s\n%s", c.facts, got, c.want, said)
		}
		if want := "logo: " + digest + ", 4 bytes; carried over"; err == nil && !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
}
