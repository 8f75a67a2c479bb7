package explorer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Defect is a way to break the product that the explorer must find. It is built into a program of
// its own with go build -overlay; no file of the product is touched, and no switch for it is in the product.
type Defect struct {
	Name  string
	Edits []Edit
	// Scenario and Loader are where it is looked for: the first that found it when it was looked for
	// everywhere.
	Scenario, Loader string
}

// Edit replaces a text that stands exactly once in a file.
type Edit struct{ File, Old, New string }

func edit(file, old, now string) []Edit { return []Edit{{file, old, now}} }

// Defects are all planted defects.
func Defects() []Defect {
	return []Defect{
		{Name: "a checkpoint's bytes are not flushed", Edits: edit("slots/commit.go", "if e := c.w.dev.Sync(); e != nil {", "if e := error(nil); e != nil {"), Scenario: "update", Loader: "uboot-files"},
		{Name: "a checkpoint is recorded before its bytes are flushed", Edits: edit("slots/commit.go", "	if e := c.w.dev.Sync(); e != nil {", "	if c.w.o.Save != nil {\n		_ = c.w.o.Save(m)\n	}\n	if e := c.w.dev.Sync(); e != nil {"), Scenario: "update", Loader: "uboot-files"},
		{Name: "the slot is not read back before it is armed", Edits: edit("agent/write.go", "			err = slots.Check(step, dev, slots.Image{Alg: i.Alg, Digest: i.Digest, Size: i.Size}, a.showProgress(i.Component))", "			_, _ = slots.Check, step"), Scenario: "update", Loader: "uboot-files"},
		{Name: "a restart in phase ready arms without another read-back", Edits: []Edit{
			{"agent/recover.go", "		return Step{To: Checking, Cause: reason.Interrupted}\n	default:\n		return Step{To: v.Record.Phase, Same: true", "		return Step{To: Ready, Same: true}\n	default:\n		return Step{To: v.Record.Phase, Same: true"},
			{"agent/ready.go", "if len(a.held) == 0 && len(a.rec.Ext.Images) > 0 {", "if false {"}}, Scenario: "update", Loader: "uboot-files"},
		{Name: "a system is confirmed whatever its health is", Edits: edit("agent/trial.go", "	if v.Healthy {", "	if true {"), Scenario: "sick", Loader: "uboot-files"},
		{Name: "the counter is raised before the slot is confirmed", Edits: edit("agent/activate.go", "		err = a.o.Boot.Confirm(ctx, a.rec.Target)", "		_ = a.o.Counter.Raise(ctx, a.rootVersion())\n		err = a.o.Boot.Confirm(ctx, a.rec.Target)"), Scenario: "update", Loader: "uboot-files"},
		{Name: "the active copy of the environment is overwritten", Edits: edit("bootctl/ubootenv/copies.go", "target = 1 - e.current", "target = e.current"), Scenario: "update", Loader: "uboot-block"},
		{Name: "the new copy of the environment gets the old serial", Edits: edit("bootctl/ubootenv/copies.go", "flags = (int(e.copies[e.current].flags) + 1) & 0xff", "flags = int(e.copies[e.current].flags) & 0xff"), Scenario: "update", Loader: "uboot-files"},
		{Name: "the environment is not flushed", Edits: edit("bootctl/ubootenv/copies.go", "	if _, err := m.WriteAt(raw, off); err != nil {\n		return err\n	}\n	return m.Sync()", "	if _, err := m.WriteAt(raw, off); err != nil {\n		return err\n	}\n	return nil"), Scenario: "update", Loader: "uboot-files"},
		{Name: "metadata that stands in the cache only is believed", Edits: edit("bootctl/ubootenv/ubootenv.go", "	return b.apply(e, cur.list, old, next, !b.sure.Load())", "	return b.apply(e, cur.list, old, next, false)"), Scenario: "update", Loader: "uboot-files"},
		{Name: "a verdict about a signature sticks to the manifest", Edits: edit("agent/reason/table.go", "	SignerUnknown: {\n		Final: true, ThisCopy: true,", "	SignerUnknown: {\n		Final: true,"), Scenario: "key-rotation", Loader: "uboot-files"},
		{Name: "stop points do not ask whether the campaign goes on", Edits: edit("agent/standing.go", "	return a.who.Standing\n", "	if a.rec.Phase != Idle {\n		return policy.Standing{}\n	}\n	return a.who.Standing\n"), Scenario: "withdrawn", Loader: "uboot-files"},
		{Name: "the loader's own write is not flushed before the other copy is written", Edits: edit("bootctl/ubootenv/copies.go", "if err := b.flush(b.o.Copies[e.current]); err != nil {", "if err := error(nil); err != nil {"), Scenario: "update", Loader: "uboot-block"},
		{Name: "grubenv is not flushed", Edits: edit("bootctl/grubenv/grubenv.go", "	if _, err := m.WriteAt(out, 0); err != nil {\n		return err\n	}\n	return m.Sync()", "	if _, err := m.WriteAt(out, 0); err != nil {\n		return err\n	}\n	return nil"), Scenario: "update", Loader: "grub"},
		{Name: "evidence is committed after the transition", Edits: edit("agent/agent.go", "if err := a.st.commit(rec, []evidence.Event{e}, also...); err != nil {", "err := a.st.commit(rec, nil, also...)\n	if err == nil {\n		err = a.st.commit(nil, []evidence.Event{e})\n	}\n	if err != nil {"), Scenario: "update", Loader: "uboot-files"},
		{Name: "the head of the evidence is not stored", Edits: edit("agent/store.go", "		return put(tx, keyHead, next)\n	})\n	if err != nil {\n		return fmt.Errorf(\"%w: %w\", errDurable, err)", "		return nil\n	})\n	if err != nil {\n		return fmt.Errorf(\"%w: %w\", errDurable, err)"), Scenario: "update", Loader: "uboot-files"},
		{Name: "the slot is armed before phase arming is durable", Edits: edit("agent/ready.go", "			return a.move(Arming, reason.None, func(r *Record) { r.Ext.Arms++ }, evidence.Event{})", "			a.rec.Phase = Arming\n			return nil"), Scenario: "update", Loader: "uboot-files"},
		{Name: "the target is not disabled before its first byte is written", Edits: edit("agent/write.go", "func (a *Agent) disableTarget(ctx context.Context) error {\n", "func (a *Agent) disableTarget(ctx context.Context) error {\n	if ctx != nil {\n		return nil\n	}\n"), Scenario: "update", Loader: "uboot-files"},
		{Name: "a slot that was reverted is never disabled", Edits: []Edit{
			{"agent/activate.go", "		err := a.o.Boot.Disable(ctx, a.rec.Target)\n		if ctx.Err()", "		err := error(nil)\n		if ctx.Err()"},
			{"agent/activate.go", "	if err := a.o.Boot.Disable(ctx, a.rec.Target); err != nil {\n		a.fail(\"cannot disable slot \"+string(a.rec.Target), err)\n		if errors.Is", "	if err := error(nil); err != nil {\n		a.fail(\"cannot disable slot \"+string(a.rec.Target), err)\n		if errors.Is"},
			{"agent/idle.go", "	if s := after.Slots[other]; s.Bootable && !s.Confirmed {", "	if s := after.Slots[other]; s.Bootable && s.Confirmed && s.Tries < 0 {"}}, Scenario: "no-reboot", Loader: "uboot-files"},
		{Name: "the count of reboots is not durable", Edits: edit("agent/activate.go", "	err := a.move(a.rec.Phase, a.rec.Ext.Cause, func(r *Record) { r.Ext.Reboots++ },\n		evidence.Event{Kind: evidence.KindBoot, Detail: map[string]string{\"reboot\": \"asked\"}})", "	a.rec.Ext.Reboots++\n	err := error(nil)"), Scenario: "update", Loader: "uboot-files"},
		{Name: "a failed trial reboots without recording why", Edits: edit("agent/trial.go", "	return a.revert(why, detail)\n}\n\nfunc onlyBroker", "	_ = a.o.Power.Reboot(ctx, \"\")\n	<-ctx.Done()\n	return nil\n}\n\nfunc onlyBroker"), Scenario: "sick", Loader: "uboot-files"},
		{Name: "trial boots are not counted", Edits: edit("agent/start.go", "	n := max(a.rec.Boots, a.q.boots(key)) + 1", "	n := 1"), Scenario: "lost-decrement", Loader: "uboot-files"},
		{Name: "what the loader says it booted is not compared with /", Edits: edit("agent/look.go", "	case marker != \"\" && bootctl.Slot(marker) != found:", "	case false:"), Scenario: "unproven", Loader: "uboot-files"},
		{Name: "the tries of the running slot are not refilled", Edits: []Edit{
			{"agent/idle.go", "	if err := a.o.Boot.Refresh(ctx, a.run); err != nil {", "	if err := error(nil); err != nil {"},
			{"agent/start.go", "		if err := a.o.Boot.Refresh(ctx, a.run); err != nil {", "		if err := error(nil); err != nil {"}}, Scenario: "tries-drain", Loader: "uboot-rauc"},
		{Name: "checkpoints are kept after a failed read-back", Edits: edit("agent/write.go", "		clear := func(tx journal.Tx) error { return forget(tx, prefixCheck) }\n		switch {\n		case errors.Is(err, hal.ErrBusy)", "		clear := func(journal.Tx) error { return nil }\n		switch {\n		case errors.Is(err, hal.ErrBusy)"), Scenario: "lying-medium", Loader: "uboot-files"},
		{Name: "a confirmation is believed without reading it again", Edits: edit("agent/activate.go", "if st, serr := a.o.Boot.State(ctx); serr == nil && st.Slots[a.rec.Target].Confirmed {", "if st, serr := a.o.Boot.State(ctx); serr == nil || st.Slots[a.rec.Target].Confirmed {"), Scenario: "no-confirm", Loader: "uboot-files"},
		{Name: "a counter that could not be raised is forgotten", Edits: edit("agent/activate.go", "			end.why, end.pending = reason.FloorPending, reason.FloorPending", "			end.why = reason.None"), Scenario: "no-counter", Loader: "uboot-files"},
		{Name: "a deferred offer is forgotten", Edits: edit("agent/accept.go", "		keep := func(tx journal.Tx) error { return put(tx, keyWaiting, w) }", "		keep := func(journal.Tx) error { return nil }"), Scenario: "low-battery", Loader: "uboot-files"},
		{Name: "an image is blamed for the broker's absence", Edits: edit("agent/trial.go", "	return n > 0\n", "	return n > 99\n"), Scenario: "broker-outage", Loader: "uboot-files"},
		{Name: "a stray armed slot is left armed", Edits: edit("agent/idle.go", "	if s := after.Slots[other]; s.Bootable && !s.Confirmed {", "	if s := after.Slots[other]; s.Bootable && s.Confirmed && s.Tries < 0 {"), Scenario: "stray-armed", Loader: "uboot-files"},
		{Name: "a slot that waited long is armed without another read-back", Edits: edit("agent/ready.go", "a.o.Clock.Uptime()-a.checked > readyFor", "a.o.Clock.Uptime()-a.checked < 0"), Scenario: "window-rot", Loader: "uboot-files"},
	}
}

