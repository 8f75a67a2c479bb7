package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/cipher"
	"github.com/ratchet-ota/ratchet/agent/health"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// right serves what the release names.
func (r *rig) right(uri string, off int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(r.images[uri][off:])), nil
}

// TestNoAnswerIsFinal: whatever the image server, a resolver, a portal or a file says, and however long it says so, the
// offer waits, and is taken when the right bytes come, without anybody offering it again.
func TestNoAnswerIsFinal(t *testing.T) {
	failing := func(err error) func(*rig, string, int64) (io.ReadCloser, error) {
		return func(*rig, string, int64) (io.ReadCloser, error) { return nil, fmt.Errorf("today: %w", err) }
	}
	for name, serve := range map[string]func(*rig, string, int64) (io.ReadCloser, error){
		"the address is not allowed": failing(transport.ErrForbidden),
		"a portal":                   failing(transport.ErrUnusable),
		"no such file":               failing(transport.ErrGone),
		"another file":               failing(transport.ErrChanged),
		"no answer":                  failing(errors.New("no route to host")),
		"no key yet":                 failing(cipher.ErrKey),
		"the slot to write runs":     failing(hal.ErrRunning),
		"a short page": func(*rig, string, int64) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("<html>")), nil
		},
		"half of it": func(r *rig, uri string, off int64) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(r.images[uri][min(off, imageSize/2) : imageSize/2])), nil
		},
		"other bytes": func(_ *rig, _ string, off int64) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(image(77)[off:])), nil
		},
	} {
		for _, long := range []time.Duration{3 * time.Minute, 5 * 24 * time.Hour} {
			t.Run(fmt.Sprint(name, " for ", long), func(t *testing.T) {
				bubble(t, 901, func(r *rig) {
					r.source = func(uri string, off int64) (io.ReadCloser, error) { return serve(r, uri, off) }
					if n := r.spend(long, r.release(2, 2)); n != 0 {
						t.Errorf("%d boots", n)
					}
					r.source = r.right
					r.spend(25 * time.Hour)
					r.is("B", 2, "!quarantined")
				})
			})
		}
	}
}

// metered counts the bytes that are written into slots.
type metered struct {
	hal.Blocks
	n *int64
}

type meteredMedium struct {
	hal.Medium
	n *int64
}

func (b metered) OpenTarget(path string, running hal.DeviceID) (hal.Medium, error) {
	m, err := b.Blocks.OpenTarget(path, running)
	return meteredMedium{m, b.n}, err
}

func (m meteredMedium) WriteAt(p []byte, off int64) (int, error) {
	*m.n += int64(len(p))
	return m.Medium.WriteAt(p, off)
}

// TestWrongBytesDoNotWearTheSlotOut: a server sends other bytes for a month, and the network offers two releases in
// turn. Six images and one for each day are written at the most, and then the right ones are installed.
func TestWrongBytesDoNotWearTheSlotOut(t *testing.T) {
	const days = 30
	bubble(t, 902, func(r *rig) {
		written := int64(0)
		r.options = func(o *agent.Options) { o.Blocks = metered{o.Blocks, &written} }
		r.source = func(_ string, off int64) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(image(77)[off:])), nil
		}
		two, three := r.release(2, 2), r.release(3, 3)
		began := r.w.Clock().Uptime()
		for range days {
			r.spend(12*time.Hour, two, three)
			r.spend(12*time.Hour, three, two)
		}
		// The medium is written in whole blocks, the image ends within one.
		up := int64((r.w.Clock().Uptime() - began + 24*time.Hour) / (24 * time.Hour))
		if limit := (6 + up) * (imageSize + hal.Align); up < days || written > limit || written < limit/2 {
			t.Errorf("%d bytes were written in %d days, %d images", written, up, written/imageSize)
		}
		r.source = r.right
		r.spend(50 * time.Hour)
		r.is("B", 3, "!quarantined")
	})
}

// tagged is a source that gives its bytes another name at each opening, as mirrors and caches do, and breaks.
type tagged struct {
	simSource
	n *int
}

func (s tagged) Open(_ context.Context, off int64, validator string) (io.ReadCloser, string, error) {
	if *s.n++; validator != "" && off > 0 {
		return nil, "", fmt.Errorf("it was %s: %w", validator, transport.ErrChanged)
	}
	part := s.r.images[s.uri][off:min(off+90<<10, imageSize)]
	var ends io.Reader = bytes.NewReader(nil)
	if off+90<<10 < imageSize {
		ends = failingReader{}
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(part), ends)), fmt.Sprintf(`"%d"`, *s.n), nil
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// TestAlternatingTags: a link that breaks to a server that names the same bytes differently each time. Writing resumes
// where it was, or it would never end, and the digest decides.
func TestAlternatingTags(t *testing.T) {
	bubble(t, 903, func(r *rig) {
		n := 0
		r.options = func(o *agent.Options) {
			o.Fetch = func(urls []string, _ int64) (slots.Source, error) {
				return tagged{simSource{r, urls[0]}, &n}, nil
			}
		}
		r.play(r.release(2, 2))
		r.is("B", 2, "!image-corrupt", "!source-changed")
	})
}

