package ubootenv

// Decode gives tests the entries of one copy of an environment, as they stand. redundant says whether
// the copy has a flags byte. The error says what does not validate.
func Decode(b []byte, redundant bool) ([]string, error) {
	if len(b) < minSize {
		return nil, errStructure
	}
	c := parseCopy(b, redundant)
	if c.fault != nil {
		return nil, c.fault
	}
	vars := make([]string, len(c.list))
	for i, e := range c.list {
		vars[i] = string(e)
	}
	return vars, nil
}

// Tables are the partition tables that the beginning of a disk names.
func Tables(head []byte, size int64) (list [][2]int64) {
	for _, e := range tablesOf(head, size) {
		list = append(list, [2]int64{e.from, e.to})
	}
	return list
}
