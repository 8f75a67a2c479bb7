package wire

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/health"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/connect"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/probe"
	"github.com/ratchet-ota/ratchet/hal/linux"
	"github.com/ratchet-ota/ratchet/hal/textfile"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport/network"
)

// Options wires the parts of the device that the configuration describes. What the device boots by must be
// there, or err says what is missing. What it reports by may be missing: that is logged, or added to what the
// agent gives as the causes of boot-safe mode, which begin with safe. net is the process that holds all connections,
// which the caller runs; nil without one.
//
// err is journal.ErrLocked while another daemon has the state directory. The journal in the options, nil if
// none can be had, is the caller's to close.
func Options(c *config.Config, safe []string, log *slog.Logger) (o agent.Options, net *network.Process, err error) {
	fsys := linux.FS{}
	o = agent.Options{Device: c.Device.ID, Version: agent.Version, Running: c.Device.Version,
		RootComponent: c.Running.RootComponent, NeedMarker: !c.Running.NoMarker, Blocks: linux.Blocks{},
		StateDir: c.State.Directory, RootVersion: c.Trust.RootVersion, EvidenceMax: c.Evidence.Bytes,
		Tries: c.Boot.Tries, MaxBoots: c.Boot.MaxBoots, Checkpoint: c.Policy.Checkpoint,
		RetryMax: time.Duration(c.HTTP.RetryMax), ForceAfter: time.Duration(c.Reboot.ForceAfter), Metered: metered(c),
		GiveBack: time.Duration(c.Policy.GiveBack), Safe: safe, Log: log}
	o.Identity, o.Power, o.Clock = machine(c)
	o.Reset = linux.Reset{File: c.Boot.ResetCause, Cmdline: c.Running.Cmdline}.Cause()
	o.Zone = linux.Zone
	o.Unpack = func() (slots.Unpacker, error) { return startUnpack(c) }
	if o.Slots, err = slotDefs(c); err != nil {
		return o, nil, err
	}
	if err := makeLockDir(c); err != nil { // one daemon at a time holds the journal; locks keep others out
		log.Warn("boot metadata is used without its lock", "error", err)
	}
	if o.Boot, err = backend(c, fsys, []bootctl.Slot{o.Slots[0].Name, o.Slots[1].Name}); err != nil {
		return o, nil, err
	}
	if o.Facts, err = c.Facts(); err != nil {
		return o, nil, err
	}
	if o.Rules, err = c.Rules(); err != nil {
		return o, nil, err
	}
	var state linux.Dir
	state, o.Journal, o.JournalLost, err = openJournal(c, log)
	o.FS, o.StateMoved = state, state.Moved
	if errors.Is(err, journal.ErrLocked) {
		return o, nil, err
	}
	if err != nil {
		o.Safe = append(o.Safe, err.Error())
	}
	o.Counter = Counter(c)
	o.Sequence = c.Device.Sequence
	wireKeys(&o, c, fsys, log)
	net = wireLate(&o, c, log)
	online := o.Online
	if online == nil {
		online = func() (bool, time.Time) { return false, time.Time{} }
	}
	if o.Health, err = healthPlan(c, online); err != nil {
		o.Safe = append(o.Safe, err.Error())
	}
	return o, net, nil
}

// wireLate wires what may come later than the daemon, and says of it what cannot be used now: the watchdog, and the
// network.
func wireLate(o *agent.Options, c *config.Config, log *slog.Logger) *network.Process {
	var looks []func() []error
	if c.Health.Watchdog != "" {
		w := &lateWatchdog{path: c.Health.Watchdog}
		o.Watchdog = w
		looks = append(looks, func() []error { return []error{w.look(c)} })
	}
	net, bad := Network(o, c, log)
	looks = append(looks, func() []error { return bad }, func() []error { return lacksClientKeys(c) })
	if net != nil {
		looks = append(looks, func() []error { return unusable(c, net) })
	}
	o.Problems = func() (out []reason.Problem) {
		for _, look := range looks {
			for _, err := range look() {
				if err != nil {
					out = append(out, reason.Lacks(strings.ReplaceAll(err.Error(), "\n", "; ")))
				}
			}
		}
		return out
	}
	return net
}

// machine is what the agent knows the machine by, and how it is rebooted.
func machine(c *config.Config) (linux.Identity, *linux.Power, linux.Clock) {
	id := linux.Identity{CmdlinePath: c.Running.Cmdline, Key: c.Running.MarkerKey,
		RootPath: c.Running.Root, RootFile: c.Running.RootFile, BootIDPath: c.Running.BootID}
	if c.Running.BootID == "" { // a file that was named has the say alone
		id.MarkDir = "/run/ratchet/boot"
	}
	power := &linux.Power{Command: c.Reboot.Command, ForceCommand: c.Reboot.ForceCommand}
	return id, power, linux.Clock{Floor: connect.BuiltAfter}
}

