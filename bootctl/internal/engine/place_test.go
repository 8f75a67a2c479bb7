package engine_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
)

// cell is a place whose readings are given one by one.
type cell struct {
	reads  [][]byte
	errs   []error
	fails  error
	writes int
}

func (c *cell) String() string { return "the cell" }

func (c *cell) Read() ([]byte, error) {
	data, err := c.reads[0], c.errs[0]
	c.reads, c.errs = c.reads[1:], c.errs[1:]
	return data, err
}

func (c *cell) Write([]byte) error {
	c.writes++
	return c.fails
}

// TestReplace: what must stand there before, and what must afterwards.
func TestReplace(t *testing.T) {
	old, data := []byte("old"), []byte("new")
	for _, c := range []struct {
		name   string
		was    []byte
		reads  [][]byte
		errs   []error
		fails  error
		want   error
		writes int
	}{
		{"replaced", old, [][]byte{old, data}, []error{nil, nil}, nil, nil, 1},
		{"made", nil, [][]byte{nil, data}, []error{nil, nil}, nil, nil, 1},
		{"written by somebody", old, [][]byte{data}, []error{nil}, nil, bootctl.ErrChanged, 0},
		{"made by somebody, empty", nil, [][]byte{{}}, []error{nil}, nil, bootctl.ErrChanged, 0},
		{"gone, it was empty", []byte{}, [][]byte{nil}, []error{nil}, nil, bootctl.ErrChanged, 0},
		{"removed by somebody", old, [][]byte{nil}, []error{fs.ErrNotExist}, nil, bootctl.ErrChanged, 0},
		{"not readable", old, [][]byte{nil}, []error{errIO}, nil, errIO, 0},
		{"not written", old, [][]byte{old}, []error{nil}, errIO, errIO, 1},
		{"reads back as it was", old, [][]byte{old, old}, []error{nil, nil}, nil, bootctl.ErrNotVerified, 1},
		{"does not read back", old, [][]byte{old, nil}, []error{nil, errIO}, nil, bootctl.ErrNotVerified, 1},
	} {
		p := &cell{reads: c.reads, errs: c.errs, fails: c.fails}
		err := engine.Replace(p, c.was, data)
		if (err == nil) != (c.want == nil) || !errors.Is(err, c.want) || p.writes != c.writes {
			t.Errorf("%s: %v, %d writes; want %v, %d", c.name, err, p.writes, c.want, c.writes)
		}
		if c.name == "does not read back" && !errors.Is(err, errIO) {
			t.Errorf("%s: %v does not say why", c.name, err)
		}
	}
}
