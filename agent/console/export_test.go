package console

// For the tests: one record as a sentence.
var Text = text
