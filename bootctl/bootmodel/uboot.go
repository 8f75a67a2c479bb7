package bootmodel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sort"
	"strconv"
	"strings"

	"github.com/ratchet-ota/ratchet/hal"
)

// Copy is the place of one copy of U-Boot's environment. A negative Offset counts from the end.
type Copy struct {
	Path         string
	Offset, Size int64
}

// UBoot is a board with U-Boot and its environment in one copy or two.
type UBoot struct {
	FS     hal.FS
	Copies []Copy
	// Slots are the slots that the script knows, in its default order. nil means A and B.
	Slots  []string
	Script Script
	// Default is the environment built into U-Boot, which counts when no copy is good. nil means one
	// that has bootcmd and nothing of slots.
	Default map[string]string
	// Loads tells whether the kernel of a slot can be loaded. nil means all can.
	Loads func(slot string) bool
	// Once: stop at the script's reset instead of booting again.
	Once bool
}

// uenv is U-Boot's environment in memory.
type uenv struct {
	vars    map[string]string
	frozen  map[string]bool // variables that the environment's flags let nobody overwrite
	current int             // copy that was imported, -1 for the built-in default
	serial  byte            // env_flags
}

// set is setenv: it changes nothing where the flags forbid it (env/flags.c, env_flags_validate).
func (e *uenv) set(name, value string) bool {
	if e.frozen[name] {
		return false
	}
	e.vars[name] = value
	return true
}

// Boot powers the board on and returns the slot whose kernel is started and its command line. slot
// is "" when none is; err then says why, or is nil when the script resets for ever.
func (u UBoot) Boot() (slot, args string, err error) {
	for range maxResets {
		e, err := u.load()
		if err != nil {
			return "", "", err
		}
		if e.vars["bootcmd"] == "" {
			return "", "", fmt.Errorf("%w: the environment has no bootcmd", ErrPrompt)
		}
		run := u.reference
		if u.Script == RAUC {
			run = u.rauc
		}
		if slot, err = run(&e); err != nil {
			return "", "", err
		}
		if slot != "" {
			return slot, cmdline(slot), nil
		}
		if u.Once {
			break
		}
		if err := u.reset(); err != nil {
			return "", "", err
		}
	}
	return "", "", nil
}

// reset is the script's, which resets the medium, too: its cache is off then (JEDEC eMMC), and what was saved is there.
func (u UBoot) reset() error {
	for i, c := range u.Copies {
		if i > 0 && c.Path == u.Copies[0].Path {
			continue
		}
		if err := settle(u.FS, c.Path); err != nil {
			return err
		}
	}
	return nil
}

// reference is boot.cmd.
func (u UBoot) reference(e *uenv) (string, error) {
	u.defaults(e)
	for _, s := range words(e.vars["BOOT_ORDER"]) {
		left := digit(e.vars["BOOT_"+s+"_LEFT"])
		if !u.knows(s) || left == 0 {
			continue
		}
		if e.vars["BOOT_"+s+"_GOOD"] != "1" {
			switch set := e.set("BOOT_"+s+"_LEFT", strconv.Itoa(left-1)); {
			case !set && e.vars["BOOT_"+s+"_GOOD"] != "":
				continue // a trial that is not counted would never end
			case set:
				if err := u.save(e); err != nil {
					return "", err
				}
			}
		}
		if u.loads(s) {
			return s, nil
		}
	}
	// No slot is left. The confirmed ones are filled again; of slots of which nothing is known all,
	// where none is confirmed. A slot that is known to be sick never.
	proven := ""
	for _, s := range words(e.vars["BOOT_ORDER"]) {
		if e.vars["BOOT_"+s+"_GOOD"] == "1" {
			proven = "1"
		}
	}
	changed := false
	for _, s := range words(e.vars["BOOT_ORDER"]) {
		if u.knows(s) && e.vars["BOOT_"+s+"_GOOD"] == proven && e.vars["BOOT_"+s+"_LEFT"] != "3" {
			e.set("BOOT_"+s+"_LEFT", "3")
			changed = true
		}
	}
	if !changed {
		return "", nil
	}
	return "", u.save(e)
}

// rauc is RAUC's contrib/uboot.sh: the first slot with tries left is counted and saved, all are
// refilled when none is. A kernel that cannot be loaded ends in a reset by U-Boot's watchdog or prompt.
func (u UBoot) rauc(e *uenv) (string, error) {
	u.defaults(e)
	for _, s := range words(e.vars["BOOT_ORDER"]) {
		left := hex(e.vars["BOOT_"+s+"_LEFT"])
		if !u.knows(s) || left == 0 {
			continue
		}
		e.set("BOOT_"+s+"_LEFT", strconv.FormatUint(left-1, 16))
		if err := u.save(e); err != nil {
			return "", err
		}
		if u.loads(s) {
			return s, nil
		}
		if err := u.reset(); err != nil {
			return "", err
		}
		return u.rauc(e)
	}
	for _, s := range u.slots() {
		e.set("BOOT_"+s+"_LEFT", "3")
	}
	return "", u.save(e)
}

func (u UBoot) defaults(e *uenv) {
	if e.vars["BOOT_ORDER"] == "" {
		e.set("BOOT_ORDER", strings.Join(u.slots(), " "))
	}
	for _, s := range u.slots() {
		if e.vars["BOOT_"+s+"_LEFT"] == "" {
			e.set("BOOT_"+s+"_LEFT", "3")
		}
	}
}

func (u UBoot) slots() []string {
	if u.Slots == nil {
		return []string{"A", "B"}
	}
	return u.Slots
}

func (u UBoot) knows(slot string) bool {
	for _, s := range u.slots() {
		if s == slot {
			return true
		}
	}
	return false
}

