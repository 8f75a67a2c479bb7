package wire

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"time"

	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/hal/linux/tpm"
	"github.com/ratchet-ota/ratchet/transport/secure"
)

// keyTime is how long the TPM may take to show the public half of a key. The daemon's start waits for it.
const keyTime = 10 * time.Second

func tpmDevice(c *config.Config) string { return cmp.Or(c.TPM.Device, tpm.DefaultDevice) }

// deviceKeyInTPM opens the device key that the configuration has in the TPM.
func deviceKeyInTPM(c *config.Config) (*trust.Signer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), keyTime)
	defer cancel()
	k, err := Key(ctx, c, "evidence.key")
	if err != nil {
		return nil, err
	}
	return trust.NewSigner(k)
}

// privateKey is a key of the configuration, by its name or as people count, which must be in the TPM.
func privateKey(c *config.Config, name string) (config.PrivateKey, error) {
	keys, err := c.Keys()
	if err != nil {
		return config.PrivateKey{}, err
	}
	for _, k := range keys {
		switch {
		case name != k.Name && name != k.Shown:
		case k.Handle != 0:
			return k, nil
		case k.Value == "":
			return k, c.Errorf(k.Name, "is not set: name a key in the TPM, such as \"tpm2:0x81525401\"")
		default:
			return k, c.Errorf(k.Name, "%s is a file and not in the TPM, where a key is called, for instance, "+
				"\"tpm2:0x81525401\"", k.Value)
		}
	}
	return config.PrivateKey{}, fmt.Errorf("%q is no private key of the configuration: those are evidence.key, "+
		"mqtt.key and http.credentials[N].key", name)
}

// openKey opens a key that the configuration has in the TPM.
func openKey(ctx context.Context, c *config.Config, k config.PrivateKey) (*tpm.Key, error) {
	opened, err := tpm.Open(ctx, tpmDevice(c), k.Handle)
	switch {
	case err == nil:
		return opened, nil
	case !errors.Is(err, tpm.ErrNoKey):
		return nil, c.Errorf(k.Name, "%v", err)
	case k.Name == "evidence.key":
		if err := mayMakeKey(c); err != nil {
			return nil, err
		}
	}
	return nil, c.Errorf(k.Name, "%v; make it with: ratchet key init %s", err, k.Shown)
}

// Key is a private key that the configuration has in the TPM, by the name of its key.
func Key(ctx context.Context, c *config.Config, name string) (crypto.Signer, error) {
	k, err := privateKey(c, name)
	if err != nil {
		return nil, err
	}
	key, err := openKey(ctx, c, k)
	if err != nil {
		return nil, err // and no nil of another type
	}
	return key, nil
}

// MakeKey makes a private key that the configuration has in the TPM. auth is a file that holds the password of the
// owner hierarchy, "" for an empty one. A key that is there already is left as it is: made is false. A device key that
// was there and is lost is not made again as long as the mark says that there was one.
func MakeKey(ctx context.Context, c *config.Config, name, auth string) (key crypto.Signer, made bool, err error) {
	k, err := privateKey(c, name)
	if err != nil {
		return nil, false, err
	}
	password, err := hierarchyPassword(auth)
	if err != nil {
		return nil, false, err
	}
	if _, err := tpm.Open(ctx, tpmDevice(c), k.Handle); errors.Is(err, tpm.ErrNoKey) && k.Name == "evidence.key" {
		if err := mayMakeKey(c); err != nil {
			return nil, false, err
		}
	}
	key, made, err = tpm.Make(ctx, tpmDevice(c), k.Handle, password)
	if err != nil {
		return nil, false, c.Errorf(k.Name, "%v", err)
	}
	return key, made, nil
}

// signClient signs for a TLS client, which names the key as the configuration does. It never signs with the device key:
// whoever connects may ask for a signature of anything, evidence too.
func signClient(ctx context.Context, c *config.Config, name string, hash uint, digest []byte) ([]byte, error) {
	keys, err := c.Keys()
	if err != nil {
		return nil, err
	}
	for _, k := range keys[1:] {
		if k.Handle != 0 && k.Value == name {
			key, err := clientKey(ctx, c, k, keys[0])
			if err != nil {
				return nil, err
			}
			return key.Sign(nil, digest, crypto.Hash(hash))
		}
	}
	return nil, fmt.Errorf("%s is not a client key that the configuration has in the TPM", name)
}

// clientKey opens a client key in the TPM. One key may be at two handles: it is not the device's.
func clientKey(ctx context.Context, c *config.Config, k, device config.PrivateKey) (*tpm.Key, error) {
	key, err := openKey(ctx, c, k)
	if err != nil || device.Handle == 0 {
		return key, err
	}
	signs, err := tpm.Open(ctx, tpmDevice(c), device.Handle)
	switch {
	case errors.Is(err, tpm.ErrNoKey):
		return key, nil
	case err != nil:
		return nil, c.Errorf(k.Name, "%v", err)
	case key.Public().(*ecdsa.PublicKey).Equal(signs.Public()):
		return nil, c.Errorf(k.Name, "this is the device key, which signs evidence, at another handle: "+
			"a client certificate needs a key of its own")
	}
	return key, nil
}

// lacksClientKeys says which client keys cannot be had from the TPM now, or are not those of their certificates. What
// is wrong with a certificate alone is told by those who connect.
func lacksClientKeys(c *config.Config) (errs []error) {
	ctx, cancel := context.WithTimeout(context.Background(), keyTime)
	defer cancel()
	keys, err := c.Keys()
	if err != nil {
		return []error{err}
	}
	for _, k := range keys[1:] {
		if k.Handle == 0 {
			continue
		}
		key, err := clientKey(ctx, c, k, keys[0])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		files := secure.Files{Certificate: k.Certificate, Key: k.Value, Sign: noSignature}
		if pair, err := files.Pair(); err == nil && !key.Public().(*ecdsa.PublicKey).Equal(pair.Leaf.PublicKey) {
			errs = append(errs, c.Errorf(k.Name, "%s is not the key of the certificate %s", k.Value, k.Certificate))
		}
	}
	return errs
}
