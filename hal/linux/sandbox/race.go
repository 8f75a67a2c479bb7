//go:build race

package sandbox

// unlimited: the race detector takes several times the memory, so that no process is limited in it.
const unlimited = true
