package witness

// For the tests.
var Decode = decode
