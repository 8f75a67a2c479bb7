// Package pbes2 encrypts a private key with a passphrase and opens it again: PKCS #8
// EncryptedPrivateKeyInfo (RFC 5958 section 3) under PBES2 (RFC 8018 section 6.2), which OpenSSL reads and
// writes as PEM "ENCRYPTED PRIVATE KEY".
//
// It is ASN.1 around the standard library's AES and PBKDF2 and golang.org/x/crypto's scrypt. A library for
// the whole exists (github.com/youmark/pkcs8); it takes a typed key and so none of ML-DSA, bounds no cost,
// and panics on a damaged file.
//
// What a file asks for is bounded before anything is computed. PBES2 protects no integrity: a damaged file
// cannot be told from a wrong passphrase, and nothing here claims to.
package pbes2
