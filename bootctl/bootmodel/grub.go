package bootmodel

import (
	"bytes"
	"errors"
	"io/fs"

	"github.com/ratchet-ota/ratchet/hal"
)

// GRUB is a machine with GRUB and its environment block.
type GRUB struct {
	FS   hal.FS
	Path string
	// Slots are the slots that grub.cfg knows, in its default order. nil means A and B.
	Slots  []string
	Script Script
	// Loads tells whether the kernel of a slot can be loaded. nil means all can.
	Loads func(slot string) bool
}

const (
	grubSignature = "# GRUB Environment Block\n"
	grubSector    = 512
)

// Boot powers the machine on and returns the slot whose kernel is started and its command line. slot
// is "" when none is (RAUC's sample shows its rescue entry then).
func (g GRUB) Boot() (slot, args string, err error) {
	run := g.reference
	if g.Script == RAUC {
		run = g.rauc
	}
	slot, err = run()
	if err != nil || slot == "" {
		return "", "", err
	}
	return slot, cmdline(slot), nil
}

// reference is grub.cfg.
func (g GRUB) reference() (string, error) {
	slots := g.slots()
	vars := map[string]string{"ORDER": join(slots)}
	for _, s := range slots {
		vars[s+"_OK"], vars[s+"_TRY"] = "1", "0"
	}
	if err := g.loadEnv(vars); err != nil {
		return "", err
	}
	for range 2 {
		for _, s := range words(vars["ORDER"]) {
			if vars[s+"_OK"] != "1" || vars[s+"_TRY"] != "0" || !g.knows(s) {
				continue
			}
			if vars[s+"_GOOD"] != "1" {
				vars[s+"_TRY"] = "1"
				saved, err := g.saveEnv(vars, s+"_TRY")
				if err != nil {
					return "", err
				}
				if !saved && vars[s+"_GOOD"] != "" {
					continue // it would be tried for ever
				}
			}
			if g.loads(s) {
				return s, nil
			}
		}
		// No slot is left: clear the confirmed ones; the unknown ones where none is confirmed.
		proven := ""
		for _, s := range words(vars["ORDER"]) {
			if vars[s+"_GOOD"] == "1" {
				proven = "1"
			}
		}
		var changed []string
		for _, s := range words(vars["ORDER"]) {
			if g.knows(s) && vars[s+"_GOOD"] == proven && vars[s+"_OK"] == "1" && vars[s+"_TRY"] != "0" {
				vars[s+"_TRY"] = "0"
				changed = append(changed, s+"_TRY")
			}
		}
		if len(changed) == 0 {
			return "", nil
		}
		if _, err := g.saveEnv(vars, changed...); err != nil {
			return "", err
		}
	}
	return "", nil
}

// rauc is RAUC's contrib/grub.conf.
func (g GRUB) rauc() (string, error) {
	slots := g.slots()
	vars := map[string]string{"ORDER": join(slots)}
	var tries []string
	for _, s := range slots {
		vars[s+"_OK"], vars[s+"_TRY"] = "0", "0"
		tries = append(tries, s+"_TRY")
	}
	if err := g.loadEnv(vars); err != nil {
		return "", err
	}
	chosen, ok, try := "", "", ""
	for _, s := range words(vars["ORDER"]) {
		if g.knows(s) {
			// The sample marks each slot that it looks at, passed over or not.
			ok, try = vars[s+"_OK"], vars[s+"_TRY"]
			vars[s+"_TRY"] = "1"
		}
		if ok == "1" && (try == "0" || try == "") {
			chosen = s
			break
		}
	}
	if chosen == "" {
		for _, s := range slots {
			if vars[s+"_OK"] == "1" && vars[s+"_TRY"] == "1" {
				vars[s+"_TRY"] = "0"
			}
		}
	}
	if _, err := g.saveEnv(vars, tries...); err != nil {
		return "", err
	}
	if chosen == "" || !g.loads(chosen) {
		return "", nil
	}
	return chosen, nil
}

