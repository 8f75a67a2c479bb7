// Package daemon is the running device: it assembles the agent from a configuration, runs it beside its
// connections, and answers the technician's verbs on the control socket.
//
// It does not give up on a device. With a configuration that cannot be used it goes on with the last good one,
// in boot-safe mode: nothing is installed, and the running slot is kept bootable. Without a last good one
// nothing is written at all, and the socket says why. Power loss costs nothing here: whatever a device must
// remember is the agent's, but for the copy of the last good configuration, which is replaced as a whole.
package daemon
