package wire

// For the tests.
var (
	SignClient      = signClient
	LacksClientKeys = lacksClientKeys
)
