package agent_test

import (
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/hal"
)

// lying is storage that loses a write and says nothing, as worn flash does.
type lying struct {
	hal.Blocks
	left *int // writes that are lost
}

type lyingMedium struct {
	hal.Medium
	left *int
}

func (l lying) OpenTarget(path string, running hal.DeviceID) (hal.Medium, error) {
	m, err := l.Blocks.OpenTarget(path, running)
	if err != nil {
		return nil, err
	}
	return lyingMedium{m, l.left}, nil
}

func (m lyingMedium) WriteAt(p []byte, off int64) (int, error) {
	if off >= checkpoint && *m.left > 0 {
		*m.left--
		return len(p), nil
	}
	return m.Medium.WriteAt(p, off)
}

// TestStorageLosesWrites: what was written is not what is there. Only the read-back finds it (I2);
// it is written once more from zero, and where that does not help the target never becomes bootable.
func TestStorageLosesWrites(t *testing.T) {
	for name, lost := range map[string]int{"once": 1, "always": 1 << 30} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 20, func(r *rig) {
				left := lost
				r.options = func(o *agent.Options) { o.Blocks = lying{o.Blocks, &left} }
				r.play(r.release(2, 2))
				story := strings.Join(r.story(), "\n")
				if !strings.Contains(story, "read-back-mismatch") {
					t.Errorf("the read-back found nothing:\n%s", story)
				}
				want := map[string]string{"once": "B", "always": "A"}[name]
				if r.runs() != want {
					t.Errorf("runs %s, want %s", r.runs(), want)
				}
				if name == "always" && (r.state().Slots["B"].Bootable || strings.Contains(story, "armed=yes")) {
					t.Errorf("a slot with lost writes was armed:\n%s", story)
				}
			})
		})
	}
}
