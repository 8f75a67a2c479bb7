package agent

// DecodeQuarantine reads one copy of the quarantine file, and tells how many entries it has.
func DecodeQuarantine(b []byte) (entries int, err error) {
	d, err := decodeQuarantine(b)
	q := quarantine{data: d}
	q.find("sha256:00")
	q.add(quarantineEntry{Digest: "sha256:00"})
	_, _, _ = q.boots("sha256:00"), q.lastHead(), q.list()
	return len(d.Entries), err
}
