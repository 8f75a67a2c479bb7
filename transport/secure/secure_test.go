package secure_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/transport/secure"
)

// authority issues certificates for "server" with the times given.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, from, until time.Time) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: from,
		NotAfter: until, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return &authority{t, c, key}
}

func (a *authority) issue(from, until time.Time) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: until, DNSNames: []string{"server"}}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}
}

// A clock that was never set takes a chain that begins later, and nothing else than a set one takes.
func TestDialWithoutClock(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n) }
	good, other := newAuthority(t, day(0), day(4000)), newAuthority(t, day(0), day(4000))
	late := newAuthority(t, day(200), day(4000))
	never := func() bool { return true }
	for name, c := range map[string]struct {
		now   time.Time // what config.Time says
		unset func() bool
		by    *authority
		cert  tls.Certificate
		host  string
		good  bool
	}{
		"in its time": {day(150), nil, good, good.issue(day(100), day(190)), "server", true},
		"begins later, and the clock is set": {day(10), func() bool { return false }, good,
			good.issue(day(100), day(190)), "server", false},
		"begins later, and nobody knows": {day(10), never, good,
			good.issue(day(100), day(190)), "server", true},
		"its authority begins later": {day(10), never, late,
			late.issue(day(100), day(290)), "server", true},
		"ended before its authority began": {day(10), never, late,
			late.issue(day(100), day(190)), "server", false},
		"ended before the program was built": {day(300), never, good,
			good.issue(day(100), day(190)), "server", false},
		"begins later, of a foreign authority": {day(10), never, good,
			other.issue(day(100), day(190)), "server", false},
		"begins later, for another host": {day(10), never, good, good.issue(day(100), day(190)), "else", false},
		"in its time, of a foreign authority": {day(150), never, good,
			other.issue(day(100), day(190)), "server", false},
		"in its time, and the clock was not set": {day(150), never, good,
			good.issue(day(100), day(190)), "server", true},
	} {
		t.Run(name, func(t *testing.T) {
			roots := x509.NewCertPool()
			roots.AddCert(c.by.cert)
			dial := func(context.Context) (net.Conn, error) {
				mine, yours := net.Pipe()
				go func() {
					s := tls.Server(yours,
						&tls.Config{Certificates: []tls.Certificate{c.cert}, MinVersion: tls.VersionTLS13})
					_, _ = io.Copy(io.Discard, s)
					_ = yours.Close()
				}()
				return mine, nil
			}
			conn, err := secure.Dial(t.Context(), dial,
				&tls.Config{RootCAs: roots, ServerName: c.host, Time: func() time.Time { return c.now }}, c.unset)
			if (err == nil) != c.good {
				t.Error(err)
			}
			if err == nil {
				conn.Close()
			}
		})
	}
}
