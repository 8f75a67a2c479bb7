package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
)

// TestIntegrationSample: the configuration in docs/integration/system.md is one that the program takes. Only its
// paths are changed, and the files that it names are made.
func TestIntegrationSample(t *testing.T) {
	doc, err := os.ReadFile("../../docs/integration/system.md")
	if err != nil {
		t.Fatal(err)
	}
	_, sample, ok := strings.Cut(string(doc), "```toml\n")
	sample, _, ok2 := strings.Cut(sample, "```")
	if !ok || !ok2 {
		t.Fatal("docs/integration/system.md has no TOML sample")
	}
	dir := t.TempDir()
	sample = regexp.MustCompile(`"/(etc|var)/`).ReplaceAllString(sample, `"`+dir+"/")

	put := func(name string, b []byte) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := certificate(t)
	release, err := trust.Generate(trust.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	anchor, err := release.Key().MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	put("release-version", []byte("1.4.0\n"))
	put("fw_env.config", []byte("/dev/mmcblk0 0x400000 0x4000\n/dev/mmcblk0 0x410000 0x4000\n"))
	put("ratchet/ca.pem", cert)
	put("ratchet/device-cert.pem", cert)
	put("lib/ratchet/mqtt.key", key)
	put("ratchet/release.pub.pem", anchor)
	put("ratchet.toml", []byte(sample))

	var out, errs bytes.Buffer
	code := run(context.Background(),
		[]string{"daemon", "--check-config", "--config", filepath.Join(dir, "ratchet.toml")}, nil, &out, &errs)
	if code != 0 || !strings.Contains(out.String(), "is good: device gw-0001") {
		t.Fatalf("exit %d: %s%s", code, out.String(), errs.String())
	}
	// What the sample says is what arrives.
	c, err := config.Parse("sample", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := c.Rules()
	if err != nil || len(rules.Windows) != 1 || rules.MinBattery != 30 || rules.Windows[0].From != 120 ||
		rules.Windows[0].To != 270 {
		t.Errorf("rules %+v, %v", rules, err)
	}
	if c.Device.Version != "1.4.0" || len(c.Health.HTTP) != 1 || len(c.Health.Command) != 1 ||
		len(c.Health.Units) != 1 || !c.Health.Broker {
		t.Errorf("configuration %+v", c)
	}
}

// certificate makes a certificate that stands for all that the sample names.
func certificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}
