package journal

import "io"

// WalkForTest checks a journal behind any reader.
func WalkForTest(r io.ReaderAt, size int64) error {
	a := newAudit()
	if err := walk(r, size, a.add); err != nil {
		return err
	}
	return a.end()
}

// SettleForTest shows what a failed commit makes of a store: the error, and whether it is usable.
func SettleForTest(txid, now uint64, err error) (error, bool) {
	b := &bolt{}
	err = b.settle(txid, now, err)
	return err, b.usable() == nil
}
