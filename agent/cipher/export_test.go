package cipher

import "io"

// Chunk, Wrap, Unwrapped, Derive and the others show the parts of the package to its tests.
const Chunk = chunk

func Wrap(kek, key []byte) ([]byte, error) { return wrap(kek, key) }

func Unwrapped(kek, wrapped []byte) ([]byte, bool) { return unwrap(kek, wrapped) }

func Derive(secret, salt, protected []byte) ([]byte, error) { return derive(secret, salt, protected) }

func OpenGCM(r io.Reader, key, nonce, aad []byte) (io.Reader, error) {
	return newGCMReader(r, key, nonce, aad)
}

// MaxGCM is how long a ciphertext may be; OpenGCMAfter is OpenGCM behind so many bytes of it.
const MaxGCM = maxGCM

func OpenGCMAfter(total uint64, r io.Reader, key, nonce []byte) (io.Reader, error) {
	g, err := newGCMReader(r, key, nonce, nil)
	g.total = total
	return g, err
}

func Longer(total uint64, n int) (uint64, error) { return longer(total, n) }

func EncStructure(protected []byte) []byte { return encStructure(protected) }

// ContentKey is the key that Unwrap found.
func ContentKey(s Stream) []byte { return s.key }
