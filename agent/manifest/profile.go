package manifest

import "github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"

// The device profile says what SUIT knows and a device with storage slots, whose bootloader starts
// the system, does not do: the column refused of the tables of commands and parameters, and the
// elements here, each with the reason that people are told. What is refused so is recognised, shown
// by package dump, and refused with its SUIT reason code and its place. What stands in no table is unknown,
// and refused as that.
const (
	whyDependency = "dependencies between manifests are not supported"
	whyFiles      = "components are slots, not files"
	whyIndex      = "use set-component-index and override-parameters"
	whyLoader     = "loading and starting an image is the bootloader's work"
	whyPolicy     = "when to install is decided by the device's policy"
	whySlots      = "slots are switched by the bootloader"
	whyStored     = "manifests are not components here"
)

// refusedElements are elements of the manifest. All but the first are command sequences.
var refusedElements = map[int64]string{
	suit.KeyComponentID: whyStored,
	8:                   whyLoader,
	9:                   whyLoader,
	15:                  whyDependency,
	18:                  whyDependency,
	24:                  whyDependency,
}

// elementCode is the code with which an element of the profile is refused: all are command sequences
// but manifest-component-id.
func elementCode(key int64) Code {
	if key == suit.KeyComponentID {
		return CodeComponent
	}
	return CodeCommand
}

// lookup returns the row of a supported command, or why there is none.
func lookup(code int64) (command, *Error) {
	c, ok := commands[code]
	switch {
	case code <= -256:
		return command{},
			&Error{Code: CodeCommand, Offset: -1, What: "custom command " + itoa(code) + " is not supported"}
	case !ok:
		return command{}, &Error{Code: CodeCommand, Offset: -1, What: "command " + itoa(code) + " is unknown"}
	case c.refused != "":
		return command{}, &Error{Code: CodeCommand, Offset: -1, What: c.name + " is not supported: " + c.refused}
	}
	return c, nil
}
