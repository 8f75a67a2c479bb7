// Package explorer runs the real agent, boot control and slot writer on a simulated machine, boots
// it with models of the bootloaders, and cuts its power at every operation of many scenarios, with
// the write cache kept, lost or lost in part, and again during the recovery.
//
// A case is a scenario, a loader, a seed and up to some cuts. It is played in virtual time, and is the
// same story each time: one goroutine runs at once (GOMAXPROCS 1 in a worker, testing/synctest), every
// operation of the machine has a number, and what a cut loses follows from the seed and the cut alone.
//
// While a case is played, what the agent asks of the machine is watched (watch.go): each call that
// an invariant of package agent speaks about is held against the durable state at this moment. After
// each cut a fork of the machine must come up on a proven slot with everything else failing
// (I1). At rest the whole device is checked (check.go): what runs, what is armed, which end the
// update has and for which reason, and whether the evidence is whole and tells the truth.
//
// Nothing here survives a power loss but the simulated machine and the journal, which is old or new.
package explorer
