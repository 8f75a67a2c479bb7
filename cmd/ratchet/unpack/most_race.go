//go:build race

package unpack

// most is no limit: the race detector takes several times the memory.
const most = 0
