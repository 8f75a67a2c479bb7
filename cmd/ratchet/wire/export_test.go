package wire

// For the tests: the clock of certificates, which a device's clock is handed into.
var (
	Believable  = believable
	ClockBehind = clockBehind
	BuiltAfter  = builtAfter
	ClientTLS   = clientTLS
)
