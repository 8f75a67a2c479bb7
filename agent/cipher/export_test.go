package cipher

import "io"

// Chunk, Wrap, Unwrapped, Derive and OpenGCM show the parts of the package to its tests.
const Chunk = chunk

func Wrap(kek, key []byte) ([]byte, error) { return wrap(kek, key) }

func Unwrapped(kek, wrapped []byte) ([]byte, bool) { return unwrap(kek, wrapped) }

func Derive(secret, salt, protected []byte) ([]byte, error) { return derive(secret, salt, protected) }

func OpenGCM(r io.Reader, key, nonce, aad []byte) (io.Reader, error) {
	return newGCMReader(r, key, nonce, aad)
}
