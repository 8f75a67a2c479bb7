// Package keys reads a person's keys: PEM, COSE_Key, or a file that names a command which signs in a key's
// place. It also says which older names of algorithms a flag admits.
//
// A private key is read where it is used and nowhere kept. A signing command is asked by JSON on its
// standard input, and what it answers is verified before anything is done with it.
package keys
