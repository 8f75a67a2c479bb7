// Package cli is the command line of a program: verbs with their flags, help, errors in words and exit
// codes. A verb describes itself; a program is a name and a list of verbs.
//
// What a verb reports as an error becomes an exit code in one place, by the error's type: Usage, Refusal,
// ErrIncomplete, and any other. Texts of errors come from anywhere and are made safe to show.
package cli
