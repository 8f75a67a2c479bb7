//go:build linux

package linux_test

import (
	"context"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/hal/linux"
)

// Neither a command that hangs nor a child of it that holds its output open keeps the daemon from ending: it is ended
// two seconds after the daemon was told to, which may be the reboot itself.
func TestForceCommandHangs(t *testing.T) {
	for name, command := range map[string][]string{
		"hangs":           {"/bin/sh", "-c", "trap '' TERM; sleep 60"},
		"left a child":    {"/bin/sh", "-c", "sleep 60 & exit 0"},
		"child has gone":  {"/bin/sh", "-c", "setsid sleep 5 & exit 0"},
		"prints no end":   {"/bin/sh", "-c", "yes"},
		"does not answer": {"/bin/sh", "-c", "kill -STOP $$"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		began := time.Now()
		err := (&linux.Power{ForceCommand: command}).Force(ctx)
		cancel()
		if took := time.Since(began); took > 4500*time.Millisecond {
			t.Errorf("%s: took %v (%v)", name, took, err)
		}
	}
}
