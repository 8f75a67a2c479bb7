package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/internal/broker"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/fleet"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

func watchVerb() cli.Verb {
	return cli.Verb{
		Name: "watch", Args: "[flags]",
		Short: "show devices and their updates as they report them",
		Long: `
Shows what devices report over MQTT, until interrupted: a live table on a terminal, otherwise one
line for each change. With --once what the broker knows now, as one table. With --json one JSON
object for each change, or with --once one object with all devices and totals.

SIGNED says who vouches for a row: "verified" is signed by the key that is enrolled for the device;
"unverified" is of a device without an enrolled key, and could come from anybody who may publish
there; "bad-signature" is not signed by the enrolled key and is not shown. ONLINE is what the broker
says, and is never signed. A silent device is one that is not online.`,
		Examples: []string{
			"ratchet-release watch",
			"ratchet-release watch --once --json | jq .totals",
		},
		Setup: func(fs *flag.FlagSet) cli.Action {
			dir := dirFlag(fs)
			once := fs.Bool("once", false, "show what is known now, and end")
			asJSON := fs.Bool("json", false, "write JSON")
			override := brokerFlags(fs)
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) != 0 {
					return cli.Usage("watch takes no arguments")
				}
				d, err := findDesk(*dir)
				if err != nil {
					return err
				}
				w := &watcher{c: c, fleet: fleet.New(d.deviceKeys), json: *asJSON, live: screen.Drawable(c.Out) && !*asJSON, colour: screen.Colours(c.Out)}
				o := override(d.brokerOptions())
				if *once {
					return w.once(ctx, o)
				}
				return broker.Follow(ctx, c, o, watchTopics(), redrawEvery, w.fleet.Take, w.draw)
			}
		},
	}
}

func watchTopics() []string {
	return []string{wire.DeviceTopic(wire.Any, wire.Status), wire.DeviceTopic(wire.Any, wire.Presence),
		wire.DeviceTopic(wire.Any, wire.Evidence)}
}

// redrawEvery is the pause between two drawings.
const redrawEvery = 500 * time.Millisecond

type watcher struct {
	c                  cli.Console
	fleet              *fleet.Fleet
	json, live, colour bool
	drawn              bool
}

// once shows what is retained.
func (w *watcher) once(ctx context.Context, o broker.Options) error {
	b, err := broker.Connect(ctx, o)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.Subscribe(ctx, w.fleet.Take, watchTopics()...); err != nil {
		return err
	}
	if err := b.Settled(ctx, broker.Settle, w.fleet.Take, func() bool { return false }); err != nil {
		return err
	}
	if w.json {
		return writeJSON(w.c.Out, struct {
			Schema  int          `json:"schema"`
			Devices []fleet.View `json:"devices"`
			Totals  fleet.Totals `json:"totals"`
		}{1, w.fleet.Views(), w.fleet.Totals()})
	}
	_, err = io.WriteString(w.c.Out, table(w.fleet.Views(), w.fleet.Totals(), 0, w.colour))
	return err
}

// draw shows what is new.
func (w *watcher) draw(*broker.Conn) error {
	news := w.fleet.News()
	if len(news) == 0 && (w.drawn || !w.live) {
		return nil
	}
	w.drawn = true
	if w.live {
		_, err := io.WriteString(w.c.Out, screen.EscHome+table(w.fleet.Views(), w.fleet.Totals(), screen.Height(w.c.Out), w.colour))
		return err
	}
	for _, v := range news {
		if w.json {
			if err := writeJSON(w.c.Out, struct {
				Schema int `json:"schema"`
				fleet.View
			}{1, v}); err != nil {
				return err
			}
			continue
		}
		row := cells(v)
		if _, err := fmt.Fprintf(w.c.Out, "%s  slot %s  %s  %s  last %s  online %s  evidence %s  %s\n",
			row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7]); err != nil {
			return err
		}
	}
	return nil
}

func writeJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("internal error: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}
