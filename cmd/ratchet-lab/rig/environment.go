package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
)

// fwConfig describes the environment on the device's disk to libubootenv's tools.
func (r *rig) fwConfig() (string, error) {
	path, disk := r.path("fw_env.config"), r.path("device.img")
	return path, os.WriteFile(path, fmt.Appendf(nil, "%s 0x%x 0x%x\n%s 0x%x 0x%x\n", disk, board.EnvAt*image.Sector,
		board.EnvCopy, disk, board.EnvAt*image.Sector+board.EnvCopy, board.EnvCopy), 0o644)
}

// alts is how often altbootcmd ran since the device was switched on.
func (r *rig) alts() int {
	n := 0
	for _, l := range r.said {
		if strings.HasPrefix(l, board.AltWords) {
			n++
		}
	}
	return n
}

// playLost takes both copies of the environment away. U-Boot has its built-in one, which knows of no
// slot: it tries A, which panics, and then B. The agent there makes the slots' variables whole again.
// U-Boot has saved by then, so that the environment is valid, and holds no variables of others.
func (r *rig) playLost(ctx context.Context) error {
	r.Chapter("Environment lost: both copies are wiped, and slot A holds the image that panics")
	r.off()
	disk, err := os.OpenFile(r.path("device.img"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = disk.WriteAt(make([]byte, 2*board.EnvCopy), board.EnvAt*image.Sector)
	if err := errors.Join(err, disk.Close()); err != nil {
		return err
	}
	if err := r.again(ctx, "lost", ""); err != nil {
		return err
	}
	restored := func() bool { return r.resting() && r.field("next") == "B" && r.field("confirmed") == "true" }
	if !restored() {
		err = r.until(ctx, bootTime, "the environment to be restored", restored)
	}
	r.Expect("environment lost", "slot B runs, confirmed, B is next; 4 boots",
		fmt.Sprintf("%s; %d boots", strings.SplitN(r.ends(), "; ", 2)[1], r.boots))
	return err
}

// playBootcount switches U-Boot's own counter on, as another updater would. It counts every boot and
// saves before the script does, and after the limit runs altbootcmd: for the slots nothing changes.
func (r *rig) playBootcount(ctx context.Context) error {
	r.Chapter("Bootcount: upgrade_available is set, and 9.0.0 panics more often than bootlimit says")
	r.off()
	fw, err := r.fwConfig()
	if err != nil {
		return err
	}
	set := r.path("bootcount")
	if err := os.WriteFile(set, fmt.Appendf(nil, "upgrade_available=1\nbootcount=0\nbootlimit=%d\naltbootcmd=%s\n",
		board.BootLimit, board.AltCommand), 0o644); err != nil {
		return err
	}
	if _, err := image.Tool(ctx, "", "fw_setenv", "-c", fw, "-f", "/dev/null", "-s", set); err != nil {
		return err
	}
	if err := r.again(ctx, "bootcount", ""); err != nil {
		return err
	}
	before := r.alts()
	if err := r.fallsBack(ctx, "bootcount is on", "9.0.0", "trial-boots-exhausted"); err != nil {
		return err
	}
	// The boots before this scene's update do not exceed the limit; of the four after it the first does not either.
	r.Expect("altbootcmd", fmt.Sprintf("0, then %d times", r.target.Tries+1-(board.BootLimit-1)),
		fmt.Sprintf("%d, then %d times", before, r.alts()-before))
	r.off()
	out, err := image.Tool(ctx, "", "fw_printenv", "-c", fw, "-n", "bootcount")
	r.Expect("U-Boot's count", fmt.Sprint(r.target.Tries+2), strings.TrimSpace(string(out)))
	return err
}
