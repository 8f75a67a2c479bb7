package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/stage"
)

// listen takes the device's evidence.
func (r *rig) listen() error { return r.Net.Watch(r.path("device.pem"), r.hear) }

// boot switches the device on, with the disk given.
func (r *rig) boot(ctx context.Context, disk, log, name string) error {
	r.off()
	r.boots, r.status, r.said = 0, "", nil
	var err error
	r.machine, err = r.target.Power(ctx, board.Supply{Dir: r.Dir, Disk: disk, Log: log,
		Console: r.path(name + ".console"), KVM: r.o.KVM})
	return err
}

func (r *rig) off() {
	if r.machine != nil {
		r.machine.Cut()
		r.machine = nil
	}
}

func (r *rig) close() {
	r.off()
	if r.Net != nil {
		r.Net.Close()
	}
}

var statusField = regexp.MustCompile(`(\S+)=(\S*)`)

// field is one value of the device's last status line.
func (r *rig) field(name string) string {
	for _, m := range statusField.FindAllStringSubmatch(r.status, -1) {
		if m[1] == name {
			return m[2]
		}
	}
	return ""
}

// until follows the console until the device's status is as wanted.
func (r *rig) until(ctx context.Context, within time.Duration, what string, ok func() bool) error {
	err := r.machine.Follow(ctx, within, what, func(line string) bool {
		for _, mark := range []string{"Ratchet: ", "rig: "} {
			if i := strings.Index(line, mark); i >= 0 {
				line = line[i:]
				r.said = append(r.said, line)
				if strings.HasPrefix(line, "Ratchet: booting slot") {
					r.boots++
				}
				if strings.HasPrefix(line, "rig: status ") {
					r.status = line
				}
				if r.o.Verbose || mark == "Ratchet: " {
					r.Say("    %s", line)
				}
				return strings.HasPrefix(line, "rig: status ") && ok()
			}
		}
		return false
	})
	if err != nil {
		return fmt.Errorf("%w (last: %s)", err, r.status)
	}
	return nil
}

// ends says how the last update ended and what runs: "updated/1; slot B runs, confirmed".
func (r *rig) ends() string {
	confirmed, _ := strconv.ParseBool(r.field("confirmed"))
	return disk.EndsAs(r.field("last"), r.field("running"), confirmed, r.field("next"))
}

// reopen serves a run that is there, for the device that it made.
func (r *rig) reopen() error {
	b, err := os.ReadFile(r.path(settingsFile))
	if err != nil {
		return fmt.Errorf("%w; there is no run to repeat in %s", err, r.Dir)
	}
	var s settings
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if r.PKI, err = stage.OpenPKI(r.path("pki")); err != nil {
		return err
	}
	if err := r.Serve(stage.Addresses{Broker: s.Broker, Images: s.Images}); err != nil {
		return err
	}
	return r.listen()
}

// settings are what a replay needs besides the files.
type settings struct {
	Broker, Images string // host:port
}

const settingsFile = "settings.json"

// keepSettings keeps where the servers are: the device of a replay has their addresses in its image.
func (r *rig) keepSettings() error {
	s := settings{strings.TrimPrefix(r.Net.Broker, "mqtts://"),
		strings.TrimSuffix(strings.TrimPrefix(r.Net.Images, "https://"), "/images")}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(r.path(settingsFile), b, 0o644)
}
