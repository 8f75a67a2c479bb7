package engine

// Take, DecodeShadow and EncodeShadow are for tests of what a backend sees the effects of only.
var (
	Take         = take
	DecodeShadow = decodeShadow
	EncodeShadow = encodeShadow
)
