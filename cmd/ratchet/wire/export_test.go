package wire

import (
	"crypto/tls"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/transport/secure"
)

// For the tests: the clock of certificates, which a device's clock is handed into.
var (
	Believable  = believable
	ClockBehind = clockBehind
	BuiltAfter  = builtAfter
)

// ClientTLS is what a connection is made of now.
func ClientTLS(c *config.Config, table string, files secure.Files) (*tls.Config, error) {
	return (&material{c: c}).tls(table, files)()
}
