package sim

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"

	"github.com/ratchet-ota/ratchet/hal"
)

// variable is one UEFI variable.
type variable struct {
	attributes uint32
	data       []byte
}

type variables struct {
	w *World
	l *life
}

var _ hal.Variables = variables{}

// Variables returns hal.Variables of the machine: each change is durable at once, old or new after a cut.
func (w *World) Variables() hal.Variables {
	w.mu.Lock()
	defer w.mu.Unlock()
	return variables{w, w.life}
}

// PutVariable puts a variable there behind everybody's back; without data it is not there any more.
func (w *World) PutVariable(name string, attributes uint32, data []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.putVariable(name, attributes, data)
}

func (w *World) putVariable(name string, attributes uint32, data []byte) {
	if len(data) == 0 {
		delete(w.vars, name)
		return
	}
	w.vars[name] = variable{attributes, bytes.Clone(data)}
}

func (v variables) Names() ([]string, error) {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	if err := v.w.alive(v.l); err != nil {
		return nil, err
	}
	return sorted(v.w.vars), nil
}

func (v variables) Get(name string) (uint32, []byte, error) {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	if err := v.w.alive(v.l); err != nil {
		return 0, nil, err
	}
	x, ok := v.w.vars[name]
	if !ok {
		return 0, nil, &fs.PathError{Op: "get", Path: name, Err: fs.ErrNotExist}
	}
	return x.attributes, bytes.Clone(x.data), nil
}

func (v variables) Set(name string, attributes uint32, data []byte) error {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	return v.w.do(v.l, "variable", fmt.Sprintf("%s %x", name, data), func(part *rand.Rand) error {
		if part == nil || part.IntN(2) == 0 {
			v.w.putVariable(name, attributes, data)
		}
		return nil
	})
}
