package health_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/agent/health"
	"github.com/ratchet-ota/ratchet/hal"
)

// bubble is a hal.Clock on the time of a synctest bubble. jump moves its wall clock, slept the
// uptime that passed in a suspend.
type bubble struct {
	start       time.Time
	jump, slept time.Duration
}

func newBubble() *bubble { return &bubble{start: time.Now()} }

func (b *bubble) Wall() (time.Time, hal.TimeQuality) { return time.Now().Add(b.jump), hal.TimeLocal }
func (b *bubble) Uptime() time.Duration              { return time.Since(b.start) + b.slept }
func (b *bubble) After(d time.Duration) <-chan time.Time {
	return time.After(d)
}

// check is a Check made of a function.
type check struct {
	name string
	run  func(ctx context.Context) error
}

func (c check) Name() string                  { return c.name }
func (c check) Run(ctx context.Context) error { return c.run(ctx) }

var errSick = errors.New("sick")

// at fails while the bubble's uptime lies in [from, to).
func at(c *bubble, name string, from, to time.Duration) health.Check {
	return check{name, func(context.Context) error {
		if up := c.Uptime(); up >= from && up < to {
			return errSick
		}
		return nil
	}}
}

func TestRun(t *testing.T) {
	const minute = time.Minute
	plan := health.Plan{Soak: 30 * time.Second, Deadline: 2 * minute}
	tests := []struct {
		name   string
		plan   func(c *bubble) health.Plan
		began  time.Duration
		want   bool
		failed string
		err    string
		took   time.Duration
	}{
		{name: "all hold", want: true, took: 30 * time.Second,
			plan: func(c *bubble) health.Plan {
				p := plan
				p.Checks = []health.Check{at(c, "a", 0, 0), at(c, "b", 0, 0)}
				return p
			}},
		{name: "no checks soak too", want: true, took: 30 * time.Second,
			plan: func(*bubble) health.Plan { return plan }},
		{name: "soak begins when the last one holds", want: true, took: 50 * time.Second,
			plan: func(c *bubble) health.Plan {
				p := plan
				p.Checks = []health.Check{at(c, "a", 0, 20*time.Second), at(c, "b", 0, 3*time.Second)}
				return p
			}},
		{name: "a flap begins the soak again", want: true, took: 60 * time.Second,
			plan: func(c *bubble) health.Plan {
				p := plan
				p.Checks = []health.Check{at(c, "a", 24*time.Second, 26*time.Second)}
				return p
			}},
		{name: "never holds", failed: "b", err: "sick", took: 2 * minute,
			plan: func(c *bubble) health.Plan {
				p := plan
				p.Checks = []health.Check{at(c, "a", 0, 0), at(c, "b", 0, time.Hour)}
				return p
			}},
		{name: "holds too late names what broke it", failed: "a", err: "what broke it: sick", took: 2 * minute,
			plan: func(c *bubble) health.Plan {
				p := plan
				p.Checks = []health.Check{at(c, "a", 0, 100*time.Second)}
				return p
			}},
		{name: "the deadline counts from the begin of the trial",
			began: -110 * time.Second, failed: "soak", took: 2 * minute,
			plan: func(c *bubble) health.Plan {
				p := plan
				p.Checks = []health.Check{at(c, "a", 0, 0)}
				return p
			}},
		{name: "the deadline passed long ago", began: -3 * minute, failed: "deadline", took: 3 * minute,
			plan: func(c *bubble) health.Plan {
				p := plan
				p.Checks = []health.Check{at(c, "a", 0, 0)}
				return p
			}},
		{name: "minimum uptime delays the verdict", want: true, took: 45 * time.Second,
			plan: func(*bubble) health.Plan {
				p := plan
				p.MinUptime = 45 * time.Second
				return p
			}},
		{name: "minimum uptime beyond the deadline", failed: "uptime", took: 2 * minute,
			plan: func(*bubble) health.Plan {
				p := plan
				p.MinUptime = time.Hour
				return p
			}},
		{name: "no soak: one good round", want: true, took: 0,
			plan: func(c *bubble) health.Plan {
				return health.Plan{Deadline: minute, Checks: []health.Check{at(c, "a", 0, 0)}}
			}},
		{name: "no deadline cannot pass", failed: "deadline", took: 0,
			plan: func(*bubble) health.Plan { return health.Plan{} }},
		{name: "the soak ends exactly at the deadline", want: true, took: 30 * time.Second,
			plan: func(c *bubble) health.Plan {
				return health.Plan{Soak: 30 * time.Second, Deadline: 30*time.Second + 1,
					Checks: []health.Check{at(c, "a", 0, 0)}}
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newBubble()
				got := health.Run(t.Context(), c, tt.plan(c), tt.began, nil)
				if got.Healthy != tt.want || got.Failed != tt.failed || got.Took != tt.took {
					t.Errorf("verdict %+v, want healthy %v, failed %q, took %v", got, tt.want, tt.failed, tt.took)
				}
				if (got.Err != nil) == tt.want || tt.err != "" && !strings.Contains(fmt.Sprint(got.Err), tt.err) {
					t.Errorf("error %v, want %q", got.Err, tt.err)
				}
			})
		})
	}
}

