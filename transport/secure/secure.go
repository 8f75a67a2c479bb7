package secure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// Dial dials and does the TLS handshake as a client. config names the server.
//
// unset tells whether the machine's clock was never set, or may be behind; nil: it is good. Such a clock
// cannot say that a certificate has begun: without a battery it is 1970, and config.Time at best the time
// at which the program was built, while servers renew their certificates every few weeks. So when the server's
// chain fails by its times, it is dialled once more, and judged at the time at which the last
// certificate of the chain begins, in all other ways as always. A chain that had ended by
// config.Time, or ended before its own last begin, is refused; one that ended later is taken, as no
// clock is there to say so.
func Dial(ctx context.Context, dial func(context.Context) (net.Conn, error),
	config *tls.Config, unset func() bool) (*tls.Conn, error) {
	c, err := handshake(ctx, dial, config)
	if err == nil || unset == nil || !unset() {
		return c, err
	}
	begun, ok := chainBegins(err)
	if !ok || config.Time != nil && !begun.After(config.Time()) {
		return nil, err
	}
	config = config.Clone()
	config.Time = func() time.Time { return begun }
	return handshake(ctx, dial, config)
}

func handshake(ctx context.Context,
	dial func(context.Context) (net.Conn, error), config *tls.Config) (*tls.Conn, error) {
	conn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	c := tls.Client(conn, config)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("cannot establish TLS: %w", err)
	}
	return c, nil
}

// chainBegins is the time at which all certificates that the server showed have begun, where err says
// that their times were the trouble.
func chainBegins(err error) (latest time.Time, ok bool) {
	var refused *tls.CertificateVerificationError
	var why x509.CertificateInvalidError
	if !errors.As(err, &refused) || !errors.As(refused.Err, &why) || why.Reason != x509.Expired {
		return time.Time{}, false
	}
	for _, c := range refused.UnverifiedCertificates {
		if c.NotBefore.After(latest) {
			latest = c.NotBefore
		}
	}
	return latest, true
}
