//go:build linux

package tpm

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"time"
)

// The range of persistent handles that the owner gives (TPM 2.0 Library, part 2, section 7.8; TCG Registry of Reserved
// TPM 2.0 Handles and Localities, section 2.3).
const (
	FirstHandle = 0x81000000
	LastHandle  = 0x817FFFFF
)

// signTime is the longest that one signature may take, with all that comes before it: other programs' commands, a TPM
// that asks to be asked again.
const signTime = 20 * time.Second

var (
	// ErrNoKey: there is nothing at the handle. A key is never made in passing: another key would be another device to
	// whoever knows it by its key.
	ErrNoKey = errors.New("the TPM has no key there: it was never made, or the TPM was cleared")
	// ErrKind: what is at the handle is no key as Make makes it.
	ErrKind = errors.New("what the TPM has there cannot be used as a key; name another handle")
)

// Key is a signing key in a TPM 2.0 at a persistent handle: ECDSA on P-256 with SHA-256. It implements crypto.Signer;
// its methods may be called from any goroutine. The TPM is opened for each signature, and not kept open.
//
// # Who can do what
//
// The TPM has drawn the key and never gives it out: fixedTPM, fixedParent, sensitiveDataOrigin (part 1, section 25.6).
// It signs any digest, so whoever may open the TPM's device may have it sign. It has no password: one would lie in a
// file beside the configuration, for the same users to read as the device, and would be one more thing to lose. Not
// restricted, since COSE and TLS sign what is no structure of the TPM; noDA, since without a password there is nothing
// to guess. TPM2_Certify is possible with the empty password, so an attestation key can vouch for it.
//
// # What survives what
//
//   - A clear of the TPM (TPM2_Clear, the firmware's menu) removes the key for ever: the seed that it came from is
//     drawn anew. So does TPM2_EvictControl, as nobody keeps the number that it was made from (Make).
//   - Signing changes nothing, so a power cut in it does no harm.
type Key struct {
	path   string
	handle uint32
	pub    *ecdsa.PublicKey
}

var _ crypto.Signer = (*Key)(nil)

// Open reads the public half of the key at a handle of the TPM at path, a device or the unix socket of a TPM that is a
// program. Errors: ErrNoKey, ErrKind, and those of the TPM in words.
func Open(ctx context.Context, path string, handle uint32) (*Key, error) {
	k := &Key{path: path, handle: handle}
	err := use(ctx, path, k.read(ctx))
	if err != nil {
		return nil, k.cannot("use", err)
	}
	return k, nil
}

// read is TPM2_ReadPublic (part 3, section 12.4).
func (k *Key) read(ctx context.Context) func(device) error {
	return func(link device) error {
		b, err := command{code: ccReadPublic, handles: []uint32{k.handle}}.run(ctx, link)
		if isCode(err, rcHandle) {
			return ErrNoKey
		}
		if err != nil {
			return err
		}
		o, err := decodeObject(b)
		if err != nil {
			return err
		}
		k.pub, err = o.key()
		return err
	}
}

func (k *Key) cannot(what string, err error) error {
	return errorf("cannot %s key %#08x of the TPM %s: %w", what, k.handle, k.path, err)
}

// Public implements crypto.Signer: an *ecdsa.PublicKey on P-256.
func (k *Key) Public() crypto.PublicKey { return k.pub }

// Sign implements crypto.Signer, by TPM2_Sign (part 3, section 20.2): ASN.1, of a SHA-256 digest. It takes no longer
// than 20 seconds. The signature is verified before it is returned: the wires to a TPM have no checksum, and the
// key may be another one than when it was opened.
func (k *Key) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts.HashFunc() != crypto.SHA256 || len(digest) != crypto.SHA256.Size() {
		return nil, k.cannot("sign with", errorf("it signs digests of SHA-256, and none of %d bytes and hash %d",
			len(digest), opts.HashFunc()))
	}
	ctx, cancel := context.WithTimeout(context.Background(), signTime)
	defer cancel()
	params := appendTPM2B(nil, digest)
	// inScheme; then TPMT_TK_HASHCHECK, empty: the digest comes from outside (part 2, section 10.7.6).
	for _, v := range []uint16{algECDSA, algSHA256, tagHashcheck} {
		params = binary.BigEndian.AppendUint16(params, v)
	}
	params = appendTPM2B(binary.BigEndian.AppendUint32(params, handleNull), nil)
	var sig []byte
	err := use(ctx, k.path, func(link device) error {
		b, err := command{code: ccSign, handles: []uint32{k.handle}, session: true, params: params}.run(ctx, link)
		switch {
		case isCode(err, rcHandle):
			return ErrNoKey
		case isCode(err, rcAuthFail) || isCode(err, rcBadAuth):
			return errorf("%w: it has a password", ErrKind)
		case err != nil:
			return err
		}
		sig, err = decodeSignature(b)
		return err
	})
	if err == nil && !ecdsa.VerifyASN1(k.pub, digest, sig) {
		err = errors.New("what the TPM returned is no signature of this key: " +
			"it has another key there by now, or the wires to it change what they carry")
	}
	if err != nil {
		return nil, k.cannot("sign with", err)
	}
	return sig, nil
}

// Make makes a key at a handle, with the password of the owner hierarchy, which is empty in a factory. A key that is
// there is left alone, and made is false; anything else there is ErrKind, and is left alone too.
//
// The key is a primary one: the TPM derives it from its owner's seed and from what it is asked for (part 1, section
// 26), so that nothing but the handle has to be kept. Random bytes in the request make it one that was never there
// before; they are forgotten, so that a removed key cannot be had again.
//
// Crash: before TPM2_EvictControl is done -> there is no key, as a loaded one is gone with the power; after -> the
// key, which Make finds.
func Make(ctx context.Context, path string, handle uint32, password []byte) (k *Key, made bool, err error) {
	k = &Key{path: path, handle: handle}
	err = use(ctx, path, func(link device) error {
		err := k.read(ctx)(link)
		if !errors.Is(err, ErrNoKey) {
			return err
		}
		made = true
		if err := k.make(ctx, link, password); err != nil {
			return err
		}
		return k.read(ctx)(link)
	})
	if err != nil {
		return nil, false, k.cannot("make", err)
	}
	return k, made, nil
}

// make is TPM2_CreatePrimary, TPM2_EvictControl and TPM2_FlushContext (part 3, sections 24.1, 28.5 and 28.4).
func (k *Key) make(ctx context.Context, link device, password []byte) error {
	unique := make([]byte, 2*width)
	if _, err := rand.Read(unique); err != nil {
		return err
	}
	sensitive := appendTPM2B(appendTPM2B(nil, nil), nil) // no password, nothing brought along
	params := appendTPM2B(appendTPM2B(nil, sensitive), template(unique).encode())
	params = binary.BigEndian.AppendUint32(appendTPM2B(params, nil), 0) // outsideInfo, creationPCR
	b, err := command{code: ccCreatePrimary, handles: []uint32{handleOwner}, session: true, password: password,
		params: params, makes: true}.run(ctx, link)
	if err != nil {
		return err
	}
	loaded := binary.BigEndian.Uint32(b)
	_, err = command{code: ccEvictControl, handles: []uint32{handleOwner, loaded}, session: true, password: password,
		params: binary.BigEndian.AppendUint32(nil, k.handle)}.run(ctx, link)
	// Behind a resource manager it would go with the connection; a TPM alone has room for three.
	_, ferr := command{code: ccFlushContext, handles: []uint32{loaded}}.run(context.WithoutCancel(ctx), link)
	return errors.Join(err, ferr)
}
