package explorer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Defect is a way to break the product that the explorer or a test must find. It is built into a program of
// its own with -overlay; no file of the product is touched, and no switch for it is in the product.
type Defect struct {
	Name  string
	Edits []Edit
	// Scenario and Loader are where the explorer looks for it: the first that found it when it was looked for
	// everywhere.
	Scenario, Loader string
	// Package and Test are what finds it instead, where the explorer does not play that code: a folder below the
	// root, and the name of the test that must fail.
	Package, Test string
}

// Edit replaces a text that stands exactly once in a file.
type Edit struct{ File, Old, New string }

func edit(file, old, now string) []Edit { return []Edit{{file, old, now}} }

// Defects are all planted defects.
func Defects() []Defect { return slices.Concat(explored(), learned(), tested()) }

// explored are those that the explorer finds.
func explored() []Defect {
	return []Defect{
		{Name: "grubenv is a new file each time, in the journal only",
			Scenario: "update", Loader: "grub-ext4", Edits: []Edit{
				{"bootctl/grubenv/place.go", "	return p.checkpoint(p.path)\n", "	return nil\n"},
				{"bootctl/grubenv/place.go", "if m.Size() != int64(len(data)) {", "if true {"},
			}},
		{Name: "one copy of the environment that cannot be read ends the reading of both",
			Scenario: "update", Loader: "uboot-block-unreadable", Edits: edit("bootctl/ubootenv/copies.go",
				"failed == len(e.copies) {",
				"failed > 0 {")},
		{Name: "a checkpoint's bytes are not flushed",
			Scenario: "update", Loader: "uboot-files", Edits: edit("slots/commit.go",
				"if e := c.w.dev.Sync(); e != nil {",
				"if e := error(nil); e != nil {")},
		{Name: "a checkpoint is recorded before its bytes are flushed",
			Scenario: "update", Loader: "uboot-files", Edits: edit("slots/commit.go",
				`	if e := c.w.dev.Sync(); e != nil {`,
				`	if c.w.o.Save != nil {
		_ = c.w.o.Save(m)
	}
	if e := c.w.dev.Sync(); e != nil {`)},
		{Name: "the slot is not read back before it is armed",
			Scenario: "update", Loader: "uboot-files", Edits: edit("agent/perform.go",
				`			err = slots.Check(ctx, dev, slots.Image{Alg: i.Alg, Digest: i.Digest, Size: i.Size},
				e.view.Meter(i.Component))`,
				`			_, _ = slots.Check, ctx`)},
		{Name: "a part that is carried is not read back before it is armed",
			Scenario: "carried", Loader: "uboot-files", Edits: edit("agent/perform.go",
				`	for _, i := range e.s.Rec.Ext.Images {
		d.Component = i.Component
`,
				`	for _, i := range e.s.Rec.Ext.Images {
		if i.Carried {
			continue
		}
		d.Component = i.Component
`)},
		{Name: "a part is carried whatever the running slot holds",
			Scenario: "carried-changed", Loader: "uboot-files", Edits: edit("agent/carry.go",
				`		err = slots.Check(ctx, dev, imageOf(c), e.view.Meter(c.Component))
`,
				"")},
		{Name: "what a failed flush has left is taken for the part that was there",
			Scenario: "carried", Loader: "uboot-files", Edits: edit("agent/carry.go",
				"there := e.isThere(c) && slots.Check",
				"there := slots.Check")},
		{Name: "a part that the release leaves out stays as it is",
			Scenario: "carried", Loader: "uboot-files", Edits: []Edit{
				{"agent/intake/ruling.go", "	for _, c := range p.Carries() {\n",
					"	for _, c := range p.Carries()[:0] {\n"},
				{"agent/write.go", "e.plan.Installs(), e.plan.Carries()\n",
					"e.plan.Installs(), e.plan.Carries()[:0]\n"},
			}},
		{Name: "a restart in phase ready arms without another read-back",
			Scenario: "update", Loader: "uboot-files", Edits: []Edit{
				{"agent/life/reconcile.go",
					`		return Resume{To: Checking, Cause: reason.Interrupted}
	default:
		return Resume{To: v.Record.Phase, Same: true`,
					`		return Resume{To: Ready, Same: true}
	default:
		return Resume{To: v.Record.Phase, Same: true`},
				{"agent/life/table.go",
					"return !t.Held && len(t.Rec.Ext.Images) > 0",
					"return false"},
			}},
		{Name: "a system is confirmed whatever its health is",
			Scenario: "sick", Loader: "uboot-files", Edits: edit("agent/life/table.go",
				`{Trial, OnVerdict, "healthy", "go on", []Phase{Confirming}, healthy, toConfirming}`,
				`{Trial, OnVerdict, "healthy", "go on", []Phase{Confirming}, nil, toConfirming}`)},
		{Name: "the counter is raised before the slot is confirmed",
			Scenario: "update", Loader: "uboot-files", Edits: edit("agent/perform.go",
				`	err := a.o.Boot.Confirm(ctx, slot)
`,
				`	_ = a.o.Counter.Raise(ctx, a.in.RootVersion())
	err := a.o.Boot.Confirm(ctx, slot)
`)},
		{Name: "the active copy of the environment is overwritten",
			Scenario: "update", Loader: "uboot-block", Edits: edit("bootctl/ubootenv/copies.go",
				"target = 1 - r.current",
				"target = r.current")},
		{Name: "the new copy of the environment gets the old serial",
			Scenario: "update", Loader: "uboot-files", Edits: edit("bootctl/ubootenv/copies.go",
				"flags = (int(r.env.copies[r.current].flags) + 1) & 0xff",
				"flags = int(r.env.copies[r.current].flags) & 0xff")},
		{Name: "the environment is not flushed",
			Scenario: "update", Loader: "uboot-files", Edits: edit("bootctl/ubootenv/place.go",
				`	if _, err := m.WriteAt(raw, off); err != nil {
		return err
	}
	return m.Sync()`,
				`	if _, err := m.WriteAt(raw, off); err != nil {
		return err
	}
	return nil`)},
		{Name: "metadata that stands in the cache only is believed",
			Package: "bootctl/grubenv", Test: "TestFaults", Edits: edit("bootctl/internal/engine/engine.go",
				"c.Old, c.Again = r.Choice(), !e.sure.Load()",
				"c.Old, c.Again = r.Choice(), false")},
		{Name: "a verdict about a signature sticks to the manifest",
			Scenario: "key-rotation", Loader: "uboot-files", Edits: edit("agent/reason/table.go",
				`	SignerUnknown: {
		Final: true, ThisCopy: true,`,
				`	SignerUnknown: {
		Final: true,`)},
		{Name: "stop points do not ask whether the campaign goes on",
			Scenario: "withdrawn", Loader: "uboot-files", Edits: edit("agent/intake/decide.go",
				`	d := in.decide(o, f)
	return ruling(r, d), d.Plan`,
				`	d := policy.Decide(o, policy.Standing{}, in.permit(), f)
	return ruling(r, d), d.Plan`)},
		{Name: "the loader's own write is not flushed before the other copy is written",
			Scenario: "update", Loader: "uboot-block", Edits: edit("bootctl/ubootenv/copies.go",
				"if err := r.place(r.o.Copies[r.current]).flush(); err != nil {",
				"if err := error(nil); err != nil {")},
		{Name: "grubenv is not flushed",
			Scenario: "update", Loader: "grub", Edits: edit("bootctl/grubenv/place.go",
				`	if _, err := m.WriteAt(data, 0); err != nil {
		return err
	}
	return m.Sync()`,
				`	if _, err := m.WriteAt(data, 0); err != nil {
		return err
	}
	return nil`)},
		{Name: "evidence is committed after the transition",
			Scenario: "update", Loader: "uboot-files", Edits: edit("agent/run.go",
				`	err := a.st.Commit(c.Record, c.Events, ops...)
`,
				`	err := a.st.Commit(c.Record, nil, ops...)
	if err == nil {
		err = a.st.Commit(nil, c.Events)
	}
`)},
		{Name: "the head of the evidence is not stored",
			Scenario: "update", Loader: "uboot-files", Edits: edit("agent/internal/store/store.go",
				`		return put(tx, keyHead, next)
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDurable, err)`,
				`		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDurable, err)`)},
		{Name: "the slot is armed before phase arming is durable",
			Scenario: "update", Loader: "uboot-files", Edits: edit("agent/life/step.go",
				`	if write && !t.Frozen {`,
				`	if write && !t.Frozen && t.Rec.Phase != Arming {`)},
		{Name: "the target is not disabled before its first byte is written",
			Scenario: "update", Loader: "uboot-files", Edits: edit("agent/perform.go",
				`		a.changeBoot(ctx, &d, a.o.Boot.Disable(ctx, do.Slot))`,
				`		if a.s.Rec.Phase == life.Reverting || a.s.Rec.Phase == life.Idle {
			a.changeBoot(ctx, &d, a.o.Boot.Disable(ctx, do.Slot))
		} else {
			a.look(ctx, &d)
			d.Boot.Slots[do.Slot], d.Boot.Next = bootctl.SlotState{}, ""
		}`)},
		{Name: "a slot that was reverted is never disabled",
			Scenario: "no-reboot", Loader: "uboot-files", Edits: edit("agent/perform.go",
				`		a.changeBoot(ctx, &d, a.o.Boot.Disable(ctx, do.Slot))`,
				`		if a.s.Rec.Phase == life.Reverting || a.s.Rec.Phase == life.Idle {
			a.look(ctx, &d)
		} else {
			a.changeBoot(ctx, &d, a.o.Boot.Disable(ctx, do.Slot))
		}`)},
		{Name: "the count of reboots is not durable",
			Scenario: "update", Loader: "uboot-files", Edits: edit("agent/life/activate.go",
				`	t.charge(Reboots)
	t.move(t.Rec.Phase, t.Rec.Ext.Cause, evidence.Event{Kind: evidence.KindBoot, Detail: detail("reboot", "asked")})
`,
				"")},
		{Name: "a failed trial reboots without recording why",
			Scenario: "sick", Loader: "uboot-files", Edits: edit("agent/life/trial.go",
				`func sick(t *turn) {
	why, text := t.e.(Verdict).why()
	t.back(why, text)`,
				`func sick(t *turn) {
	t.do(Reboot{})`)},
		{Name: "trial boots are not counted",
			Scenario: "lost-decrement", Loader: "uboot-files", Edits: edit("agent/life/start.go",
				`	t.Budget.Boots = max(t.Budget.Boots, t.Tally.boots(key))
`,
				`	t.Budget.Boots = 0
`)},
		{Name: "what the loader says it booted is not compared with /",
			Scenario: "unproven", Loader: "uboot-files", Edits: edit("agent/perform.go",
				`	case marker != "" && bootctl.Slot(marker) != found:`,
				`	case false:`)},
		{Name: "the tries of the running slot are not refilled",
			Scenario: "tries-drain", Loader: "uboot-rauc", Edits: edit("agent/perform.go",
				`		a.changeBoot(ctx, &d, a.o.Boot.Refresh(ctx, do.Slot))`,
				`		a.look(ctx, &d)`)},
		{Name: "checkpoints are kept after a failed read-back",
			Scenario: "lying-medium", Loader: "uboot-files", Edits: []Edit{
				{"agent/life/prepare.go",
					`	t.ops(DropCheckpoints{})
	t.Budget.Whole = false
	t.move(Writing, why,`,
					`	t.Budget.Whole = false
	t.move(Writing, why,`},
				{"agent/life/prepare.go",
					"t.give(reason.ReadBackMismatch, e.Text, true, DropCheckpoints{})",
					"t.give(reason.ReadBackMismatch, e.Text, true)"},
			}},
		{Name: "a confirmation is believed without reading it again",
			Scenario: "no-confirm", Loader: "uboot-files", Edits: edit("agent/life/activate.go",
				`	return e.BootOK && e.Boot.Slots[t.Rec.Target].Confirmed
}

func sealAfter`,
				`	return e.BootOK || e.Boot.Slots[t.Rec.Target].Confirmed
}

func sealAfter`)},
		{Name: "a counter that could not be raised is forgotten",
			Scenario: "no-counter", Loader: "uboot-files", Edits: edit("agent/life/activate.go",
				`		e.why, e.pending = reason.FloorPending, reason.FloorPending`,
				`		e.why = reason.None`)},
		{Name: "a deferred offer is forgotten",
			Scenario: "low-battery", Loader: "uboot-files", Edits: edit("agent/life/step.go",
				`		ops = append(ops, PutWaiting{next.Waiting})`,
				`		ops = append(ops, PutSeen{next.Seen})`)},
		{Name: "an image is blamed for the broker's absence",
			Scenario: "broker-outage", Loader: "uboot-files", Edits: edit("agent/life/trial.go",
				"func onlyRemote(t *turn) bool { return t.e.(Verdict).Local }",
				"func onlyRemote(t *turn) bool { return t.e.(Verdict).Local && t.Frozen }")},
		{Name: "a stray armed slot is left armed",
			Scenario: "stray-armed", Loader: "uboot-files", Edits: edit("agent/life/idle.go",
				`	if s := e.Boot.Slots[other]; s.Bootable && !s.Confirmed {`,
				`	if s := e.Boot.Slots[other]; s.Bootable && s.Confirmed && s.Tries < 0 {`)},
		{Name: "a slot that waited long is armed without another read-back",
			Scenario: "window-rot", Loader: "uboot-files", Edits: edit("agent/life/table.go",
				"t.now()-t.CheckedAt > readyFor",
				"t.now()-t.CheckedAt < 0")},
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
			return nil, fmt.Errorf("cannot plant %q: its text stands %d times in %s, not once: "+
				"correct the table of defects", f.Name, n, e.File)
		}
		out[e.File] = strings.Replace(text, e.Old, e.New, 1)
	}
	return out, nil
}