// metered reads a file that a network manager's hook keeps: "yes" or "1" means that the link is paid by volume.
func metered(c *config.Config) func() bool {
	path := c.Policy.MeteredFile
	if path == "" {
		return nil
	}
	return func() bool {
		b, err := textfile.Read(path, maxSecret)
		s := strings.TrimSpace(string(b))
		return err == nil && (s == "yes" || s == "1" || s == "true")
	}
}

// healthPlan is what a trial must pass. Each check is held against the ones before it, so that the error names its key.
func healthPlan(c *config.Config, online func() (bool, time.Time)) (health.Plan, error) {
	h := c.Health
	p := health.Plan{Soak: orDuration(h.Soak, time.Minute), Deadline: orDuration(h.Deadline, 10*time.Minute),
		Interval: time.Duration(h.Interval), Timeout: time.Duration(h.Timeout), MinUptime: time.Duration(h.MinUptime)}
	if err := p.Validate(); err != nil {
		key := "health.deadline"
		if h.Deadline == 0 {
			key = "health.soak"
		}
		return p, c.Errorf(key, "%v", err)
	}
	add := func(check health.Check, key string, at ...any) error {
		p.Checks = append(p.Checks, check)
		if err := p.Validate(); err != nil {
			return c.Errorf(fmt.Sprintf(key, at...), "%v", err)
		}
		return nil
	}
	for _, x := range unitChecks(h) {
		if err := add(x.unit, "%s", x.key); err != nil {
			return p, err
		}
	}
	for i, x := range h.Command {
		if len(x.Run) == 0 || !filepath.IsAbs(x.Run[0]) {
			return p, c.Errorf(fmt.Sprintf("health.command.%d.run", i), "want an absolute path and its arguments")
		}
		check := health.Command{Title: x.Name, Argv: x.Run, Network: x.Network}
		if err := add(check, "health.command.%d.name", i); err != nil {
			return p, err
		}
	}
	for i, x := range h.HTTP {
		check := probed(c, x.Name, probe.Question{URL: x.URL, Status: x.Status, Contains: x.Contains})
		if err := add(check, "health.http.%d.name", i); err != nil {
			return p, err
		}
	}
	for i, x := range h.TCP {
		if err := add(probed(c, x.Name, probe.Question{Address: x.Address}), "health.tcp.%d.name", i); err != nil {
			return p, err
		}
	}
	if h.Broker {
		if c.MQTT == nil {
			return p, c.Errorf("health.broker", "there is no table [mqtt], so that there is no broker")
		}
		return p, add(&health.Broker{Online: online}, "health.broker")
	}
	return p, nil
}

// probed is a check that connects, which is not for root to do.
func probed(c *config.Config, title string, q probe.Question) health.Check {
	s := settings(c)
	q.Environment, q.Without = s.Environment, c.Sandbox.Without
	return probe.New(title, q, probe.How{User: netUser(c), Read: readable(s)})
}

// unitCheck is a check of systemd units, and the key that it comes from.
type unitCheck struct {
	unit health.Unit
	key  string
}

//go:noinline
func unitChecks(h config.Health) (checks []unitCheck) {
	if len(h.Units) > 0 {
		checks = append(checks, unitCheck{health.Unit{Units: h.Units}, "health.units"})
	}
	if len(h.NetworkUnits) > 0 {
		checks = append(checks,
			unitCheck{health.Unit{Units: h.NetworkUnits, Network: true}, "health.network-units"})
	}
	if h.NoFailed {
		checks = append(checks, unitCheck{health.Unit{NoneFailed: true}, "health.no-failed-units"})
	}
	return checks
}

// SocketMode is the mode of the control socket's file, 0660 if the configuration names none.
func SocketMode(c *config.Config) (os.FileMode, error) {
	if c.Control.SocketMode == "" {
		return 0o660, nil
	}
	n, err := strconv.ParseUint(c.Control.SocketMode, 8, 9)
	if err != nil {
		return 0, c.Errorf("control.mode", "%q is not an octal mode such as \"0660\"", c.Control.SocketMode)
	}
	return os.FileMode(n), nil
}

func orDuration(d config.Duration, or time.Duration) time.Duration {
	if d == 0 {
		return or
	}
	return time.Duration(d)
}
