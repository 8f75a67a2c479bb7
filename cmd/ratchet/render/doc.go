// Package render writes what the daemon answers as text for a person: the status, the slots, the history,
// an installation and its progress.
//
// Everything here is a function of an answer (agent/control) and of the width to write for, in characters,
// so the texts are held as files in testdata. Answers hold texts from outside; what reaches the terminal
// has passed screen.Plain or screen.Wrap. A line is at most as long as the width, but for a word that is
// longer than it.
package render
