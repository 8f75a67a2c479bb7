// Package config is the daemon's configuration file: strict TOML, what is wrong with it, and what it says
// about the device (Facts) and about when it may be updated (Rules).
//
// A configuration that is given out was checked, so that a mistake is found at "ratchet daemon
// --check-config" and not at the first update. What the file names (keys, certificates, slots) is not opened
// here: that is wiring.
package config
