package transport

import "strings"

// Shown is what an error or a log may say of an address: scheme, host and path, without user information, query and
// fragment, where secrets are kept; at most 200 bytes. It takes any text, also one that is no address.
func Shown(address string) string {
	s, _, _ := strings.Cut(address, "#")
	s, _, _ = strings.Cut(s, "?")
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		scheme, _, ok := strings.Cut(s, "://")
		if s = s[i+1:]; ok && len(scheme) <= 8 {
			s = scheme + "://" + s
		}
	}
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}
