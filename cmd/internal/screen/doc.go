// Package screen is what goes to a person's terminal: what a terminal can do, safe text, and numbers
// in words.
//
// Texts of a manifest, a device, a health check or a bootloader come from outside and reach a
// terminal, and must not command it. Whatever shows one passes it through Plain, Wrap or Lines. The
// only control sequences that a program writes are the constants of this package and the one that
// ends a line of progress. Colours and drawing are for terminals alone: a pipe gets plain lines.
package screen
