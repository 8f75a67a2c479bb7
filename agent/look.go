package agent

import (
	"context"
	"fmt"

	"github.com/ratchet-ota/ratchet/bootctl"
)

// proveRunning finds out which slot runs: the device behind "/", which must agree with what the
// bootloader says it booted. "" with an error when that cannot be proven; then nothing is written.
func (a *Agent) proveRunning() (bootctl.Slot, error) {
	root, err := a.o.Identity.Root()
	if err != nil {
		return "", fmt.Errorf("cannot prove what runs: %w", err)
	}
	if !root.Known() {
		return "", fmt.Errorf("cannot prove what runs: the device behind / is not known")
	}
	var found bootctl.Slot
	for _, s := range a.o.Slots {
		id, err := a.o.Blocks.Identify(s.Parts[a.o.RootComponent])
		if err != nil {
			continue // a slot that cannot be identified is not the running one
		}
		if id == root {
			if found != "" {
				return "", fmt.Errorf("cannot prove what runs: slots %s and %s are one device", found, s.Name)
			}
			found = s.Name
		}
	}
	marker, err := a.o.Identity.Marker()
	if err != nil {
		return "", fmt.Errorf("cannot prove what runs: %w", err)
	}
	switch {
	case found == "":
		return "", fmt.Errorf("cannot prove what runs: / is on none of the slots (bootloader says %q)", marker)
	case marker == "" && a.o.NeedMarker:
		return "", fmt.Errorf("cannot prove what runs: / is slot %s, but the bootloader passed no slot name", found)
	case marker != "" && bootctl.Slot(marker) != found:
		return "", fmt.Errorf("cannot prove what runs: / is slot %s, but the bootloader says %s", found, marker)
	}
	return found, nil
}

// look reads all that Reconcile needs.
func (a *Agent) look(ctx context.Context, have bool) (View, error) {
	v := View{HaveRecord: have, Record: a.rec, MaxBoots: a.o.MaxBoots}
	v.SameBoot = a.rec.Ext.BootID != "" && a.rec.Ext.BootID == a.bootID
	running, proof := a.proveRunning()
	a.run = running
	if running != "" {
		v.Running, v.Runs = running, RunsOther
		if running == a.rec.Target {
			v.Runs = RunsTarget
		}
	}
	st, err := a.o.Boot.State(ctx)
	if err != nil {
		a.log.Warn("boot metadata cannot be read", "error", err)
		return v, proof
	}
	v.BootValid = true
	v.Self = st.Slots[running]
	target := a.rec.Target
	if target == "" {
		target = running // what a synthetic trial would be about
	}
	if target != "" {
		v.Target, v.Fallback = st.Slots[target], st.Slots[a.other(target).Name]
	}
	return v, proof
}
