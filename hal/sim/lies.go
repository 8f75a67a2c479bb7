package sim

import (
	"math/rand/v2"
	"path"
	"slices"
)

// sync is a flush that a process asks for, which the medium may lie about.
func (s *store) sync(part *rand.Rand) {
	if s.lies == 0 || part != nil {
		s.flush(part)
		return
	}
	if s.lied = append(s.lied, len(s.pending)); len(s.lied) <= s.lies {
		return
	}
	n := s.lied[0]
	for _, c := range s.pending[:n] {
		if !c.ghost {
			s.apply(c, nil, s.grain)
		}
	}
	s.pending, s.lied = slices.Clone(s.pending[n:]), s.lied[1:]
	for i := range s.lied {
		s.lied[i] -= n
	}
}

// SetLies lets the medium of a disk or a file say of its last n flushes that they are done, and lose them with the
// power, as a whole or in part.
func (w *World) SetLies(name string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.disks[name]; d != nil {
		d.lies = n
	}
	if f := w.fs.now[path.Clean(name)]; f != nil {
		f.lies = n
	}
}
