package agent

import "github.com/ratchet-ota/ratchet/agent/internal/store"

// Resend takes a request of the desk, and returns the sequence number that is sent next.
func (a *Agent) Resend(body []byte) (next uint64, err error) {
	err = a.resend(body)
	return a.st.Sent() + 1, err
}

// SetSent says that evidence was handed over up to n.
func (a *Agent) SetSent(n uint64) error {
	return a.st.Commit(nil, nil, store.PutSent{Seq: n})
}
