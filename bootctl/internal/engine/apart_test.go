package engine_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
	"github.com/ratchet-ota/ratchet/hal"
)

// TestApart: boot metadata on a file system that an update overwrites is refused; what cannot be told apart is not.
func TestApart(t *testing.T) {
	dev := func(n uint64) hal.DeviceID { return hal.DeviceID{Block: true, Major: n} }
	locate := func(path string) (hal.Region, error) {
		r, ok := map[string]hal.Region{"/a/grubenv": {FS: dev(1)}, "/a": {FS: dev(1)}, "/boot/grubenv": {FS: dev(3)},
			"/odd":   {},
			"/dev/a": {Self: dev(1)}, "/dev/b": {Self: dev(2)}}[path]
		if !ok {
			return r, fs.ErrNotExist
		}
		return r, nil
	}
	parts := []string{"/dev/none", "/dev/b", "/dev/a", "/odd"}
	for path, bad := range map[string]bool{"/a/grubenv": true, "/boot/grubenv": false, "/none": false, "/odd": false,
		"/a/missing": true} {
		err := engine.Apart(locate, path, parts)
		if (err != nil) != bad || bad && !strings.Contains(err.Error(), "/dev/a, which is a slot") {
			t.Errorf("%s: %v", path, err)
		}
		if err := engine.Apart(nil, path, parts); err != nil {
			t.Errorf("%s, without a look: %v", path, err)
		}
	}
}
