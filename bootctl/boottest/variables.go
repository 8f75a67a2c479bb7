package boottest

import (
	"encoding/binary"
	"io/fs"
	"path"
	"slices"

	"github.com/ratchet-ota/ratchet/hal"
)

// varDir is where a Disk keeps UEFI variables, as efivarfs shows them.
const varDir = "/efivars"

// Variables are the UEFI variables of a machine with this disk. Each change is one step, durable at
// once: a cut leaves the old variable or the new one.
type Variables struct{ d *Disk }

var _ hal.Variables = Variables{}

// Variables returns them.
func (d *Disk) Variables() Variables { return Variables{d} }

// Names implements hal.Variables.
func (v Variables) Names() ([]string, error) { return v.d.List(varDir) }

// Get implements hal.Variables.
func (v Variables) Get(name string) (uint32, []byte, error) {
	if v.d.Opened != nil {
		v.d.Opened(name, hal.ReadOnly)
	}
	b := v.d.Get(path.Join(varDir, name))
	if b == nil {
		return 0, nil, &fs.PathError{Op: "get", Path: name, Err: fs.ErrNotExist}
	}
	return binary.LittleEndian.Uint32(b), b[4:], nil
}

// Set implements hal.Variables.
func (v Variables) Set(name string, attributes uint32, data []byte) error {
	if err := v.d.step("variable " + name); err != nil {
		return err
	}
	v.Put(name, attributes, data)
	v.d.traced("variable " + name)
	return nil
}

// Put is Set without a step: behind everybody's back.
func (v Variables) Put(name string, attributes uint32, data []byte) {
	file := path.Join(varDir, name)
	v.d.init()
	delete(v.d.names, file)
	delete(v.d.durable, file)
	if len(data) > 0 {
		v.d.Put(file, slices.Concat(binary.LittleEndian.AppendUint32(nil, attributes), data))
	}
}

// Dump is all of them.
func (v Variables) Dump() (out []byte) {
	names, _ := v.Names()
	for _, n := range names {
		out = append(append(append(out, n...), '\n'), v.d.Get(path.Join(varDir, n))...)
	}
	return out
}