// Check tells whether every text of the defect stands exactly once in its file below root.
func (f Defect) Check(root string) error {
	_, err := f.apply(root)
	return err
}

// apply returns the changed files by their path below root.
func (f Defect) apply(root string) (map[string]string, error) {
	out := map[string]string{}
	for _, e := range f.Edits {
		text, ok := out[e.File]
		if !ok {
			b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.File)))
			if err != nil {
				return nil, fmt.Errorf("cannot plant %q: %w", f.Name, err)
			}
			text = string(b)
		}
		if n := strings.Count(text, e.Old); n != 1 {
			return nil, fmt.Errorf("cannot plant %q: its text stands %d times in %s, not once: correct the table of defects", f.Name, n, e.File)
		}
		out[e.File] = strings.Replace(text, e.Old, e.New, 1)
	}
	return out, nil
}

// Build makes a ratchet-lab with the defect, in dir, from the source at root, which is not changed.
func (f Defect) Build(ctx context.Context, root, dir string) (program string, err error) {
	files, err := f.apply(root)
	if err != nil {
		return "", err
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	n := 0
	for name, text := range files {
		n++
		path := filepath.Join(dir, fmt.Sprintf("planted-%d.go", n))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return "", err
		}
		overlay.Replace[filepath.Join(root, filepath.FromSlash(name))] = path
	}
	b, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, b, 0o600); err != nil {
		return "", err
	}
	program = filepath.Join(dir, "ratchet-lab")
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-overlay", list, "-o", program, "./cmd/ratchet-lab")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build %q: %w\n%s", f.Name, err, out)
	}
	return program, nil
}

// ErrNotFound: the explorer did not find a planted defect.
var ErrNotFound = errors.New("the explorer did not find it")
