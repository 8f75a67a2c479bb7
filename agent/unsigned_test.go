package agent_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/transport"
)

// flaky is a key in a module that signs only while it is there.
type flaky struct {
	crypto.Signer
	gone  atomic.Bool
	asked atomic.Int32
	every int32 // each signature of so many fails; 0: none
}

func (f *flaky) Sign(_ io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if n := f.asked.Add(1); f.gone.Load() || f.every > 0 && n%f.every == 0 {
		return nil, errors.New("the TPM is testing itself")
	}
	return f.Signer.Sign(rand.Reader, digest, o)
}

// kinds counts what is sent.
type kinds struct {
	outbox
	n map[transport.Kind]int
}

func (k *kinds) Send(ctx context.Context, m transport.Message) error {
	k.mu.Lock()
	k.n[m.Kind]++
	k.mu.Unlock()
	return k.outbox.Send(ctx, m)
}

// TestKeyThatSignsLater: what a key in a TPM does not sign now is sent when it signs again, although nothing else
// happens then: evidence, the report of the last procedure, and the status, each when it alone was not signed too. It
// is not asked without a pause meanwhile.
func TestKeyThatSignsLater(t *testing.T) {
	for every := range int32(20) {
		if every == 1 {
			continue // it would sign nothing
		}
		bubble(t, 653, func(r *rig) {
			r.play(r.release(2, 2))
			priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			key := &flaky{Signer: priv, every: every}
			signer, err := trust.NewSigner(key)
			if err != nil {
				t.Fatal(err)
			}
			box := &kinds{n: map[transport.Kind]int{}}
			r.options = func(o *agent.Options) { o.Outbox, o.Signer = box, signer }
			key.gone.Store(every == 0)
			r.awake(func(ctx context.Context, a *agent.Agent) {
				defer reports(ctx, a)()
				pass := func(d time.Duration) {
					for end := r.w.Clock().Uptime() + d; r.w.Clock().Uptime() < end; synctest.Wait() {
						r.w.Advance(5 * time.Second)
					}
				}
				pass(10 * time.Minute)
				if n := key.asked.Load(); every == 0 && (len(box.n) > 0 || n < 5 || n > 30) {
					t.Errorf("without a key %v was sent, and it was asked %d times", box.n, n)
				}
				key.gone.Store(false)
				pass(10 * time.Minute)
				for _, kind := range []transport.Kind{transport.Evidence, transport.Report, transport.Status} {
					if box.n[kind] == 0 {
						t.Errorf("%s was not sent, when each %dth signature fails", kind, every)
					}
				}
			})
		})
	}
}