func (g GRUB) slots() []string {
	if g.Slots == nil {
		return []string{"A", "B"}
	}
	return g.Slots
}

func (g GRUB) knows(slot string) bool {
	for _, s := range g.slots() {
		if s == slot {
			return true
		}
	}
	return false
}

func (g GRUB) loads(slot string) bool { return g.Loads == nil || g.Loads(slot) }

func join(s []string) (out string) {
	for i, x := range s {
		if i > 0 {
			out += " "
		}
		out += x
	}
	return out
}

// loadEnv is load_env: it sets what the block holds, as far as it can read it.
func (g GRUB) loadEnv(vars map[string]string) error {
	b, err := g.block()
	if err != nil || b == nil {
		return err
	}
	for p := len(grubSignature); p < len(b); p = lineEnd(b, p) + 1 {
		if b[p] == '#' {
			continue
		}
		name := p
		for p < len(b) && b[p] != '=' {
			p++
		}
		value := p + 1
		if p == len(b) || lineEnd(b, value) >= len(b) {
			break
		}
		vars[string(b[name:p])] = plain(b[value:lineEnd(b, value)])
	}
	return nil
}

// block reads the environment file, whatever its size; nil when GRUB would call it invalid.
func (g GRUB) block() ([]byte, error) {
	f, err := g.FS.Open(g.Path, hal.ReadOnly)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	size := f.Size()
	f.Close()
	b, err := readAt(g.FS, g.Path, 0, size)
	if err != nil || b == nil || !bytes.HasPrefix(b, []byte(grubSignature)) {
		return nil, err
	}
	return b, nil
}

// lineEnd is the index of the newline that ends the line at p, or past the end.
func lineEnd(b []byte, p int) int {
	for p < len(b) && b[p] != '\n' {
		if b[p] == '\\' {
			p++
		}
		p++
	}
	return p
}

func plain(v []byte) string {
	var out []byte
	for i := 0; i < len(v); i++ {
		if v[i] == '\\' {
			i++
		}
		if i < len(v) {
			out = append(out, v[i])
		}
	}
	return string(out)
}

// saveEnv is save_env: set in place or append, then write the sectors of the file one by one. What
// it cannot do leaves the file as it is.
func (g GRUB) saveEnv(vars map[string]string, names ...string) (saved bool, err error) {
	b, err := g.block()
	if err != nil || b == nil {
		return false, err
	}
	for _, name := range names {
		if !setInBlock(b, name, vars[name]) {
			return false, nil
		}
	}
	for off := 0; off < len(b); off += grubSector {
		if err := writeAt(g.FS, g.Path, int64(off), b[off:min(off+grubSector, len(b))]); err != nil {
			return false, err
		}
	}
	return true, nil
}

// setInBlock is grub_envblk_set for values without escapes.
func setInBlock(b []byte, name, value string) bool {
	space := len(b)
	for space > 0 && b[space-1] == '#' {
		space--
	}
	if space == 0 || b[space-1] != '\n' {
		return false
	}
	prefix := []byte(name + "=")
	for p := len(grubSignature); p+len(prefix) < space; p = lineEnd(b, p) + 1 {
		if !bytes.HasPrefix(b[p:], prefix) {
			continue
		}
		from := p + len(prefix)
		to := lineEnd(b, from)
		if to >= len(b) || len(b)-space < len(value)-(to-from) {
			return false
		}
		rest := bytes.Clone(b[to:space])
		n := copy(b[from:], value)
		n += copy(b[from+n:], rest)
		for i := from + n; i < len(b); i++ {
			b[i] = '#'
		}
		return true
	}
	line := append(prefix, value+"\n"...)
	if len(b)-space < len(line) {
		return false
	}
	copy(b[space:], line)
	return true
}

// Environment returns what load_env sets.
func (g GRUB) Environment() (map[string]string, error) {
	vars := map[string]string{}
	return vars, g.loadEnv(vars)
}