// Plant writes the changed files into dir, and returns the file for -overlay. The source at root is not changed.
func (f Defect) Plant(root, dir string) (overlay string, err error) {
	files, err := f.apply(root)
	if err != nil {
		return "", err
	}
	list := struct{ Replace map[string]string }{map[string]string{}}
	n := 0
	for name, text := range files {
		n++
		path := filepath.Join(dir, fmt.Sprintf("planted-%d.go", n))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return "", err
		}
		list.Replace[filepath.Join(root, filepath.FromSlash(name))] = path
	}
	b, err := json.Marshal(list)
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, b, 0o600)
}

// Build makes a ratchet-lab with the defect, in dir, from the source at root.
func (f Defect) Build(ctx context.Context, root, dir string) (program string, err error) {
	overlay, err := f.Plant(root, dir)
	if err != nil {
		return "", err
	}
	program = filepath.Join(dir, "ratchet-lab")
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-overlay", overlay, "-o", program,
		"./cmd/ratchet-lab")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build %q: %w\n%s", f.Name, err, out)
	}
	return program, nil
}

// Fails runs the test that must fail, and returns the line that says so. The error wraps ErrNotFound when the test
// passes, or ends otherwise.
func (f Defect) Fails(ctx context.Context, root, dir string) (string, error) {
	overlay, err := f.Plant(root, dir)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-short", "-count=1", "-vet=off", "-timeout=5m", "-overlay", overlay,
		"-run", "^"+f.Test+"$", "./"+f.Package)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err == nil {
		return "", fmt.Errorf("%w: %s in %s passes\n%s", ErrNotFound, f.Test, f.Package, out)
	}
	if !strings.Contains(string(out), "--- FAIL: "+f.Test) {
		return "", fmt.Errorf("%w: %s in %s does not run: %w\n%s", ErrNotFound, f.Test, f.Package, err, out)
	}
	return "test " + f.Test + " in " + f.Package, nil
}

// ErrNotFound: neither the explorer nor the test found a planted defect.
var ErrNotFound = errors.New("it was not found")
