package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/hal/linux/tpm/tpmtest"
)

// TestKeyVerb: keys are made in a factory, without a daemon; what goes to standard output is the public half to be
// enrolled, or the request for a certificate, and nothing else.
func TestKeyVerb(t *testing.T) {
	m, b := tpmtest.New(t), newBox(t)
	m.Owner = "secret"
	b.Write("password", []byte("secret\n"))
	b.Write("ratchet.toml", []byte(b.Config()+"[tpm]\ndevice = \""+m.Path+"\"\n[evidence]\nkey = \"tpm2:0x81525401\"\n"+
		"[mqtt]\nurl = \"mqtts://b\"\ncertificate = \"/c\"\nkey = \"tpm2:0x81525402\"\n"))
	key := func(args ...string) (code int, out, errs string) {
		var o, e bytes.Buffer
		code = run(context.Background(), append(append([]string{"key"}, args...), "--config", b.Path("ratchet.toml")),
			strings.NewReader(""), &o, &e)
		return code, o.String(), e.String()
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 1, "ratchet key init evidence.key"}, {[]string{"init"}, 1, "--auth-file"},
		{[]string{"init", "--auth-file", b.Path("none")}, 1, "no such file"},
		{[]string{"init", "a", "b"}, 2, "one key"},
		{[]string{"init", "trust.keys"}, 1, "no private key"}, {[]string{"--auth-file", "x"}, 2, "not defined"},
	} {
		if code, out, errs := key(c.args...); code != c.code || out != "" || !strings.Contains(errs, c.want) {
			t.Errorf("%q: exit %d, %s%s", c.args, code, out, errs)
		}
	}
	code, device, errs := key("init", "--auth-file", b.Path("password"))
	if _, err := trust.ParsePublic([]byte(device)); code != 0 || errs != "" || err != nil {
		t.Fatalf("exit %d, %s, %v", code, errs, err)
	}
	code, again, errs := key("init")
	if code != 0 || again != device || !strings.Contains(errs, "left as it is") {
		t.Errorf("again: exit %d, %s%s", code, again, errs)
	}
	if code, shown, errs := key(); code != 0 || shown != device || errs != "" {
		t.Errorf("shown: exit %d, %s%s", code, shown, errs)
	}
	code, request, errs := key("init", "mqtt.key", "--request", "--auth-file", b.Path("password"))
	block, rest := pem.Decode([]byte(request))
	if code != 0 || block == nil || block.Type != "CERTIFICATE REQUEST" || len(rest) > 0 {
		t.Fatalf("exit %d, %s%s", code, request, errs)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || csr.CheckSignature() != nil || csr.Subject.String() != "CN=box" {
		t.Errorf("the request is %+v, %v", csr, err)
	}
	_, shown, _ := key("mqtt.key")
	if block, _ = pem.Decode([]byte(shown)); block == nil || shown == device {
		t.Fatalf("the client key is shown as %s", shown)
	}
	if pub, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil || !pub.(*ecdsa.PublicKey).Equal(csr.PublicKey) {
		t.Errorf("the request is for another key: %v", err)
	}
}
