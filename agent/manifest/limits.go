package manifest

// Limits of the profile. A document beyond any of them is refused before memory is spent on it; the
// sum of them bounds what a hostile envelope can cost.
const (
	MaxEnvelope   = 64 << 10 // bytes of an envelope, integrated payloads included
	MaxDepth      = 4        // nested command sequences, the section itself counted
	MaxComponents = 8        // components in one manifest
	MaxCommands   = 64       // commands in one sequence
	MaxTotal      = 1024     // commands in one manifest, all sequences together
	MaxBranches   = 8        // branches of one try-each
	MaxSteps      = 4096     // commands executed by one Resolve, all components together
	MaxFindings   = 64       // findings of one Resolve that are told
	MaxParameters = 32       // parameters in one override-parameters
	MaxURI        = 2 << 10  // bytes of one URI
	MaxMirrors    = 8        // mirrors of one payload
	MaxBlocks     = 8        // authentication blocks of one envelope
	MaxBlock      = 16 << 10 // bytes of one authentication block
	MaxSmall      = 4 << 10  // bytes of one digest, version or identifier in a byte string
	MaxDigest     = 64       // bytes of one digest
	MaxIntegrated = 8        // integrated payloads of one envelope
	MaxName       = 256      // bytes of an integrated payload's name
	MaxParts      = 5        // parts of a component identifier
	MaxPart       = 64       // bytes of one part
	MaxVersion    = 8        // elements of a version
	MaxText       = 16 << 10 // bytes of the text element
	MaxLanguages  = 16       // languages of the text element
	MaxShown      = 1024     // runes of a text that is shown to a person
	MaxEncryption = 4 << 10  // bytes of one encryption-info
	MaxRecipients = 8        // recipients in one encryption-info
	MaxKeyID      = 64       // bytes of the key id of a recipient
	MaxReport     = 32 << 10 // bytes of one report, its signature not counted
	MaxRecords    = 256      // records and claims of one report
	MaxNonce      = 64       // bytes of the nonce of a report
)
