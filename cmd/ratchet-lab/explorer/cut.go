package explorer

import (
	"fmt"
	"math/bits"
	"slices"
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
	// Cache is what becomes of what was not flushed.
	Cache sim.Cache
	// Draw chooses other parts of the cache to lose, at the same operation.
	Draw int
	// Fail: the power stays, and the operation fails with an I/O error and a part of its effect.
	Fail bool
	// Full: the power stays, and there is no room for what the agent writes at this operation; with Stays
	// for nothing that it writes from then on, until the device has come to rest.
	Full, Stays bool
}

// String is how replay takes it: 17:torn (a seeded part of the cache is lost), 17:torn:part:2 (another part),
// 31:after:kept, 31:after:lost, 12:fails, 12:full, 12:full:stays.
func (c Cut) String() string {
	switch {
	case c.Full && c.Stays:
		return fmt.Sprintf("%d:full:stays", c.Op)
	case c.Full:
		return fmt.Sprintf("%d:full", c.Op)
	case c.Fail:
		return fmt.Sprintf("%d:fails", c.Op)
	case c.Draw != 0:
		return fmt.Sprintf("%d:%v:%v:%d", c.Op, c.Mode, c.Cache, c.Draw)
	case c.Cache != sim.LosePart:
		return fmt.Sprintf("%d:%v:%v", c.Op, c.Mode, c.Cache)
	}
	return fmt.Sprintf("%d:%v", c.Op, c.Mode)
}

var caches = []string{sim.LosePart.String(), sim.Keep.String(), sim.LoseAll.String(), sim.LoseApart.String(),
	sim.KeepApart.String()}

// ParseCut reads what String writes.
func ParseCut(s string) (Cut, error) {
	bad := fmt.Errorf("cannot read the cut %q: OPERATION:before|torn|after[:kept|:lost|:part[:N]] or "+
		"OPERATION:fails|full[:stays] is wanted", s)
	parts := strings.Split(s, ":")
	if len(parts) < 2 || len(parts) > 4 {
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
	case "full":
		c.Full, c.Stays = true, len(parts) == 3 && parts[2] == "stays"
		if len(parts) > 2 && !c.Stays || len(parts) > 3 {
			return Cut{}, bad
		}
		return c, nil
	default:
		return Cut{}, bad
	}
	if len(parts) == 4 {
		if c.Draw, err = strconv.Atoi(parts[3]); err != nil || c.Draw < 0 || parts[2] != sim.LosePart.String() {
			return Cut{}, bad
		}
	}
	if len(parts) >= 3 {
		i := slices.Index(caches, parts[2])
		if c.Fail || i < 0 {
			return Cut{}, bad
		}
		c.Cache = sim.Cache(i)
	}
	return c, nil
}

// chance is the seed of what this cut loses.
func (c Cut) chance(seed uint64) uint64 {
	x := seed ^ uint64(c.Op)*0x9e3779b97f4a7c15 ^ uint64(c.Mode+1)*0xbf58476d1ce4e5b9
	x ^= uint64(c.Draw) * 0xd6e8feb86659fd93
	x ^= x >> 31
	return bits.RotateLeft64(x*0x94d049bb133111eb, 17)
}
