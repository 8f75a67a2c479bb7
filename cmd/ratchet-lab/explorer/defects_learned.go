package explorer

// learned are the defects that the explorer finds by one capability of the simulated machine: slots that start by
// what they hold.
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
				a.view.Meter(i.Component))`, `			_, _ = slots.Check, ctx`},
			}},
		{Name: "a kernel that cannot be loaded is taken for one that was never tried",
			Scenario: "unloadable", Loader: "uboot-files", Edits: edit(
				"agent/life/reconcile.go",
				"	tried := v.Target.Tries >= 0 && v.Target.Tries < v.Record.Ext.Tries\n",
				"	tried := v.Target.Exhausted\n")},
	}
}
