// Package wire turns a configuration into the parts that a device is made of: the slots and the backend of
// its bootloader, the counter, keys, TLS, the connections, health checks, the journal. It is the one place
// that knows every kind of part, and it decides nothing about updates.
package wire
