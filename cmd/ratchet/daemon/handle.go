package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/console"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/transport/file"
)

// handle is the verb table's other half: each verb is one call of the agent.
func (d *device) handle(ctx context.Context, r control.Request, progress func(any)) (any, error) {
	actor := r.Peer.String()
	note := r.Args["note"]
	var result any
	var err error
	switch r.Verb {
	case control.VerbStatus:
		st := d.agent.Console().Status(ctx)
		st.Processes = d.processes()
		result = st
	case control.VerbSlots:
		result = d.agent.Console().Slots(ctx)
	case control.VerbHistory:
		n, perr := strconv.Atoi(r.Args["n"])
		if perr != nil || n < 1 || n > control.MaxHistory {
			n = 20
		}
		result, err = d.agent.Console().History(n)
	case control.VerbEvidence:
		from, _ := strconv.ParseUint(r.Args["from"], 10, 64)
		result, err = d.agent.Console().Export(ctx, r.Files[0], from)
	case control.VerbInstall:
		result, err = d.install(ctx, r, progress)
	case control.VerbConfirm:
		result, err = d.agent.Console().Confirm(ctx, actor, note)
	case control.VerbRevert:
		result, err = d.agent.Console().Revert(ctx, actor, note)
	case control.VerbRecover:
		if r.Args["step"] == control.StepChallenge {
			result, err = d.agent.Console().Challenge(ctx, actor)
			break
		}
		var permit []byte
		if permit, err = io.ReadAll(io.LimitReader(r.Files[0], trust.MaxMessage+1)); err == nil {
			if result, err = d.agent.Console().Permit(ctx, permit, actor); err != nil {
				return nil, aboutPermit(explain(err))
			}
		}
	case control.VerbRetry:
		result, err = d.agent.Console().Retry(ctx, r.Args["manifest"], r.Args["sure"] == "yes", actor, note)
	case control.VerbApprove:
		result, err = d.agent.Console().Approve(ctx, r.Args["manifest"], actor, note)
	default:
		err = fmt.Errorf("internal error: verb %s has no handler", r.Verb)
	}
	if err != nil {
		return nil, explain(err)
	}
	return result, nil
}

// processes are those that do something for the daemon, as they are now.
func (d *device) processes() (all []control.ProcessStatus) {
	if d.net == nil {
		return nil
	}
	i := d.net.Info()
	p := control.ProcessStatus{Name: "net", Running: i.Running, Pid: i.Pid, Since: i.Since, Starts: i.Starts}
	if i.Why != nil {
		p.Error = i.Why.Error()
	}
	if i.Ended != nil {
		p.Ended = i.Ended.Error()
	}
	for _, f := range i.Features {
		p.Sandbox = append(p.Sandbox, control.SandboxStatus{Name: f.Name, On: f.On, Detail: f.Detail})
	}
	return append(all, p)
}

// install looks at an envelope, or installs it with the payloads that were handed over with it.
func (d *device) install(ctx context.Context, r control.Request, progress func(any)) (any, error) {
	env, err := io.ReadAll(io.LimitReader(r.Files[0], manifest.MaxEnvelope+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the envelope: %w", err)
	}
	l := console.LocalInstall{Envelope: env, Name: r.Args["envelope"], Actor: r.Peer.String()}
	if r.Args["step"] == control.StepCheck {
		return d.agent.Console().Check(ctx, l)
	}
	names, err := r.Names()
	if err != nil {
		return nil, err
	}
	l.Payloads = intake.Payloads{}
	for i, n := range names {
		// The update outlives the connection: a technician may close the terminal.
		f := r.Take(i + 1)
		src, err := file.NewSource(f)
		if err != nil {
			_ = f.Close()
			l.Payloads.Close()
			return nil, fmt.Errorf("cannot use payload %s: %w", n, err)
		}
		l.Payloads[n] = src
	}
	return d.agent.Console().Install(ctx, l, func(p control.Progress) { progress(p) })
}

// aboutPermit says of a permit what the reasons say of an update.
func aboutPermit(err error) error {
	var e *control.Error
	if !errors.As(err, &e) || e.Reason == reason.PermitVoid || e.Exit != control.ExitRefused {
		return err
	}
	e.Message = "The device does not take this file as a permit." + strings.TrimPrefix(e.Message, e.Reason.Info().Says)
	e.Advice = "Hand over the file with which `ratchet-release permit` answered the challenge of `ratchet recover`."
	return e
}

// explain turns an error of the agent into what the command line shows, with its exit code.
func explain(err error) error {
	var refused *intake.Refused
	if !errors.As(err, &refused) {
		return err
	}
	i := refused.Reason.Info()
	e := &control.Error{Reason: refused.Reason, Message: i.Says, Advice: i.Advice, Exit: control.ExitRefused}
	if refused.Detail != "" {
		e.Message += " (" + refused.Detail + ")"
	}
	switch refused.Reason {
	case reason.NothingToDo:
		e.Message, e.Advice = refused.Detail, "See `ratchet status` for what the device does."
	case reason.RevertImpossible: // the reason's own words are for a device that must go back
		e.Message = "There is nothing to go back to (" + refused.Detail + ")"
		e.Advice = "The running system stays as it is. Install an update to change it."
	}
	switch {
	case refused.Reason == reason.UpdateInProgress:
		e.Exit = control.ExitBusy
	case refused.Deferred:
		e.Exit = control.ExitDeferred
	}
	return e
}
