package wire

import "bytes"

// What the configuration's files may have, in bytes.
const (
	maxSecret   = 16 << 10  // a password, a token, a word
	maxKey      = 64 << 10  // a key
	maxFwEnv    = 256 << 10 // fw_env.config; what is beyond its own limit is told by its parser
	maxDefaults = 1 << 20   // the default environment
)

// withoutMark is a text without the byte order mark that some editors put before it.
func withoutMark(b []byte) []byte { return bytes.TrimPrefix(b, []byte("\ufeff")) }
