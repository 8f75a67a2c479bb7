package manifest

import "github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"

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

// commands is the table of draft-ietf-suit-manifest section 8.4 and its extensions. A code that is
// not in it is unknown.
var commands = map[int64]command{
	suit.CommandVendor:       {"condition-vendor-identifier", condition, formPolicy, true, ""},
	suit.CommandClass:        {"condition-class-identifier", condition, formPolicy, true, ""},
	suit.CommandImageMatch:   {"condition-image-match", condition, formPolicy, true, ""},
	suit.CommandUseBefore:    {"condition-use-before", condition, formPolicy, true, ""},
	suit.CommandSlot:         {"condition-component-slot", condition, formPolicy, true, ""},
	suit.CommandCheckContent: {"condition-check-content", condition, formPolicy, true, ""},
	7:                        {"condition-dependency-integrity", condition, formPolicy, false, whyDependency},
	8:                        {"condition-is-dependency", condition, formPolicy, false, whyDependency},
	11:                       {"directive-process-dependency", directive, formPolicy, false, whyDependency},
	suit.CommandSetIndex:     {"directive-set-component-index", directive, formIndex, true, ""},
	suit.CommandAbort:        {"condition-abort", condition, formPolicy, true, ""},
	suit.CommandTryEach:      {"directive-try-each", directive, formTryEach, true, ""},
	suit.CommandWrite:        {"directive-write", directive, formPolicy, false, ""},
	suit.CommandSetParams:    {"directive-set-parameters", directive, formParams, false, ""},
	suit.CommandOverride:     {"directive-override-parameters", directive, formParams, true, ""},
	suit.CommandFetch:        {"directive-fetch", directive, formPolicy, false, ""},
	suit.CommandCopy:         {"directive-copy", directive, formPolicy, false, ""},
	23:                       {"directive-invoke", directive, formPolicy, false, whyLoader},
	suit.CommandDevice:       {"condition-device-identifier", condition, formPolicy, true, ""},
	suit.CommandImageDiffers: {"condition-image-not-match", condition, formPolicy, true, ""},
	suit.CommandBattery:      {"condition-minimum-battery", condition, formPolicy, true, ""},
	suit.CommandAuthorized:   {"condition-update-authorized", condition, formPolicy, true, ""},
	suit.CommandVersion:      {"condition-version", condition, formPolicy, true, ""},
	29:                       {"directive-wait", directive, formPolicy, false, whyPolicy},
	31:                       {"directive-swap", directive, formPolicy, false, whySlots},
	suit.CommandRunSequence:  {"directive-run-sequence", directive, formSequence, true, ""},
	33:                       {"directive-unlink", directive, formPolicy, false, whyDependency},
	suit.CommandMultiple:     {"directive-override-multiple", directive, formMultiple, false, ""},
	35:                       {"directive-copy-params", directive, formOther, false, whyIndex},
}

// elements names the keys of the manifest, the refused ones too. Severable ones have the same key in
// the envelope.
var elements = map[int64]string{
	1: "manifest-version", 2: "manifest-sequence-number", 3: "common", 4: "reference-uri",
	suit.KeyComponentID: "manifest-component-id", 6: "set-version", suit.KeyValidate: "validate",
	8: "load", 9: "invoke", suit.KeyCoSWID: "coswid", 15: "dependency-resolution", suit.KeyFetch: "payload-fetch",
	18: "candidate-verification", suit.KeyInstall: "install", suit.KeyText: "text", 24: "uninstall",
}
