package agent_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/console"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/slots"
)

// verbs are what a person may ask for, each with no argument.
var verbs = map[string]func(context.Context, *rig, *agent.Agent) error{
	"confirm": func(ctx context.Context, _ *rig, a *agent.Agent) error {
		_, err := a.Console().Confirm(ctx, "uid 0", "")
		return err
	},
	"revert": func(ctx context.Context, _ *rig, a *agent.Agent) error {
		_, err := a.Console().Revert(ctx, "uid 0", "")
		return err
	},
	"approve": func(ctx context.Context, _ *rig, a *agent.Agent) error {
		_, err := a.Console().Approve(ctx, "", "uid 0", "")
		return err
	},
	"approve unknown": func(ctx context.Context, _ *rig, a *agent.Agent) error {
		_, err := a.Console().Approve(ctx, "sha256:0000000000000000000000000000000000000000000000000000000000000000",
			"uid 0", "")
		return err
	},
	"install garbage": func(ctx context.Context, _ *rig, a *agent.Agent) error {
		_, err := a.Console().Install(ctx, console.LocalInstall{Envelope: []byte("x"), Name: "x", Actor: "uid 0"},
			func(control.Progress) {})
		return err
	},
	"install without its file": func(ctx context.Context, r *rig, a *agent.Agent) error {
		_, err := a.Console().Install(ctx, console.LocalInstall{Envelope: r.release(9, 3), Name: "x", Actor: "uid 0",
			Payloads: map[string]slots.Source{}}, func(control.Progress) {})
		return err
	},
}

const done = reason.Reason("done")

// TestVerbs asks for everything in every state in which a device stays for a while. Every question has
// an answer, at once or within the two seconds that a busy agent gives it.
func TestVerbs(t *testing.T) {
	busy := reason.UpdateInProgress
	tests := []struct {
		state string
		want  map[string]reason.Reason
	}{
		{"idle", map[string]reason.Reason{"confirm": reason.NothingToDo, "revert": reason.RevertImpossible,
			"approve":         reason.NothingToDo,
			"approve unknown": reason.NothingToDo, "install garbage": reason.EnvelopeMalformed,
			"install without its file": reason.Interrupted}},
		{"writing", map[string]reason.Reason{"confirm": reason.NothingToDo, "revert": done,
			"approve":         reason.NothingToDo,
			"approve unknown": reason.NothingToDo, "install garbage": busy, "install without its file": busy}},
		{"ready", map[string]reason.Reason{"confirm": reason.NothingToDo, "revert": done, "approve": done,
			"approve unknown": reason.NothingToDo, "install garbage": busy, "install without its file": busy}},
		{"trial", map[string]reason.Reason{"confirm": done, "revert": done, "approve": reason.NothingToDo,
			"approve unknown": reason.NothingToDo, "install garbage": busy, "install without its file": busy}},
		{"rebooting",
			map[string]reason.Reason{"confirm": busy, "revert": busy, "approve": busy, "approve unknown": busy,
				"install garbage": busy, "install without its file": busy}},
		{"unproven",
			map[string]reason.Reason{"confirm": reason.RunningUnproven, "revert": reason.RunningUnproven,
				"approve": reason.NothingToDo, "approve unknown": reason.NothingToDo,
				"install garbage": reason.EnvelopeMalformed, "install without its file": reason.RunningUnproven}},
		{"boot-safe",
			map[string]reason.Reason{"confirm": reason.NothingToDo, "revert": reason.RunningUnproven,
				"approve": reason.NothingToDo, "approve unknown": reason.NothingToDo,
				"install garbage": reason.EnvelopeMalformed, "install without its file": reason.BootSafeMode}},
	}
	for _, tt := range tests {
		for verb, want := range tt.want {
			t.Run(tt.state+"/"+verb, func(t *testing.T) {
				bubble(t, 500, func(r *rig) {
					var offers [][]byte
					phase, asked := tt.state, 0
					r.options = func(o *agent.Options) {
						switch tt.state {
						case "ready":
							o.Rules.Approval = policy.ApprovalInstall
						case "rebooting":
							o.Power, o.ForceAfter = deadPower{o.Power, &asked}, time.Hour
						case "boot-safe":
							o.Safe = []string{"line 3: unknown key"}
						}
					}
					slow := make(chan struct{})
					switch tt.state {
					case "writing":
						r.source = func(string, int64) (body, error) { return &hanging{gone: slow}, nil }
						offers = [][]byte{r.release(2, 2)}
					case "ready", "rebooting":
						offers = [][]byte{r.release(2, 2)}
					case "trial":
						r.inPhase(life.Trial, r.release(2, 2))
					case "unproven":
						r.w.SetRunning("/dev/a", "B")
						phase = "idle"
					case "boot-safe":
						phase = "idle"
					}
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					var answer chan error
					got, waited := reason.Reason(""), 0
					r.boot(&offers, func(a *agent.Agent) bool {
						s := a.Console().Status(ctx)
						if answer == nil && s.Phase == phase && s.Evidence.Seq > 1 &&
							(phase != "rebooting" || asked > 0) {
							answer = make(chan error, 1)
							go func() { answer <- verbs[verb](ctx, r, a) }()
							time.Sleep(3 * time.Second)
						}
						select {
						case err := <-answer:
							var no *intake.Refused
							if got = done; errors.As(err, &no) {
								got = no.Reason
							} else if err != nil {
								t.Error(err)
							}
							return true
						default:
							waited++
							return answer != nil && waited > 100
						}
					})
					if got != want {
						t.Errorf("answer %q, want %q", got, want)
					}
					close(slow)
				})
			})
		}
	}
}
