// Package intake reads what others hand to a device, and says what it comes to: offers, the trust root with
// its plans and pulses, and permits. It verifies, decides by package policy, and keeps the book of who may say
// what.
//
// It commits nothing. What a document changes is returned as a value (Change): the executor makes it durable,
// and only then hands it back to be adopted, so that the book never leads the journal. What is durable of the
// book is each document as it was received; a start verifies them again under the newest root.
package intake
