package agent

import (
	"bytes"
	"time"
)

// garbageLimit bounds records of offers that nobody vouches for: each body once while it is
// remembered, over restarts too, for brokers hand retained ones in again and again; and no more than
// perHour in an hour of uptime.
type garbageLimit struct {
	seen    [][]byte // durable under keyGarbage
	times   []time.Duration
	dropped int
}

func (g *garbageLimit) allow(key []byte, now time.Duration) (dropped int, ok bool) {
	const perHour, remembered = 20, 64
	for _, k := range g.seen {
		if key != nil && bytes.Equal(k, key) {
			return 0, false
		}
	}
	for len(g.times) > 0 && now-g.times[0] >= time.Hour {
		g.times = g.times[1:]
	}
	if len(g.times) >= perHour {
		g.dropped++
		return 0, false
	}
	if key != nil {
		g.seen = append(g.seen, bytes.Clone(key))
		g.seen = g.seen[max(len(g.seen)-remembered, 0):]
	}
	g.times = append(g.times, now)
	dropped, g.dropped = g.dropped, 0
	return dropped, true
}
