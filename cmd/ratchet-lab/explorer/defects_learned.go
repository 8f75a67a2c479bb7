package explorer

// learned are the defects that the explorer finds by one capability of the simulated machine: slots that start by
// what they hold, boots that take time, boots that cannot be told apart, a full disk, a first start,
// an image that is given back.
func learned() []Defect {
	return []Defect{
		{Name: "a slot that is written in half is armed",
			Scenario: "broken-network", Loader: "uboot-files", Edits: []Edit{
				{"agent/write.go", `			o.From = &c.At
		default:
			return err
`, `			o.From = &c.At
		default:
			return nil
`},
				{"agent/perform.go",
					`			err = slots.Check(ctx, dev, slots.Image{Alg: i.Alg, Digest: i.Digest, Size: i.Size},
				e.view.Meter(i.Component))`, `			_, _ = slots.Check, ctx`},
			}},
		{Name: "a kernel that cannot be loaded is taken for one that was never tried",
			Scenario: "unloadable", Loader: "uboot-files", Edits: edit(
				"agent/life/reconcile.go",
				"	tried := v.Target.Tries >= 0 && v.Target.Tries < v.Record.Ext.Tries\n",
				"	tried := v.Target.Exhausted\n")},
		{Name: "the deadline of a trial is not renewed by a boot",
			Scenario: "slow-boots", Loader: "uboot-files", Edits: edit("agent/life/start.go",
				`	t.Rec.Ext.Began = t.now()
	d["trial-boot"]`,
				`	d["trial-boot"]`)},
		{Name: "an offer whose decision had no room is forgotten",
			Scenario: "update", Loader: "uboot-files", Edits: edit("agent/run.go",
				`			if from.Phase == life.Idle {
				a.in.Miss()`,
				`			if from.Phase == life.Idle && from.Digest != "" {
				a.in.Miss()`)},
		{Name: "a document that had no room is forgotten",
			Scenario: "withdrawn", Loader: "uboot-files", Edits: edit("agent/hear.go",
				"		a.in.Keep(m) // the journal",
				"		_ = m // the journal")},
		{Name: "what is inferred of the running slot is never written down",
			Scenario: "adopted", Loader: "grub", Edits: []Edit{
				{"bootctl/internal/choice/choice.go", "			e.Good = Confirmed\n", ""},
				{"bootctl/internal/choice/choice.go",
					"	d.Entries[name] = Entry{Tries: max(full, e.Tries), Good: Confirmed}",
					"	d.Entries[name] = Entry{Tries: max(full, e.Tries), Good: e.Good}"},
			}},
		{Name: "an image that is given back in the file alone stays barred",
			Scenario: "give-back", Loader: "uboot-files", Edits: edit("agent/life/giveback.go",
				`slices.Contains(t.Tally.Given, b) {`,
				`slices.Contains(t.Tally.Given, b) && false {`)},
		{Name: "a missing boot id is taken for the same boot",
			Scenario: "no-boot-id-count", Loader: "uboot-files", Edits: edit("agent/life/start.go",
				`s.Rec.Ext.BootID != "" && s.Rec.Ext.BootID == s.BootID`,
				"s.Rec.Ext.BootID == s.BootID")},
	}
}
