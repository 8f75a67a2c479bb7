//go:build linux

package linux

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Zone is the machine's time zone as it is now: TZ if it is set, else /etc/localtime, which may be replaced while
// the process runs. UTC where neither can be read.
func Zone() *time.Location {
	if name, ok := os.LookupEnv("TZ"); ok {
		return named(name)
	}
	return zoneFile("/etc/localtime")
}

// named is the zone of TZ: a name of the database, or a path; "" is UTC (tzset(3)).
func named(name string) *time.Location {
	if len(name) > 0 && name[0] == ':' {
		name = name[1:]
	}
	if len(name) > 0 && name[0] == '/' {
		return zoneFile(name)
	}
	if zone, err := time.LoadLocation(name); err == nil {
		return zone
	}
	return time.UTC
}

func zoneFile(path string) *time.Location {
	data, err := readSmall(path)
	if err != nil {
		return time.UTC
	}
	zone, err := time.LoadLocationFromTZData("Local", []byte(data))
	if err != nil {
		return time.UTC
	}
	return zone
}

// WatchClock puts a value into stepped, where there is room, each time the calendar clock is set, until ctx ends
// (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET). A kernel that cannot tell is an error.
func WatchClock(ctx context.Context, stepped chan<- struct{}) error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "timerfd")
	defer f.Close()
	stop := context.AfterFunc(ctx, func() { _ = f.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	// It never expires by itself: only a change of the clock ends the read, with ECANCELED.
	never := unix.ItimerSpec{Value: unix.Timespec{Sec: 1<<31 - 1}}
	for {
		err := unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &never, nil)
		if err != nil {
			return err
		}
		_, err = f.Read(make([]byte, 8))
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ECANCELED):
			select {
			case stepped <- struct{}{}:
			default:
			}
		case err != nil:
			return err
		default: // the year 2038 has come
			never.Value.Sec += 1 << 30
		}
	}
}
