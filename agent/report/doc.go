// Package report carries what the device tells its fleet: the evidence, in order and at least once, the SUIT
// report of the last procedure, and the status. It reads the journal and the executor's view, and has no say
// in what the agent does (I7).
//
// What outlives a power cut is the number up to which evidence was handed over. It is noted in batches: after
// a cut some records are sent twice, none is left out.
package report
