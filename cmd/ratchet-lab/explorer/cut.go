package explorer

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/ratchet-ota/ratchet/hal/sim"
)

// Cut is one power cut, or one failed operation.
type Cut struct {
	// Op is the number of the operation, from 1, counted from the machine's first power-on. Those of
	// the bootloader count too.
	Op   int64
	Mode sim.Mode
	// Keep: the write cache survives. Else a part of it is lost, which the seed chooses.
	Keep bool
	// Fail: the power stays, and the operation fails with an I/O error and a part of its effect.
	Fail bool
}

// String is how replay takes it: 17:torn, 31:after:kept, 12:fails.
func (c Cut) String() string {
	switch {
	case c.Fail:
		return fmt.Sprintf("%d:fails", c.Op)
	case c.Keep:
		return fmt.Sprintf("%d:%v:kept", c.Op, c.Mode)
	}
	return fmt.Sprintf("%d:%v", c.Op, c.Mode)
}

// ParseCut reads what String writes.
func ParseCut(s string) (Cut, error) {
	bad := fmt.Errorf("cannot read the cut %q: OPERATION:before|torn|after[:kept|:lost] or OPERATION:fails is wanted", s)
	parts := strings.Split(s, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return Cut{}, bad
	}
	op, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil || op < 1 {
		return Cut{}, bad
	}
	c := Cut{Op: op}
	switch parts[1] {
	case "before":
		c.Mode = sim.Before
	case "torn":
		c.Mode = sim.Torn
	case "after":
		c.Mode = sim.After
	case "fails":
		c.Fail = true
	default:
		return Cut{}, bad
	}
	if len(parts) == 3 {
		if c.Fail || parts[2] != "kept" && parts[2] != "lost" {
			return Cut{}, bad
		}
		c.Keep = parts[2] == "kept"
	}
	return c, nil
}

// chance is the seed of what this cut loses.
func (c Cut) chance(seed uint64) uint64 {
	x := seed ^ uint64(c.Op)*0x9e3779b97f4a7c15 ^ uint64(c.Mode+1)*0xbf58476d1ce4e5b9
	x ^= x >> 31
	return bits.RotateLeft64(x*0x94d049bb133111eb, 17)
}
