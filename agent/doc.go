// Package agent carries one update through its life: it accepts an offer, writes the inactive
// slot, arms the bootloader, proves the new system on trial, and confirms it or goes back.
//
// A phase names the one action that may be in progress; the phase is durable before the action
// starts; every action can be run again. What is to be done is decided by package life, a pure
// machine; this package executes it: it commits what a step asks for, performs its one action, and
// hands the result back. What was in progress when the power went is found out again by
// life.Reconcile, a total function of the record, the boot metadata and what really runs.
//
// New wires one device. Its other rooms ask the executor or read what it shows: intake reads offers and
// documents and decides, console answers people, report tells the fleet.
//
// Invariants, cited by number in code, tests and commits:
//
//	I1  At every instant the last confirmed slot is bootable.
//	I2  The target becomes bootable only after each of its parts was read back from the medium in
//	    the same boot.
//	I3  The running slot is never opened for writing.
//	I4  The hardware counter never exceeds what the confirmed slot needs: confirm, then raise.
//	I5  A phase is durable before its action. Sole exception: the plain reboot of a trial whose
//	    journal cannot be written, which only hands the decision back to the bootloader's counter.
//	I6  A transition and its evidence commit together; signatures may follow.
//	I7  Reporting never influences the state of a slot.
//	I8  Reboots and trial boots per update are bounded; a bad digest is quarantined.
//	I9  Nothing unverified reaches boot eligibility, a parser beyond the envelope, or a shell.
//	I10 Evidence is append-only and hash-chained; a loss is visible as a new chain with its reason
//	    and the last known head, never as a silent hole.
//
// Read life/table.go (what happens when), run.go (one step), perform.go (the actions), errand.go (those that
// take long, and what is heard meanwhile), life/reconcile.go
// (what a power cut leaves), in that order.
package agent
