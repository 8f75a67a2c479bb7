//go:build linux

package linux

import (
	"errors"
	"fmt"
)

// tpmError is a response code other than TPM_RC_SUCCESS (TPM 2.0 Library, part 2, section 6.6).
type tpmError uint32

// Codes that decide something here; those of format one without their handle, session or parameter.
const (
	tpmHandle        tpmError = 0x08B
	tpmAuthFail      tpmError = 0x08E
	tpmHierarchy     tpmError = 0x085
	tpmBadAuth       tpmError = 0x0A2
	tpmAttributes    tpmError = 0x082
	tpmInitialize    tpmError = 0x100
	tpmFailure       tpmError = 0x101
	tpmDisabled      tpmError = 0x120
	tpmUpgrade       tpmError = 0x12D
	tpmCommandCode   tpmError = 0x143
	tpmNVLocked      tpmError = 0x148
	tpmNVAuth        tpmError = 0x149
	tpmUninitialized tpmError = 0x14A
	tpmNVSpace       tpmError = 0x14B
	tpmNVDefined     tpmError = 0x14C
	tpmNeedsTest     tpmError = 0x153
	tpmLocality      tpmError = 0x907
	tpmYielded       tpmError = 0x908
	tpmTesting       tpmError = 0x90A
	tpmNVRate        tpmError = 0x920
	tpmLockout       tpmError = 0x921
	tpmRetry         tpmError = 0x922
	tpmNVUnavailable tpmError = 0x923
)

// base is the code without the number of the handle, session or parameter that a code of format one
// carries, and without the layer that a resource manager puts above (bits 16 and up).
func (e tpmError) base() tpmError {
	if e&0x80 != 0 {
		return e & 0xBF
	}
	return e & 0xFFF
}

// again tells whether the TPM did nothing and wants to be asked again (part 2, section 6.6.3).
func (e tpmError) again() bool {
	switch e.base() {
	case tpmRetry, tpmYielded, tpmTesting, tpmNVRate:
		return true
	}
	return false
}

// says is what a code means for whoever has to do something about it.
func (e tpmError) says() string {
	switch e.base() {
	case tpmHandle:
		return "there is no such index"
	case tpmAuthFail, tpmBadAuth:
		return "the password is wrong; give the hierarchy's with --auth-file"
	case tpmHierarchy:
		return "the hierarchy is disabled, as firmware does with the platform's before it boots a system"
	case tpmAttributes:
		return "the index has other attributes than the command needs"
	case tpmInitialize:
		return "it was not started; the kernel's driver or the firmware does that"
	case tpmFailure:
		return "it is in failure mode; power the machine off and on, and replace the TPM when that does not help"
	case tpmDisabled, tpmCommandCode:
		return "it does not have this command"
	case tpmUpgrade:
		return "it is in the middle of a firmware upgrade"
	case tpmNVLocked:
		return "the index is locked"
	case tpmNVAuth:
		return "the index does not allow this"
	case tpmUninitialized:
		return "the index was never written"
	case tpmNVSpace:
		return "it has no room for another index; delete one that nobody needs"
	case tpmNVDefined:
		return "the index is there already"
	case tpmNeedsTest, tpmTesting:
		return "it is testing itself"
	case tpmLocality:
		return "the command came from the wrong locality"
	case tpmLockout:
		return "it is locked out after too many wrong passwords; wait for its recovery time, or reset the lockout (tpm2_dictionarylockout --clear-lockout)"
	case tpmNVRate:
		return "it limits the rate of writes, and did so for too long"
	case tpmRetry, tpmYielded:
		return "it was busy, and stayed so"
	case tpmNVUnavailable:
		return "its non-volatile memory cannot be used now; power the machine off and on"
	}
	return "see TPM 2.0 Library, part 2, section 6.6"
}

func (e tpmError) Error() string {
	if e&0xFFFF0000 != 0 {
		return fmt.Sprintf("the TPM's driver or resource manager answers %#x: %s", uint32(e), e.says())
	}
	return fmt.Sprintf("the TPM answers %#x: %s", uint32(e), e.says())
}

// isTPM tells whether err is the code, on whatever handle or parameter.
func isTPM(err error, code tpmError) bool {
	var e tpmError
	return errors.As(err, &e) && e.base() == code
}