// TestResumedWithOtherBytes: what was written before the link broke does not fit what comes after. The update begins
// anew once, by itself, and is installed.
func TestResumedWithOtherBytes(t *testing.T) {
	bubble(t, 904, func(r *rig) {
		began := false
		r.source = func(uri string, off int64) (io.ReadCloser, error) {
			if !began && len(r.opened) > 1 { // the first asks for a first byte
				began = true
				return io.NopCloser(io.MultiReader(bytes.NewReader(image(77)[:130<<10]), failingReader{})), nil
			}
			return r.right(uri, off)
		}
		r.play(r.release(2, 2))
		r.is("B", 2, "image-corrupt")
	})
}

// TestNetworkNeverQuarantines: somebody drops what the device sends beyond itself in each trial, in every way that
// makes a check of something remote fail, and only then. No image is quarantined, and the update is installed when they
// stop, also where only the broker is a check, and where it comes and goes so that the soak never ends.
func TestNetworkNeverQuarantines(t *testing.T) {
	for name, bad := range map[string]func(n int) bool{
		"always": func(int) bool { return true }, "now and then": func(n int) bool { return n%3 == 0 },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 905, func(r *rig) {
				attacked, n := true, 0
				remote := remoteCheck{func() error {
					if n++; attacked && r.runs() == "B" && bad(n) {
						return errors.New("no answer")
					}
					return nil
				}}
				r.options = func(o *agent.Options) { o.Health.Checks = append(o.Health.Checks, remote) }
				if boots := r.spend(3*24*time.Hour, r.release(2, 2)); boots == 0 || boots > 20 {
					t.Errorf("%d boots in three days", boots)
				}
				r.is("A", 1, "health-unreachable", "!quarantined")
				attacked = false
				r.spend(25 * time.Hour)
				r.is("B", 2, "!quarantined")
			})
		})
	}
}

// remoteCheck fails for the network's sake.
type remoteCheck struct{ run func() error }

func (remoteCheck) Name() string                  { return "cloud" }
func (remoteCheck) Remote() bool                  { return true }
func (c remoteCheck) Run(_ context.Context) error { return c.run() }

// TestArmedAgainWithoutWriting: a system that was left because the broker was away is armed again as it is in the slot,
// after it was read back; where the slot has changed since, it is written again, and nobody is accused.
func TestArmedAgainWithoutWriting(t *testing.T) {
	for _, changed := range []bool{false, true} {
		bubble(t, 906, func(r *rig) {
			written := int64(0)
			r.options = func(o *agent.Options) {
				o.Blocks = metered{o.Blocks, &written}
				o.Health.Checks = append(o.Health.Checks, &health.Broker{Online: r.isOnline})
			}
			r.inPhase(life.Trial, r.release(2, 2))
			r.online = false
			r.spend(5 * time.Minute)
			if r.runs() != "A" {
				t.Fatalf("slot %s runs", r.runs())
			}
			if changed {
				r.w.Poke("/dev/b", 4096, []byte("written by the system on trial"))
			}
			before := written
			r.online, r.source = true, nil
			if !changed {
				r.images = nil // nobody needs it
			}
			r.spend(25 * time.Hour)
			r.is("B", 2, "!read-back-mismatch", "!quarantined")
			if (written > before) != changed {
				t.Errorf("changed %v: %d bytes were written again", changed, written-before)
			}
		})
	}
}

// TestExpiredByAWrongClock: a clock that is wrong for a moment makes a release look expired. It waits, lets an older
// one pass, and is taken when the clock is right, without anybody offering it again.
func TestExpiredByAWrongClock(t *testing.T) {
	bubble(t, 907, func(r *rig) {
		now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
		until := func(m *author.Release) { m.UseBefore = now.Add(30 * 24 * time.Hour) }
		r.w.SetWall(now.Add(10*365*24*time.Hour), hal.TimeSynced)
		r.play(r.release(5, 2, until))
		r.is("A", 1, "defer slot= seq=5 expired")
		r.play(r.release(4, 3))
		r.is("B", 3)
	})
	bubble(t, 908, func(r *rig) {
		now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
		r.w.SetWall(now.Add(10*365*24*time.Hour), hal.TimeSynced)
		r.play(r.release(5, 2, func(m *author.Release) { m.UseBefore = now.Add(30 * 24 * time.Hour) }))
		r.w.SetWall(now, hal.TimeSynced)
		r.spend(20 * time.Minute)
		r.is("B", 2)
	})
}
