package agent

// Resend takes a request of the desk, and returns the sequence number that is sent next.
func (a *Agent) Resend(body []byte) (next uint64, err error) {
	err = a.resend(body)
	var sent uint64
	a.st.load(keySent, &sent)
	return sent + 1, err
}

// SetSent says that evidence was handed over up to n.
func (a *Agent) SetSent(n uint64) error {
	return a.st.commit(nil, nil, putValue{keySent, n})
}
