// Package life is the life of an update as a pure machine: Step takes what is known and what has
// happened, and returns what is known then, what must become durable, and the one action to perform.
//
//	next, effects := life.Step(state, event)
//
// There is no I/O in it, no clock, no goroutine and no journal; time comes with the event. Package
// agent executes: it makes Effects.Commit durable in one transaction, adopts next only when that
// succeeded, performs Effects.Do, and hands the result back as the next event. Memory therefore never
// leads the journal, and an action never begins before the phase that announces it is durable (I5).
//
// Read table.go first: every row is a phase, what has happened, a condition, and what is done then.
// The rows of a phase are tried in order. What a row does is in the file that is named for the
// phase: idle.go, prepare.go, activate.go, trial.go, wayback.go; start.go and reconcile.go say what
// a power cut leaves, offers.go what becomes of an offer, end.go how an update ends, and budget.go
// how often anything is tried (I8).
//
// What survives a power cut is Stored: the journal and the quarantine file. Live is lost, and
// nothing that safety rests on is in it.
package life
