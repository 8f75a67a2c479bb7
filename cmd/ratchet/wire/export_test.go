package wire

// For the tests.
var (
	SignClient      = signClient
	Reach           = reach
	LacksClientKeys = lacksClientKeys
)
