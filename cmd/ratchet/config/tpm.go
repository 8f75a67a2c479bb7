package config

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// inTPM begins the name of a key in the TPM; its handle follows.
const inTPM = "tpm2:"

// sameKey is what is wrong with a client certificate that has the device's key.
const sameKey = "this is the device key, which signs evidence: a client certificate needs a key of its own"

// The range of persistent handles that a TPM's owner gives (TPM 2.0 Library, part 2, section 7.8).
const (
	firstHandle = 0x81000000
	lastHandle  = 0x817FFFFF
)

// PrivateKey is a private key that the configuration names.
type PrivateKey struct {
	Name   string // "mqtt.key", "http.credentials.0.key"
	Shown  string // the same as people count: "http.credentials[1].key"
	Value  string // a path, or "tpm2:HANDLE"
	Handle uint32 // in the TPM; 0: the key is in a file

	Certificate string // the file with the client certificate that it is for; "" for the device's key
}

// InTPM tells whether the value of a key names a key in the TPM.
func InTPM(value string) bool { return strings.HasPrefix(value, inTPM) }

// DeviceKey is where the device's key is: a path, or "tpm2:HANDLE".
//
//go:noinline
func (c *Config) DeviceKey() string {
	if c.Evidence.Key != "" {
		return c.Evidence.Key
	}
	return filepath.Join(c.State.Directory, "device.key")
}

// privateKeys are all that the configuration names. The first is the device's, which signs evidence; the others are of
// client certificates.
func (c *Config) privateKeys() []PrivateKey {
	keys := []PrivateKey{{Name: "evidence.key", Shown: "evidence.key", Value: c.DeviceKey()}}
	if c.MQTT != nil {
		keys = append(keys, PrivateKey{Name: "mqtt.key", Shown: "mqtt.key", Value: c.MQTT.Key,
			Certificate: c.MQTT.Certificate})
	}
	for i, x := range c.HTTP.Credentials {
		keys = append(keys, PrivateKey{Name: fmt.Sprintf("http.credentials.%d.key", i),
			Shown: fmt.Sprintf("http.credentials[%d].key", i+1), Value: x.Key, Certificate: x.Certificate})
	}
	return keys
}

// Keys are the private keys that the configuration names. The first is the device's, which signs evidence; the others
// are of client certificates, and none of them is the device's.
func (c *Config) Keys() ([]PrivateKey, error) {
	keys := c.privateKeys()
	for i, k := range keys {
		if !InTPM(k.Value) {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimPrefix(k.Value, inTPM), 0, 32)
		if err != nil || n < firstHandle || n > lastHandle {
			return nil, c.Errorf(k.Name, "%q is not \"tpm2:\" and a handle from %#08x to %#08x", k.Value,
				uint32(firstHandle), uint32(lastHandle))
		}
		keys[i].Handle = uint32(n)
		// Whoever connects may have TLS sign what it likes, evidence too.
		if i > 0 && keys[i].Handle == keys[0].Handle {
			return nil, c.Errorf(k.Name, sameKey)
		}
	}
	return keys, nil
}

func (c *Config) checkTPM() error {
	if d := c.TPM.Device; d != "" && !filepath.IsAbs(d) {
		return c.Errorf("tpm.device", "%q is not an absolute path", d)
	}
	_, err := c.Keys()
	return err
}