// Lie 20: a wall clock that jumps ends neither soak nor deadline.
func TestRunWallJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBubble()
		rounds := 0
		p := health.Plan{Soak: time.Minute, Deadline: 5 * time.Minute, Checks: []health.Check{at(c, "a", 0, 0)}}
		got := health.Run(t.Context(), c, p, 0, func(health.Round) {
			rounds++
			c.jump += 20 * 365 * 24 * time.Hour * time.Duration(1-2*(rounds%2))
		})
		if !got.Healthy || got.Took != time.Minute || rounds != 13 {
			t.Errorf("verdict %+v after %d rounds", got, rounds)
		}
	})
}

// A suspend is no proof that the checks held meanwhile: only one interval of it counts.
func TestRunSleepIsNoSoak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBubble()
		p := health.Plan{Soak: 10 * time.Minute, Deadline: 3 * time.Hour, Checks: []health.Check{at(c, "a", 0, 0)}}
		rounds := 0
		got := health.Run(t.Context(), c, p, 0, func(health.Round) {
			if rounds++; rounds == 3 {
				c.slept = time.Hour
			}
		})
		if !got.Healthy {
			t.Fatalf("verdict %+v", got)
		}
		if awake := got.Took - time.Hour; awake < 9*time.Minute {
			t.Errorf("healthy after %v awake, want nearly the soak time", awake)
		}
	})
}

// A check that hangs costs its time, not that of the others, is not started twice, and is the one
// that is blamed.
func TestRunHangingCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBubble()
		free := make(chan struct{})
		var started atomic.Int32
		hang := check{"hang", func(context.Context) error { started.Add(1); <-free; return nil }}
		var good, rounds int
		p := health.Plan{Soak: time.Second, Deadline: time.Minute, Checks: []health.Check{hang, at(c, "a", 0, 0)}}
		got := health.Run(t.Context(), c, p, 0, func(r health.Round) {
			rounds++
			if r.Results[1].Err == nil {
				good++
			}
			if rounds == 1 && !errors.Is(r.Results[0].Err, health.ErrTimeout) {
				t.Errorf("first round: %v", r.Results[0].Err)
			}
			if rounds == 2 && !errors.Is(r.Results[0].Err, health.ErrHangs) {
				t.Errorf("second round: %v", r.Results[0].Err)
			}
			if rounds == 1 && r.At != health.DefaultTimeout+health.Grace {
				t.Errorf("first round ends at %v", r.At)
			}
		})
		if got.Healthy || got.Failed != "hang" || got.Took != time.Minute {
			t.Errorf("verdict %+v", got)
		}
		if started.Load() != 1 || good != rounds || rounds < 9 {
			t.Errorf("started %d times, the other one held in %d of %d rounds", started.Load(), good, rounds)
		}
		close(free)
		synctest.Wait()
	})
}

// A check that is slow once, and returns, is started again.
func TestRunHangThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBubble()
		started := 0
		slow := check{"slow", func(context.Context) error {
			if started++; started == 1 {
				time.Sleep(25 * time.Second)
			}
			return nil
		}}
		p := health.Plan{Soak: 10 * time.Second, Deadline: 2 * time.Minute, Checks: []health.Check{slow}}
		if got := health.Run(t.Context(), c, p, 0, nil); !got.Healthy || got.Took != 36*time.Second {
			t.Errorf("verdict %+v", got)
		}
	})
}

