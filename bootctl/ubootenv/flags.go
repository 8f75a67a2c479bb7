package ubootenv

import (
	"strings"
)

// flagsVar is U-Boot's list of what may be done with which variable: "name:attributes" entries between commas, the
// attributes a letter for the type and one for the access (u-boot env/flags.c). The list that is built into U-Boot
// (CONFIG_ENV_FLAGS_LIST_STATIC) is not seen from here.
const flagsVar = ".flags"

// allowed tells whether U-Boot's script can do with our variables what it has to. It cannot count a trial whose
// LEFT it may not overwrite, and forgets a variable whose value is of no allowed type: such a trial would be
// booted for ever. It is no ErrInvalid: nothing is restored over it, a person has to change the list.
func (c codec) allowed(l list) error {
	flags, _ := l.get(flagsVar)
	for _, name := range c.ours() {
		entry, attributes := lookupFlags(flags, name)
		types := "sdx"
		switch {
		case name == orderVar:
			types = "s"
		case strings.HasSuffix(name, "_GOOD"):
			types = "sdxb"
		}
		if len(attributes) > 0 && strings.IndexByte("sdxbim", attributes[0]) >= 0 &&
			strings.IndexByte(types, attributes[0]) < 0 ||
			len(attributes) > 1 && strings.IndexByte("roc", attributes[1]) >= 0 {
			return errorf("the variable %s in U-Boot's environment has %q, and so U-Boot cannot count with %s: "+
				"take that out of %s, at U-Boot's prompt or with fw_setenv", flagsVar, entry, name, flagsVar)
		}
	}
	return nil
}

// lookupFlags is env_attr_lookup: the last entry for name counts. With CONFIG_REGEX names are regular expressions;
// of one of these what stands before its first operator is compared.
func lookupFlags(flags, name string) (entry, attributes string) {
	for _, e := range strings.Split(flags, ",") {
		pattern, attr, _ := strings.Cut(e, ":")
		pattern = strings.TrimSpace(pattern)
		literal, special := pattern, strings.IndexAny(pattern, `^$.[\()|*+?`)
		if special >= 0 {
			literal = pattern[:special]
			if strings.IndexByte("*+?", pattern[special]) >= 0 && special > 0 {
				literal = pattern[:special-1] // the byte before it may be left out
			}
		}
		if pattern == name || special >= 0 && literal != "" && strings.HasPrefix(name, literal) {
			entry, attributes = strings.TrimSpace(e), strings.TrimSpace(attr)
		}
	}
	return entry, attributes
}
