package cipher

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// Seal encrypts src for some recipients and writes the payload to dst. info is the encryption-info
// for the manifest (manifest.Image.Encryption). Content key, IV and ephemeral keys are new each time,
// from random (nil = the system's), so that the same image never gives the same payload twice.
func Seal(dst io.Writer, src io.Reader, alg int64, to []Key, random io.Reader) (info []byte, err error) {
	if random == nil {
		random = rand.Reader
	}
	info, err = seal(dst, src, alg, to, random)
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt payload: %w", err)
	}
	return info, nil
}

func seal(dst io.Writer, src io.Reader, alg int64, to []Key, random io.Reader) ([]byte, error) {
	if len(to) == 0 || len(to) > manifest.MaxRecipients {
		return nil, fmt.Errorf("%d recipients, want 1 to %d", len(to), manifest.MaxRecipients)
	}
	keySize, ivSize := 16, 12
	switch alg {
	case manifest.A256GCM:
		keySize = 32
	case manifest.A128CTR:
		ivSize = 16
	case manifest.A256CTR:
		keySize, ivSize = 32, 16
	case manifest.A128GCM:
	default:
		return nil, fmt.Errorf("algorithm %d is not supported", alg)
	}
	secret := make([]byte, keySize+ivSize)
	if _, err := io.ReadFull(random, secret); err != nil {
		return nil, err
	}
	cek, iv := secret[:keySize], secret[keySize:]
	protected, unprotected := []byte{}, map[int]any{1: alg, 5: iv}
	var err error
	if ivSize == 12 {
		delete(unprotected, 1)
		if protected, err = encode(map[int]any{1: alg}); err != nil {
			return nil, err
		}
	}
	var recipients []any
	for _, k := range to {
		r, err := k.hand(cek, random)
		if err != nil {
			return nil, err
		}
		recipients = append(recipients, r)
	}
	info, err := encode(cbor.Tag{Number: 96, Content: []any{protected, unprotected, nil, recipients}})
	if err != nil {
		return nil, err
	}
	if _, err := manifest.ParseEncryption(info); err != nil {
		return nil, fmt.Errorf("a device would refuse it: %w", err)
	}
	if ivSize == 12 {
		return info, sealGCM(dst, src, cek, iv, encStructure(protected))
	}
	block, err := aes.NewCipher(cek)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(dst, cipher.StreamReader{S: cipher.NewCTR(block, iv), R: src})
	return info, err
}

// hand makes the COSE_recipient that gives the content key to the holder of k.
func (k Key) hand(cek []byte, random io.Reader) ([]any, error) {
	header := map[int]any{}
	if len(k.id) > 0 {
		header[4] = k.id
	}
	protected, kek := []byte{}, k.kek
	switch {
	case len(kek) == 16:
		header[1] = manifest.A128KW
	case len(kek) == 32:
		header[1] = manifest.A256KW
	case k.public != nil:
		ephemeral, err := ephemeralKey(random)
		if err != nil {
			return nil, err
		}
		agreed, err := ephemeral.ECDH(k.public)
		if err != nil {
			return nil, err
		}
		if protected, err = encode(map[int]any{1: manifest.ECDHA128KW}); err != nil {
			return nil, err
		}
		if kek, err = derive(agreed, nil, protected); err != nil {
			return nil, err
		}
		point := ephemeral.PublicKey().Bytes()
		header[-1] = map[int]any{1: 2, -1: 1, -2: point[1:33], -3: point[33:]}
	default:
		return nil, errors.New("recipient has no key")
	}
	wrapped, err := wrap(kek, cek)
	return []any{protected, header, wrapped}, err
}

// ephemeralKey takes random bytes until they are a private key, which nearly all are.
func ephemeralKey(random io.Reader) (*ecdh.PrivateKey, error) {
	b := make([]byte, 32)
	for range 16 {
		if _, err := io.ReadFull(random, b); err != nil {
			return nil, err
		}
		if k, err := ecdh.P256().NewPrivateKey(b); err == nil {
			return k, nil
		}
	}
	return nil, errors.New("the source of randomness is broken")
}

// sealGCM encrypts and appends the tag, chunk by chunk.
func sealGCM(dst io.Writer, src io.Reader, key, nonce, aad []byte) error {
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	mac, err := newGHASH(block, nonce)
	if err != nil {
		return err
	}
	mac.update(pad(aad))
	counter := make([]byte, aes.BlockSize)
	copy(counter, nonce)
	counter[15] = 2
	ctr := cipher.NewCTR(block, counter)
	buf, total := make([]byte, chunk), uint64(0)
	for {
		n, err := io.ReadFull(src, buf)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		var long error
		if total, long = longer(total, n); long != nil {
			return long
		}
		ctr.XORKeyStream(buf[:n], buf[:n])
		mac.update(pad(buf[:n]))
		if _, werr := dst.Write(buf[:n]); werr != nil {
			return werr
		}
		if err != nil {
			break
		}
	}
	_, err = dst.Write(mac.tag(uint64(len(aad)), total))
	return err
}
