package manifest

// kind separates what may fail softly from what may not: a failed condition is handed to the
// enclosing sequence, a failed directive aborts always (draft-ietf-suit-manifest section 6.4).
type kind int

const (
	condition kind = iota
	directive
)

// form is the shape of a command's argument.
type form int

const (
	formPolicy   form = iota // reporting policy, an unsigned integer; a hint for reports only
	formIndex                // component index: integer, array or true
	formTryEach              // array of sequences, the last may be nil
	formSequence             // one sequence
	formParams               // map of parameters
	formMultiple             // map of parameters by component index
	formOther                // of a command that is not supported
)

// command is one row of the command table.
type command struct {
	name    string
	kind    kind
	form    form
	shared  bool   // may stand in the shared sequence: no side effect but on parameters
	refused string // why the device profile does not do it, "" = it does
}

// Commands that other code names.
const (
	cmdVendor       = 1
	cmdClass        = 2
	cmdImageMatch   = 3
	cmdUseBefore    = 4
	cmdSlot         = 5
	cmdCheckContent = 6
	cmdSetIndex     = 12
	cmdAbort        = 14
	cmdTryEach      = 15
	cmdWrite        = 18
	cmdSetParams    = 19
	cmdOverride     = 20
	cmdFetch        = 21
	cmdCopy         = 22
	cmdDevice       = 24
	cmdImageDiffers = 25
	cmdBattery      = 26
	cmdAuthorized   = 27
	cmdVersion      = 28
	cmdRunSequence  = 32
	cmdMultiple     = 34
)

// commands is the table of draft-ietf-suit-manifest section 8.4 and its extensions. A code that is
// not in it is unknown.
var commands = map[int64]command{
	cmdVendor:       {"condition-vendor-identifier", condition, formPolicy, true, ""},
	cmdClass:        {"condition-class-identifier", condition, formPolicy, true, ""},
	cmdImageMatch:   {"condition-image-match", condition, formPolicy, true, ""},
	cmdUseBefore:    {"condition-use-before", condition, formPolicy, true, ""},
	cmdSlot:         {"condition-component-slot", condition, formPolicy, true, ""},
	cmdCheckContent: {"condition-check-content", condition, formPolicy, true, ""},
	7:               {"condition-dependency-integrity", condition, formPolicy, false, whyDependency},
	8:               {"condition-is-dependency", condition, formPolicy, false, whyDependency},
	11:              {"directive-process-dependency", directive, formPolicy, false, whyDependency},
	cmdSetIndex:     {"directive-set-component-index", directive, formIndex, true, ""},
	cmdAbort:        {"condition-abort", condition, formPolicy, true, ""},
	cmdTryEach:      {"directive-try-each", directive, formTryEach, true, ""},
	cmdWrite:        {"directive-write", directive, formPolicy, false, ""},
	cmdSetParams:    {"directive-set-parameters", directive, formParams, false, ""},
	cmdOverride:     {"directive-override-parameters", directive, formParams, true, ""},
	cmdFetch:        {"directive-fetch", directive, formPolicy, false, ""},
	cmdCopy:         {"directive-copy", directive, formPolicy, false, ""},
	23:              {"directive-invoke", directive, formPolicy, false, whyLoader},
	cmdDevice:       {"condition-device-identifier", condition, formPolicy, true, ""},
	cmdImageDiffers: {"condition-image-not-match", condition, formPolicy, true, ""},
	cmdBattery:      {"condition-minimum-battery", condition, formPolicy, true, ""},
	cmdAuthorized:   {"condition-update-authorized", condition, formPolicy, true, ""},
	cmdVersion:      {"condition-version", condition, formPolicy, true, ""},
	29:              {"directive-wait", directive, formPolicy, false, whyPolicy},
	31:              {"directive-swap", directive, formPolicy, false, whySlots},
	cmdRunSequence:  {"directive-run-sequence", directive, formSequence, true, ""},
	33:              {"directive-unlink", directive, formPolicy, false, whyDependency},
	cmdMultiple:     {"directive-override-multiple", directive, formMultiple, false, ""},
	35:              {"directive-copy-params", directive, formOther, false, whyIndex},
}

// elements names the keys of the manifest, the refused ones too. Severable ones have the same key in
// the envelope.
var elements = map[int64]string{
	1: "manifest-version", 2: "manifest-sequence-number", 3: "common", 4: "reference-uri",
	keyComponentID: "manifest-component-id", 6: "set-version", keyValidate: "validate", 8: "load", 9: "invoke",
	keyCoSWID: "coswid", 15: "dependency-resolution", keyFetch: "payload-fetch",
	18: "candidate-verification", keyInstall: "install", keyText: "text", 24: "uninstall",
}
