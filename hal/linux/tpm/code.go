//go:build linux

package tpm

import (
	"errors"
	"fmt"
)

// responseCode is a response code other than TPM_RC_SUCCESS (TPM 2.0 Library, part 2, section 6.6).
type responseCode uint32

// Codes that decide something here; those of format one without their handle, session or parameter.
const (
	rcHandle        responseCode = 0x08B
	rcScheme        responseCode = 0x092
	rcCurve         responseCode = 0x0A6
	rcAuthFail      responseCode = 0x08E
	rcHierarchy     responseCode = 0x085
	rcBadAuth       responseCode = 0x0A2
	rcAttributes    responseCode = 0x082
	rcInitialize    responseCode = 0x100
	rcFailure       responseCode = 0x101
	rcDisabled      responseCode = 0x120
	rcUpgrade       responseCode = 0x12D
	rcCommandCode   responseCode = 0x143
	rcNVLocked      responseCode = 0x148
	rcNVAuth        responseCode = 0x149
	rcUninitialized responseCode = 0x14A
	rcNVSpace       responseCode = 0x14B
	rcNVDefined     responseCode = 0x14C
	rcNeedsTest     responseCode = 0x153
	rcObjectMemory  responseCode = 0x902
	rcLocality      responseCode = 0x907
	rcYielded       responseCode = 0x908
	rcTesting       responseCode = 0x90A
	rcNVRate        responseCode = 0x920
	rcLockout       responseCode = 0x921
	rcRetry         responseCode = 0x922
	rcNVUnavailable responseCode = 0x923
)

// base is the code without the number of the handle, session or parameter that a code of format one
// carries, and without the layer that a resource manager puts above (bits 16 and up).
func (e responseCode) base() responseCode {
	if e&0x80 != 0 {
		return e & 0xBF
	}
	return e & 0xFFF
}

// again tells whether the TPM did nothing and wants to be asked again (part 2, section 6.6.3).
func (e responseCode) again() bool {
	switch e.base() {
	case rcRetry, rcYielded, rcTesting, rcNVRate:
		return true
	}
	return false
}

// says is what a code means for whoever has to do something about it.
func (e responseCode) says() string {
	switch e.base() {
	case rcHandle:
		return "there is nothing at this index or handle"
	case rcAuthFail, rcBadAuth:
		return "the password is wrong; give the hierarchy's with --auth-file"
	case rcHierarchy:
		return "the hierarchy is disabled, as firmware does with the platform's before it boots a system"
	case rcAttributes:
		return "what is there has other attributes than the command needs"
	case rcInitialize:
		return "it was not started; the kernel's driver or the firmware does that"
	case rcFailure:
		return "it is in failure mode; power the machine off and on, and replace the TPM when that does not help"
	case rcDisabled, rcCommandCode:
		return "it does not have this command"
	case rcUpgrade:
		return "it is in the middle of a firmware upgrade"
	case rcNVLocked:
		return "the index is locked"
	case rcNVAuth:
		return "the index does not allow this"
	case rcUninitialized:
		return "the index was never written"
	case rcNVSpace:
		return "it has no room for another index or key; delete an unused one"
	case rcNVDefined:
		return "something is there already"
	case rcNeedsTest, rcTesting:
		return "it is testing itself"
	case rcLocality:
		return "the command came from the wrong locality"
	case rcLockout:
		return "it is locked out after too many wrong passwords; wait for its recovery time, or reset the lockout " +
			"(tpm2_dictionarylockout --clear-lockout)"
	case rcNVRate:
		return "it limits the rate of writes, and did so for too long"
	case rcRetry, rcYielded:
		return "it was busy, and stayed so"
	case rcScheme, rcCurve:
		return "it does not have ECDSA with SHA-256 on P-256"
	case rcObjectMemory:
		return "it has no room for another key that is loaded; unload those left (tpm2_flushcontext --transient-object)"
	case rcNVUnavailable:
		return "its non-volatile memory cannot be used now; power the machine off and on"
	}
	return "see TPM 2.0 Library, part 2, section 6.6"
}

func (e responseCode) Error() string {
	if e&0xFFFF0000 != 0 {
		return fmt.Sprintf("the TPM's driver or resource manager answers %#x: %s", uint32(e), e.says())
	}
	return fmt.Sprintf("the TPM answers %#x: %s", uint32(e), e.says())
}

// isCode tells whether err is the code, on whatever handle or parameter.
func isCode(err error, code responseCode) bool {
	var e responseCode
	return errors.As(err, &e) && e.base() == code
}
