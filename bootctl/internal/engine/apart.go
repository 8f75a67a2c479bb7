package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/ratchet-ota/ratchet/hal"
)

// Locate tells where the bytes of a path lie (hal/linux, Blocks.Locate).
type Locate func(path string) (hal.Region, error)

// Apart refuses boot metadata in a file or folder that lies on one of parts, the devices that an update overwrites.
// What cannot be found now is not looked at; without locate nothing is. One that is not there is looked for where it
// would be made.
func Apart(locate Locate, path string, parts []string) error {
	if locate == nil {
		return nil
	}
	r, err := locate(path)
	if errors.Is(err, fs.ErrNotExist) {
		// Its own file system may not be mounted: it would be made on the one below.
		r, err = locate(filepath.Dir(path))
	}
	if err != nil || !r.FS.Known() {
		return nil // whoever reads it says so
	}
	for _, part := range parts {
		if p, err := locate(part); err == nil && p.Self == r.FS {
			return fmt.Errorf("%s lies on %s, which is a slot: an update would overwrite it; move it to a partition "+
				"of its own, or mount that", path, part)
		}
	}
	return nil
}