// The deadline is kept while a check runs. A check that it cuts short is judged by what it said
// before; a round that was cut proves nothing.
func TestRunDeadlineCutsRound(t *testing.T) {
	slow := func(err error) health.Check {
		return check{"slow", func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(8 * time.Second):
				return err
			}
		}}
	}
	for _, tt := range []struct {
		name     string
		slow     error
		deadline time.Duration
		soak     time.Duration
		up       time.Duration
		failed   string
		err      string
	}{
		{"it held before", nil, 20 * time.Second, 15 * time.Second, 0, "soak", "not for the whole of 15s"},
		{"it failed before", errSick, 20 * time.Second, 15 * time.Second, 0, "slow", "sick"},
		{"it never answered", nil, 5 * time.Second, time.Second, 0, "slow", "still running when the deadline came"},
		{"without a soak", nil, 20 * time.Second, 0, 20 * time.Second, "deadline", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newBubble()
				p := health.Plan{Soak: tt.soak, Deadline: tt.deadline, MinUptime: tt.up,
					Checks: []health.Check{slow(tt.slow), at(c, "a", 0, 0)}}
				got := health.Run(t.Context(), c, p, 0, nil)
				if got.Healthy || got.Took != tt.deadline || got.Failed != tt.failed ||
					!strings.Contains(fmt.Sprint(got.Err), tt.err) {
					t.Errorf("verdict %+v", got)
				}
			})
		})
	}
}

func TestRunContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBubble()
		why := errors.New("the daemon stops")
		ctx, cancel := context.WithCancelCause(t.Context())
		wait := check{"wait", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		time.AfterFunc(7*time.Second, func() { cancel(why) })
		got := health.Run(ctx, c, health.Plan{Deadline: time.Minute, Checks: []health.Check{wait}}, 0, nil)
		if got.Healthy || got.Failed != "" || !errors.Is(got.Err, why) || got.Took != 7*time.Second {
			t.Errorf("verdict %+v", got)
		}
	})
}

func TestRunReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBubble()
		p := health.Plan{Soak: 10 * time.Second, Deadline: time.Minute,
			Checks: []health.Check{at(c, "a", 0, 0), at(c, "b", 4*time.Second, 11*time.Second)}}
		var got []string
		health.Run(t.Context(), c, p, 0, func(r health.Round) {
			got = append(got, fmt.Sprintf("%v holds=%v soak=%v deadline=%v b since %v changed=%v",
				r.At, r.Holds, r.SoakLeft, r.DeadlineLeft, r.Results[1].Since, r.Changed))
		})
		want := []string{
			"0s holds=true soak=10s deadline=1m0s b since 0s changed=true",
			"5s holds=false soak=10s deadline=55s b since 5s changed=true",
			"10s holds=false soak=10s deadline=50s b since 5s changed=false",
			"15s holds=true soak=10s deadline=45s b since 15s changed=true",
			"20s holds=true soak=5s deadline=40s b since 15s changed=false",
			"25s holds=true soak=0s deadline=35s b since 15s changed=false",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("rounds:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestPlanValidate(t *testing.T) {
	c := &bubble{}
	ok := health.Plan{Soak: time.Minute, Deadline: time.Hour,
		Checks: []health.Check{at(c, "a", 0, 0), at(c, "b", 0, 0)}}
	if err := ok.Validate(); err != nil {
		t.Error(err)
	}
	bad := map[string]health.Plan{
		"soak after deadline": {Soak: time.Hour, Deadline: time.Hour},
		"no deadline":         {},
		"negative":            {Soak: -1, Deadline: time.Hour},
		"same name":           {Deadline: time.Hour, Checks: []health.Check{at(c, "a", 0, 0), at(c, "a", 0, 0)}},
		"no name":             {Deadline: time.Hour, Checks: []health.Check{at(c, "", 0, 0)}},
		"name with escape":    {Deadline: time.Hour, Checks: []health.Check{at(c, "a\x1b[2J", 0, 0)}},
	}
	for name, p := range bad {
		if p.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
