package hook

// ParseState is the decoder of a hook's output, for its fuzz target.
var ParseState = parseState
