package hook

import (
	"errors"
	"strconv"
	"strings"

	"github.com/ratchet-ota/ratchet/bootctl"
)

// maxOutput bounds what a hook may print, in bytes.
const maxOutput = 16 << 10

// parseState reads the output of the verb state. It is strict: what does not follow the contract to
// the letter is an error, since a misread state could disable the only slot that boots.
func parseState(out []byte, slots []bootctl.Slot) (bootctl.State, error) {
	values, err := parseLines(out)
	if err != nil {
		return bootctl.State{}, err
	}
	p := parser{values: values}
	if v := p.text("version"); v != "1" && p.err == nil {
		return bootctl.State{}, errorf("it speaks version %q of the contract, 1 is wanted", v)
	}
	s := bootctl.State{Slots: map[bootctl.Slot]bootctl.SlotState{}}
	for _, slot := range slots {
		key := string(slot) + "."
		s.Slots[slot] = bootctl.SlotState{
			Bootable:  p.flag(key + "bootable"),
			Confirmed: p.flag(key + "confirmed"),
			Tries:     p.number(key+"tries", -1, bootctl.MaxTries),
			Exhausted: p.optionalFlag(key + "exhausted"),
		}
	}
	s.Next = bootctl.Slot(p.text("next"))
	s.Caps = bootctl.Caps{
		Backend:         "hook",
		Layout:          p.optional("layout"),
		PowerSafe:       p.flag("power-safe"),
		Weakness:        p.optional("weakness"),
		MaxTries:        p.number("max-tries", 1, bootctl.MaxTries),
		CountsConfirmed: p.optionalFlag("counts-confirmed"),
		Watchdog:        p.optionalFlag("watchdog"),
		RebootArg:       p.optional("reboot-arg"),
	}
	if s.Caps.Layout == "" {
		s.Caps.Layout = "behind a hook"
	}
	if p.err != nil {
		return bootctl.State{}, p.err
	}
	for key := range p.values {
		return bootctl.State{}, errorf("the key %q is not known", key)
	}
	return s, check(s)
}

// check refuses a state that contradicts itself.
func check(s bootctl.State) error {
	if s.Caps.PowerSafe != (s.Caps.Weakness == "") {
		return errors.New("power-safe and weakness contradict each other")
	}
	bootable := false
	for slot, st := range s.Slots {
		bootable = bootable || st.Bootable
		if st.Bootable && (st.Tries == 0 || st.Exhausted) {
			return errorf("slot %s is bootable with no tries left", slot)
		}
	}
	if st, known := s.Slots[s.Next]; s.Next != "" && (!known || !st.Bootable) {
		return errorf("the next slot %q is not bootable", string(s.Next))
	}
	if s.Next == "" && bootable {
		return errors.New("a slot is bootable, but none is next")
	}
	return nil
}

func parseLines(out []byte) (map[string]string, error) {
	if len(out) > maxOutput {
		return nil, errorf("more than %d bytes", maxOutput)
	}
	text, ended := strings.CutSuffix(string(out), "\n")
	if !ended {
		return nil, errors.New("the last line does not end")
	}
	values := map[string]string{}
	for i, line := range strings.Split(text, "\n") {
		for _, c := range []byte(line) {
			if c < ' ' || c > '~' {
				return nil, errorf("line %d has the byte %#02x", i+1, c)
			}
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || key == "" {
			return nil, errorf("line %d is not key=value", i+1)
		}
		if _, twice := values[key]; twice {
			return nil, errorf("the key %q is there twice", key)
		}
		values[key] = value
	}
	return values, nil
}

// parser takes values out of a map, so that what is left is unknown, and keeps the first error.
type parser struct {
	values map[string]string
	err    error
}

func (p *parser) take(key string) (string, bool) {
	v, ok := p.values[key]
	delete(p.values, key)
	return v, ok
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = errorf(format, args...)
	}
}

func (p *parser) text(key string) string {
	v, ok := p.take(key)
	if !ok {
		p.fail("the key %q is missing", key)
	}
	return v
}

func (p *parser) optional(key string) string {
	v, _ := p.take(key)
	return v
}

func (p *parser) flag(key string) bool {
	v := p.text(key)
	if v != "0" && v != "1" {
		p.fail("%s is %q, 0 or 1 is wanted", key, v)
	}
	return v == "1"
}

func (p *parser) optionalFlag(key string) bool {
	if _, ok := p.values[key]; !ok {
		return false
	}
	return p.flag(key)
}

func (p *parser) number(key string, low, high int) int {
	v := p.text(key)
	n, err := strconv.Atoi(v)
	if err != nil || strconv.Itoa(n) != v || n < low || n > high {
		p.fail("%s is %q, %d to %d is wanted", key, v, low, high)
	}
	return n
}
