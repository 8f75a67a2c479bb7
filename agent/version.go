package agent

// Version of the programs of this source tree.
const Version = "0.1.0"
