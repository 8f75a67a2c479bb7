package daemon_test

import (
	"os"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/hal/linux/tpm"
	"github.com/ratchet-ota/ratchet/hal/linux/tpm/tpmtest"
)

// The device key is in a TPM whose driver comes late, and is made later still: a problem each time, and taken up by the
// same daemon when it is there. A TPM that goes away while the daemon runs is a problem until it is back.
func TestTPMComesLate(t *testing.T) {
	b, m := newBox(t), tpmtest.New(t)
	away := m.Path + "x"
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	problem := func(text string) {
		t.Helper()
		b.until(t.Context(), text, func(st control.Status) bool {
			return len(st.Problems) == 1 && strings.Contains(st.Problems[0], "evidence.key: ") &&
				strings.Contains(st.Problems[0], text) && st.Mode == control.ModeNormal
		})
	}
	none := func() {
		t.Helper()
		b.until(t.Context(), "no problem any more", func(st control.Status) bool {
			return len(st.Problems) == 0 && st.Mode == control.ModeNormal && st.Running.Name == "A"
		})
	}
	b.write("ratchet.toml", b.Config()+"[tpm]\ndevice = \""+m.Path+"\"\n[evidence]\nkey = \"tpm2:0x81525401\"\n")
	move(m.Path, away)
	stop := b.looking("")
	problem("is there a TPM")
	move(away, m.Path)
	problem("ratchet key init")
	k, made, err := tpm.Make(t.Context(), m.Path, 0x81525401, nil)
	if !made || err != nil {
		t.Fatal(made, err)
	}
	none()
	s, err := trust.NewSigner(k)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(b.Path("state/device.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if pub, err := trust.ParsePublic(pem); err != nil || pub.ID() != s.Key().ID() {
		t.Errorf("device.pem is not the public half: %v", err)
	}
	move(m.Path, away)
	problem("is there a TPM")
	move(away, m.Path)
	none()
	stop()
}
