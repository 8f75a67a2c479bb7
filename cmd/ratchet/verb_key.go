package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"flag"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
)

// keyFlags are those of both verbs.
type keyFlags struct {
	config  *string
	request *bool
}

func addKeyFlags(fs *flag.FlagSet) keyFlags {
	return keyFlags{fs.String("config", defaultConfig, "configuration `FILE`"),
		fs.Bool("request", false, "print a certificate request (PKCS #10) for the device's id instead")}
}

func keyVerb() cli.Verb {
	return cli.Verb{
		Name: "key", Args: "[KEY] [flags]",
		Short: "the public half of a key in the TPM",
		Long: `
Prints the public half of a key that the configuration has in the TPM. KEY is where the
configuration names it: evidence.key (the device key, which is meant without KEY), mqtt.key or
http.credentials[N].key. It needs no daemon.`,
		Examples: []string{"ratchet key >gw-0042.pem", "ratchet key mqtt.key --request >gw-0042.csr"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			f := addKeyFlags(fs)
			return func(ctx context.Context, c cli.Console, args []string) error {
				return f.run(c, args, func(conf *config.Config, name string) (crypto.Signer, error) {
					return wire.Key(ctx, conf, name)
				})
			}
		},
	}
}

func keyInitVerb() cli.Verb {
	return cli.Verb{
		Name: "key init", Args: "[KEY] [flags]",
		Short: "make a key in the TPM",
		Long: `
Makes a key in the TPM, at the handle that the configuration has for it, such as
evidence.key = "tpm2:0x81525401", and prints its public half: that of the device key to be enrolled.
KEY is as for "ratchet key". It is made once, in the factory, by whoever has the password of the
TPM's owner hierarchy; the daemon never makes one there. A key that is there is left as it is, so
the command can be run again after a power cut. Anything else at the handle is an error, and is left
as it is too.`,
		Examples: []string{"ratchet key init >gw-0042.pem", "ratchet key init mqtt.key --request >gw-0042.csr"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			f := addKeyFlags(fs)
			auth := fs.String("auth-file", "",
				"`FILE` with the owner hierarchy's password, without a line break; none: it is empty")
			return func(ctx context.Context, c cli.Console, args []string) error {
				return f.run(c, args, func(conf *config.Config, name string) (crypto.Signer, error) {
					key, made, err := wire.MakeKey(ctx, conf, name, *auth)
					if err == nil && !made {
						c.Warn("the key is there already; it was left as it is")
					}
					return key, err
				})
			}
		},
	}
}

// run prints the public half of a key, or a request for its certificate.
func (f keyFlags) run(c cli.Console, args []string, open func(*config.Config, string) (crypto.Signer, error)) error {
	name := "evidence.key"
	switch len(args) {
	case 0:
	case 1:
		name = args[0]
	default:
		return cli.Usage("name one key at most")
	}
	conf, _, err := config.Load(*f.config)
	if err != nil {
		return err
	}
	key, err := open(&conf, name)
	if err != nil {
		return err
	}
	block := &pem.Block{Type: "PUBLIC KEY"}
	if *f.request {
		block.Type = "CERTIFICATE REQUEST"
		block.Bytes, err = certificateRequest(conf.Device.ID, key)
	} else {
		block.Bytes, err = x509.MarshalPKIXPublicKey(key.Public())
	}
	if err != nil {
		return err
	}
	return pem.Encode(c.Out, block)
}

// certificateRequest is a PKCS #10 request (RFC 2986 section 4) for a common name, signed by ECDSA with SHA-256 (RFC
// 5758 section 3.2). crypto/x509 has a function for it, which costs the program 12 KiB.
func certificateRequest(name string, key crypto.Signer) ([]byte, error) {
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	commonName := pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: name}
	info, err := asn1.Marshal(struct {
		Version    int
		Subject    pkix.RDNSequence
		PublicKey  asn1.RawValue
		Attributes []asn1.RawValue `asn1:"tag:0,set"`
	}{0, pkix.RDNSequence{{commonName}}, asn1.RawValue{FullBytes: public}, nil})
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(info)
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(struct {
		Info      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: info}, pkix.AlgorithmIdentifier{
		Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}},
		asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
}