func (u UBoot) loads(slot string) bool { return u.Loads == nil || u.Loads(slot) }

// digit is how boot.cmd compares: exactly one of 1..9 counts.
func digit(s string) int {
	if len(s) == 1 && s[0] > '0' && s[0] <= '9' {
		return int(s[0] - '0')
	}
	return 0
}

// hex is "test 0x${v} -gt 0": digits as far as they go.
func hex(s string) (n uint64) {
	for _, c := range []byte(s) {
		v := bytes.IndexByte([]byte("0123456789abcdef"), c|0x20)
		if c >= '0' && c <= '9' {
			v = int(c - '0')
		}
		if v < 0 || n > 1<<32 {
			return n
		}
		n = n<<4 | uint64(v)
	}
	return n
}

// load is env_import_redund or env_import, with the copies read first.
func (u UBoot) load() (uenv, error) {
	head := int64(4)
	if len(u.Copies) == 2 {
		head = 5
	}
	var raw [][]byte
	var good []bool
	for _, c := range u.Copies {
		b, err := readAt(u.FS, c.Path, c.Offset, c.Size)
		if err != nil {
			return uenv{}, err
		}
		raw = append(raw, b)
		good = append(good, b != nil && binary.LittleEndian.Uint32(b) == crc32.ChecksumIEEE(b[head:]))
	}
	take := -1
	switch {
	case len(raw) == 1:
		if good[0] {
			take = 0
		}
	case good[0] && good[1]:
		a, b := raw[0][4], raw[1][4]
		take = 0
		if b > a && !(b == 255 && a == 0) || a == 255 && b == 0 {
			take = 1
		}
	case good[0]:
		take = 0
	case good[1]:
		take = 1
	}
	if take < 0 {
		return u.builtIn(), nil
	}
	vars, frozen, ok := himport(raw[take][head:])
	if !ok {
		return u.builtIn(), nil
	}
	e := uenv{vars: vars, frozen: frozen, current: take}
	if len(raw) == 2 {
		e.serial = raw[take][4]
	}
	return e, nil
}

func (u UBoot) builtIn() uenv {
	e := uenv{vars: map[string]string{}, current: -1}
	for k, v := range u.Default {
		e.vars[k] = v
	}
	if u.Default == nil {
		e.vars["bootcmd"] = "source boot.scr"
	}
	return e
}

// himport is U-Boot's himport_r with a NUL as the separator. frozen are the variables that nothing overwrites.
func himport(data []byte) (vars map[string]string, frozen map[string]bool, ok bool) {
	vars, frozen = map[string]string{}, map[string]bool{}
	access := accesses(data)
	for name, how := range access {
		frozen[name] = how == 'r' // it cannot be made either
	}
	d := append(bytes.Clone(data), 0, 0)
	for p := 0; ; {
		for d[p] == ' ' || d[p] == '\t' {
			p++
		}
		end := p + bytes.IndexByte(d[p:], 0)
		item := d[p:end]
		p = end + 1
		if eq := bytes.IndexByte(item, '='); len(item) > 0 && item[0] == '#' {
			// a comment
		} else if eq < 0 || eq == len(item)-1 {
			delete(vars, string(bytes.TrimSuffix(item, []byte("="))))
		} else {
			var value []byte
			for i := eq + 1; i < len(item); i++ {
				if item[i] == '\\' && i+1 < len(item) {
					i++
				}
				value = append(value, item[i])
			}
			if eq == 0 {
				return nil, nil, false
			}
			name := string(item[:eq])
			if !frozen[name] {
				vars[name] = string(value)
				frozen[name] = access[name] == 'o' || access[name] == 'c'
			}
		}
		if p >= len(data) || d[p] == 0 {
			return vars, frozen, true
		}
	}
}

// accesses are the letters that ".flags", wherever it stands, gives to variables (env/flags.c, env_flags_init). Its
// names are taken as they are written.
func accesses(data []byte) map[string]byte {
	access := map[string]byte{}
	for _, item := range bytes.Split(data, []byte{0}) {
		list, found := bytes.CutPrefix(item, []byte(".flags="))
		if !found {
			continue
		}
		for _, e := range strings.Split(string(list), ",") {
			name, attr, _ := strings.Cut(e, ":")
			if attr = strings.TrimSpace(attr); len(attr) > 1 {
				access[strings.TrimSpace(name)] = attr[1]
			}
		}
		break
	}
	return access
}

// save is env_export and env_mmc_save: sorted, escaped, the serial raised, into the other copy.
func (u UBoot) save(e *uenv) error {
	head, target := 4, 0
	if len(u.Copies) == 2 {
		head = 5
		if e.current == 0 {
			target = 1
		}
	}
	c := u.Copies[target]
	b := make([]byte, c.Size)
	names := make([]string, 0, len(e.vars))
	for k := range e.vars {
		names = append(names, k)
	}
	sort.Strings(names)
	out := b[head:head]
	for _, k := range names {
		out = append(out, k...)
		out = append(out, '=')
		for _, x := range []byte(e.vars[k]) {
			if x == '\\' {
				out = append(out, '\\')
			}
			out = append(out, x)
		}
		out = append(out, 0)
	}
	if len(out) >= len(b)-head {
		return fmt.Errorf("saveenv: the environment is too large")
	}
	if len(u.Copies) == 2 {
		e.serial++
		b[4] = e.serial
	}
	binary.LittleEndian.PutUint32(b, crc32.ChecksumIEEE(b[head:]))
	e.current = target
	return writeAt(u.FS, c.Path, c.Offset, b)
}

// Environment returns U-Boot's environment as it stands after loading, before any script.
func (u UBoot) Environment() (map[string]string, error) {
	e, err := u.load()
	return e.vars, err
}
