// Package suit holds the numbers of SUIT and of the CBOR and COSE below it, and the one writer of
// deterministic CBOR: what the reader on the device (package manifest), the desk (package author)
// and whoever shows an envelope (package dump) must agree on. It decides nothing.
//
// Numbers that have no name here are of what the device profile refuses; package manifest lists them.
package suit

// TagEnvelope tags a SUIT envelope (draft-ietf-suit-manifest section 8.2).
const TagEnvelope = 107

// CBOR major types (RFC 8949 section 3.1).
const (
	MajorUint  = 0
	MajorNint  = 1
	MajorBytes = 2
	MajorText  = 3
	MajorArray = 4
	MajorMap   = 5
	MajorTag   = 6
	MajorOther = 7
)

// Keys of the envelope (draft-ietf-suit-manifest section 8.3); the severable ones are also keys of
// the manifest.
const (
	KeyAuthentication = 2
	KeyManifest       = 3
	KeyCoSWID         = 14
	KeyFetch          = 16 // payload-fetch
	KeyInstall        = 20
	KeyText           = 23
)

// Keys of the manifest that are not envelope elements too.
const (
	KeyComponentID = 5
	KeyValidate    = 7
)

// Commands.
const (
	CommandVendor       = 1
	CommandClass        = 2
	CommandImageMatch   = 3
	CommandUseBefore    = 4
	CommandSlot         = 5
	CommandCheckContent = 6
	CommandSetIndex     = 12
	CommandAbort        = 14
	CommandTryEach      = 15
	CommandWrite        = 18
	CommandSetParams    = 19
	CommandOverride     = 20
	CommandFetch        = 21
	CommandCopy         = 22
	CommandDevice       = 24
	CommandImageDiffers = 25
	CommandBattery      = 26
	CommandAuthorized   = 27
	CommandVersion      = 28
	CommandRunSequence  = 32
	CommandMultiple     = 34
)

// Parameters.
const (
	ParameterVendor      = 1
	ParameterClass       = 2
	ParameterDigest      = 3
	ParameterUseBefore   = 4
	ParameterSlot        = 5
	ParameterStrictOrder = 12
	ParameterSoftFailure = 13
	ParameterSize        = 14
	ParameterContent     = 18
	ParameterEncryption  = 19
	ParameterURI         = 21
	ParameterSource      = 22
	ParameterDevice      = 24
	ParameterFetchArgs   = 25
	ParameterBattery     = 26
	ParameterPriority    = 27
	ParameterVersion     = 28
)

// Keys of fetch-arguments, which SUIT leaves to the implementation.
const (
	ArgumentMirrors     = 1 // array of URIs with the same payload
	ArgumentEncoding    = 2
	ArgumentPayloadSize = 3 // bytes to fetch
)

// COSE header labels (RFC 9052 section 3.1, RFC 9053 section 6).
const (
	HeaderAlg       = 1
	HeaderKeyID     = 4
	HeaderIV        = 5
	HeaderEphemeral = -1
	HeaderSalt      = -20
)

// Keys of a report, of its result, and of capabilities.
const (
	ReportNonce      = 2
	ReportRecords    = 3
	ReportResult     = 4
	ReportCode       = 5
	ReportRecord     = 6
	ReportReason     = 7
	ReportCapability = 8
	ReportReference  = 99
)

// Keys of a text map (draft-ietf-suit-manifest section 8.4.4).
const (
	TextDescription = 1
	TextUpdate      = 2
)
