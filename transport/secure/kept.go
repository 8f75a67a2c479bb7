package secure

import (
	"crypto/tls"
	"crypto/x509"
	"sync"
)

// Kept is what files say, read again each time it is asked for: a certificate is renewed and a token changed while
// the program runs. What was read last is kept while the files cannot be read or make no sense, as when one of two
// is written and the other not yet. Its methods may be called from any goroutine.
type Kept[T any] struct {
	read func() (T, error)

	mu    sync.Mutex
	value T
	have  bool
}

// Keep is a Kept that read reads. Nothing is read before it is asked for.
func Keep[T any](read func() (T, error)) *Kept[T] { return &Kept[T]{read: read} }

// Get is what the files say, or what they said last. An error says that they never said anything.
func (k *Kept[T]) Get() (T, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	v, err := k.read()
	if err == nil {
		k.value, k.have = v, true
	}
	if k.have {
		return k.value, nil
	}
	return v, err
}

// Problem is why the files cannot be used as they are now, nil where they can.
func (k *Kept[T]) Problem() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	v, err := k.read()
	if err == nil {
		k.value, k.have = v, true
	}
	return err
}

// Live is a client's TLS, of files that are read again at each connection. The authorities and the client's
// certificate are kept apart: a bad one does not hold up the other.
type Live struct {
	authorities *Kept[*x509.CertPool]
	pair        *Kept[*tls.Certificate]
}

// Live reads nothing before it is asked for.
//
//go:noinline
func (f Files) Live() *Live { return &Live{Keep(f.Authorities), Keep(f.Pair)} }

// Config is what the files make now, or made last.
func (l *Live) Config() (*tls.Config, error) {
	ca, err := l.authorities.Get()
	if err != nil {
		return nil, err
	}
	pair, err := l.pair.Get()
	if err != nil {
		return nil, err
	}
	return config(ca, pair), nil
}

// Problems is why the authorities, and the client's certificate, cannot be used as they are now.
func (l *Live) Problems() (authorities, pair error) { return l.authorities.Problem(), l.pair.Problem() }

// Fixed is TLS that never changes, which may be nil.
func Fixed(c *tls.Config) func() (*tls.Config, error) {
	return func() (*tls.Config, error) { return c, nil }
}
