package journal

// SettleForTest shows what a failed commit makes of a store: the error, and whether it is usable.
func SettleForTest(txid, now uint64, err error) (error, bool) {
	b := &bolt{}
	err = b.settle(txid, now, err)
	return err, b.usable() == nil
}
