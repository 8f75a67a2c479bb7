package explorer

// tested are the defects that a test of their package finds.
func tested() []Defect {
	return []Defect{
		{Name: "a challenge stays open when a permit has answered it",
			Package: "agent", Test: "TestJournals",
			Edits: edit("agent/intake/permit.go",
				"c.Ops = []life.Op{store.PutChallenge{}, store.PutPermit{",
				"c.Ops = []life.Op{store.PutPermit{")},
		{Name: "a floor falls after a permitted downgrade",
			Package: "agent/life", Test: "TestFloorsNeverFall",
			Edits: edit("agent/life/floor.go",
				`	case f[i].Sequence > to.Sequence:
		return f
`,
				"")},
		{Name: "a batch of evidence is noted before it is sent",
			Package: "agent", Test: "TestEvidenceLeavesBeforeTheReboot",
			Edits: edit("agent/report/report.go",
				`		for _, i := range batch {
			msg,`,
				`		sent = batch[len(batch)-1].seq
		note()
		for _, i := range batch {
			msg,`)},
		{Name: "boots of a synthetic trial are not kept in the quarantine file",
			Package: "agent/life", Test: "TestBootsOfATrialWithoutARecordAreCounted",
			Edits: edit("agent/life/start.go",
				`	t.quar(Count{key, n})
	t.Rec = Record{`,
				`	t.Rec = Record{`)},
		{Name: "the quarantine file's count of boots is ignored for a synthetic trial",
			Package: "agent/life", Test: "TestBootsOfATrialWithoutARecordAreCounted",
			Edits: edit("agent/life/start.go",
				`	n := 1 + t.Tally.boots(key)`,
				`	n := 1`)},
		{Name: "the quarantine file has one copy",
			Package: "agent", Test: "TestQuarantineHolds64",
			Edits: edit("agent/internal/quarantine/quarantine.go",
				`fmt.Sprintf("quarantine.%d", copy%2)`,
				`fmt.Sprintf("quarantine.%d", copy*0)`)},
		{Name: "a panic on record does not keep a loss of power from being believed",
			Package: "agent/life", Test: "TestPowerInTrial",
			Edits: edit("agent/life/start.go", ` && !s.Found.Reset.Panics.since(s.Rec.Ext.Panics)`, ``)},
		{Name: "any number of trial boots is excused by the power",
			Package: "agent/life", Test: "TestPowerInTrial",
			Edits: edit("agent/life/budget.go", `times(mostExcused)`, `times(-1)`)},
		{Name: "the target is not held between read-back and arming",
			Package: "agent", Test: "TestTargetIsHeldUntilItIsArmed",
			Edits: edit("agent/errand.go", "			a.held = e.held\n", "			closeAll(e.held)\n")},
		{Name: "nobody hears a document while an image is written",
			Package: "agent", Test: "TestForbiddenWhileWritten",
			Edits: edit("agent/errand.go", "case m := <-a.messages():", "case m := <-chan transport.Message(nil):")},
		{Name: "a write goes on although it is forbidden now",
			Package: "agent", Test: "TestForbiddenWhileWritten",
			Edits: edit("agent/errand.go",
				`				forbids = &no
				stop()`,
				`				forbids = &no`)},
		{Name: "whatever is taken stops the write",
			Package: "agent", Test: "TestUntouchedWhileWritten",
			Edits: edit("agent/intake/decide.go", "return why.Info().Stops || lost", "return true || lost")},
		{Name: "a second flush after one that failed succeeds",
			Package: "hal/linux", Test: "TestFailedFlushStaysFailed",
			Edits: edit("hal/linux/fs.go",
				`	if f.failed == nil {
		f.failed = f.sync()
	}
	return f.failed`,
				`	return f.sync()`)},
		{Name: "a full journal gives away the room that pruning needs",
			Package: "agent/journal", Test: "TestFullJournalCanBeEmptied",
			Edits: edit("agent/journal/tx.go",
				`		keep = floor
`,
				`		keep = 0
`)},
		{Name: "the key is not in the checksum of a value",
			Package: "agent/journal", Test: "TestLostKeysDoNotAddUp",
			Edits: edit("agent/journal/value.go",
				`	c = crc32.Update(c, t, []byte(key))
`,
				"")},
		{Name: "a duplicate in BootOrder survives",
			Package: "bootctl/efi", Test: "TestNumberTwice",
			Edits: edit("bootctl/efi/reading.go",
				`	order := slices.DeleteFunc(slices.Clone(r.order), func(m uint16) bool { return m == n })
	if len(order) == 0`,
				`	order := slices.Clone(r.order)
	if i := slices.Index(order, n); i >= 0 {
		order = slices.Delete(order, i, i+1)
	}
	if len(order) == 0`)},
		{Name: "a duplicate in BootOrder survives a confirmation",
			Package: "bootctl/efi", Test: "TestNumberTwice",
			Edits: edit("bootctl/efi/reading.go",
				"slices.DeleteFunc(slices.Clone(r.order), func(m uint16) bool { return m == n })...)",
				"r.order...)")},
		{Name: "a restore of UEFI's variables leaves BootNext to another slot",
			Package: "bootctl/efi", Test: "TestFaults",
			Edits: edit("bootctl/efi/reading.go",
				`	if s := r.pending(); s != "" && s != c.Slot {`,
				`	if s := r.pending(); s != "" && s == c.Slot && false {`)},
		{Name: "a restore that failed is not done again",
			Package: "bootctl/internal/engine", Test: "TestRefresh",
			Edits: edit("bootctl/internal/engine/engine.go",
				" || err == nil && e.restoring.Load() {",
				" {")},
		{Name: "copies of the environment are compared by their paths alone",
			Package: "bootctl/ubootenv", Test: "TestCopiesThatHarmEachOther",
			Edits: edit("bootctl/ubootenv/region.go",
				"spans[0].region.On == spans[1].region.On {",
				"spans[0].loc.Path == spans[1].loc.Path {")},
		{Name: "a copy of the environment that cannot be used is left so",
			Package: "bootctl/ubootenv", Test: "TestUnreadableCopy",
			Edits: edit("bootctl/ubootenv/restore.go",
				"		_ = now.write(now.list)\n",
				"		_ = now\n")},
		{Name: "the journal of grubenv's file system is not emptied",
			Package: "bootctl/grubenv", Test: "TestJournalIsEmptied",
			Edits: edit("bootctl/grubenv/place.go",
				"	return p.checkpoint(p.path)\n",
				"	return nil\n")},
		{Name: "the journal of the environment's file system is not emptied",
			Package: "bootctl/ubootenv", Test: "TestJournalIsEmptied",
			Edits: edit("bootctl/ubootenv/place.go",
				"	return p.checkpoint(p.Path)\n",
				"	return nil\n")},
		{Name: "boot metadata on a slot is taken",
			Package: "bootctl/internal/engine", Test: "TestApart",
			Edits: edit("bootctl/internal/engine/apart.go",
				"err == nil && p.Self == r.FS {",
				"err == nil && p.Self == r.FS && path == part {")},
		{Name: "an entry that cannot be read ends the reading of all",
			Package: "bootctl/sdboot", Test: "TestUnreadableEntry",
			Edits: edit("bootctl/sdboot/folder.go",
				"case errors.Is(err, hal.ErrLimit), hal.Unreadable(err):",
				"case errors.Is(err, hal.ErrLimit):")},
		{Name: "disable leaves the other copy of the environment",
			Package: "bootctl/ubootenv", Test: "TestDisableIsInBothCopies",
			Edits: edit("bootctl/ubootenv/ubootenv.go",
				`	if c.Verb != engine.Disable || len(`,
				`	if true || len(`)},
		{Name: "an entry whose boots are not counted is taken",
			Package: "bootctl/sdboot", Test: "TestUncountedEntriesAreRefused",
			Edits: edit("bootctl/sdboot/entry.go",
				`		case key == "efi" || key == "uki-url":`,
				`		case key == "uki-url":`)},
		{Name: "what governs is switched off first",
			Package: "bootctl/sdboot", Test: "TestDisableChangesOnce",
			Edits: edit("bootctl/sdboot/folder.go",
				`		if x.slot == slot && x.on && x != last && !slices.Contains(keep, x) {
			list = append(list, x)
		}
	}
	if last != nil && !slices.Contains(keep, last) {
		list = append(list, last)
	}`,
				`		if x.slot == slot && x.on && x != last && !slices.Contains(keep, x) {
			list = append(list, x)
		}
	}
	if last != nil && !slices.Contains(keep, last) {
		list = slices.Insert(list, 0, last)
	}`)},
		{Name: "a new trial's file is not flushed before it is switched on",
			Package: "bootctl/sdboot", Test: "TestFaults",
			Edits: edit("bootctl/sdboot/folder.go",
				`	if err := f.fs.SyncDir(f.o.Folder); err != nil {
		return nil, fmt.Errorf("cannot make %s durable: %w", x.path, err)
	}
`,
				"")},
		{Name: "an entry's write is not flushed",
			Package: "bootctl/sdboot", Test: "TestOneWrite",
			Edits: edit("bootctl/sdboot/folder.go",
				`	_, err = m.WriteAt(data, 0)
	if err == nil {
		err = m.Sync()
	}
	return errors.Join(err, m.Close())`,
				`	_, err = m.WriteAt(data, 0)
	return errors.Join(err, m.Close())`)},
		{Name: "GRUB's lines of other programs are dropped by a restore",
			Package: "bootctl/grubenv", Test: "TestRestoreKeepsWhatCanBeRead",
			Edits: edit("bootctl/grubenv/restore.go",
				`	kept := r.lines.without(r.ours())
	if len(kept) == 0 {`,
				`	var kept block
	if len(kept) == 0 {`)},
		{Name: "the shadow copy is not checked",
			Package: "bootctl/internal/engine", Test: "TestShadowDamaged",
			Edits: edit("bootctl/internal/engine/shadow.go",
				`	if crc32.ChecksumIEEE(payload) != sum {`,
				`	if crc32.ChecksumIEEE(payload) != sum && false {`)},
		{Name: "another program's change in between is overwritten",
			Package: "bootctl/internal/engine", Test: "TestReplace",
			Edits: edit("bootctl/internal/engine/place.go",
				`	if err := Unchanged(p, old); err != nil {
		return err
	}
`,
				"")},
		{Name: "a journal whose commit may have landed goes on",
			Package: "agent/journal", Test: "TestFailedSync",
			Edits: edit("agent/journal/bolt.go",
				`	if now >= txid {`,
				`	if now > txid {`)},
		{Name: "the bucket's tally is not checked",
			Package: "agent/journal", Test: "TestLostKeysDoNotAddUp",
			Edits: edit("agent/journal/value.go",
				`		if a.want[b] != t {`,
				`		if a.want[b].count != t.count && false {`)},
		{Name: "a checkpoint is saved after one that failed",
			Package: "slots", Test: "TestSaveError",
			Edits: edit("slots/commit.go",
				`	if c.failed() != nil {
		return
	}
`,
				"")},
		{Name: "a read-back that was cut short is a good one",
			Package: "slots", Test: "TestCheckErrors",
			Edits: edit("slots/check.go",
				`		if c.err != nil {
			return c.err
		}`,
				`		if c.err != nil {
			break
		}`)},
		{Name: "a newer offer does not replace the one that waits",
			Package: "transport/mqtt", Test: "TestMailbox",
			Edits: edit("transport/mqtt/mailbox.go",
				`	b.puts++
	b.slots[i] = waiting{m, b.puts}`,
				`	b.puts++
	if b.slots[i].put == 0 {
		b.slots[i] = waiting{m, b.puts}
	}`)},
		{Name: "taking a message drops the newer one",
			Package: "transport/mqtt", Test: "TestMailbox",
			Edits: edit("transport/mqtt/mailbox.go",
				`	if b.slots[i].put == w.put {`,
				`	if b.slots[i].put >= w.put {`)},
		{Name: "the file counter overwrites the copy that counts",
			Package: "hal/linux", Test: "TestFileCounterFormat",
			Edits: edit("hal/linux/counter.go",
				`		return second, 0, nil
	}
	return first, copySize, nil`,
				`		return second, copySize, nil
	}
	return first, 0, nil`)},
		{Name: "a permit is not used up",
			Package: "agent", Test: "TestPermitIsUsedByAFailedInstall",
			Edits: edit("agent/life/end.go",
				`		t.Permitted = "" // a permit goes with the update that it allowed: it allows once
`,
				"")},
		{Name: "the agent confirms without reading the metadata again when it was restored",
			Package: "agent", Test: "TestBrick07TornMetadata",
			Edits: edit("agent/perform.go",
				`		err = a.o.Boot.Refresh(ctx, slot)
	}
	if a.changeBoot(ctx, d, err); err == nil &&`,
				`		err = nil
	}
	if a.changeBoot(ctx, d, err); err == nil &&`)},
	}
}
