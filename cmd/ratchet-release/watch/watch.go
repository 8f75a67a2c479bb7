// Package watch is the live table of the fleet: what devices report over MQTT, drawn on a terminal, as lines,
// or as JSON. It keeps nothing on disk.
package watch

import (
	"github.com/ratchet-ota/ratchet/agent/trust"

	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/internal/broker"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/fleet"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

// Options say what is watched, and how it is shown.
type Options struct {
	Broker broker.Options
	Keys   func(id string) (trust.Keys, bool, error) // enrolled keys of a device
	Once   bool                                      // show what is known now, and exit
	Json   bool
}

// Run shows devices until ctx ends.
func Run(ctx context.Context, c cli.Console, o Options) error {
	w := &watcher{c: c, fleet: fleet.New(o.Keys), json: o.Json, live: screen.Drawable(c.Out) && !o.Json,
		colour: screen.Colours(c.Out)}
	if o.Once {
		return w.once(ctx, o.Broker)
	}
	return broker.Follow(ctx, c, o.Broker, watchTopics(), redrawEvery, w.fleet.Take, w.draw)
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
		_, err := io.WriteString(w.c.Out,
			screen.EscHome+table(w.fleet.Views(), w.fleet.Totals(), screen.Height(w.c.Out), w.colour))
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
