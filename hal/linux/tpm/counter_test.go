//go:build linux

package tpm_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/hal/haltest"
	"github.com/ratchet-ota/ratchet/hal/linux/tpm"
	"github.com/ratchet-ota/ratchet/hal/linux/tpm/tpmtest"
)

const index = tpm.DefaultIndex

// made makes a counter, and says what it must not do.
func made(t *testing.T, m *tpmtest.Model, how tpm.Provision) *tpm.Counter {
	t.Helper()
	c := tpm.New(m.Path, index)
	if ok, err := c.Make(t.Context(), how); !ok || err != nil {
		t.Fatalf("made %v, %v", ok, err)
	}
	return c
}

func is(t *testing.T, c *tpm.Counter, want uint64) {
	t.Helper()
	if got, err := c.Read(t.Context()); got != want || err != nil {
		t.Errorf("the counter is %d, %v; want %d", got, err, want)
	}
}

func TestTPMCounterConformance(t *testing.T) {
	for _, how := range []tpm.Provision{{}, {Platform: true}} {
		haltest.Counter(t, made(t, tpmtest.New(t), how), true)
	}
}

// Whatever stood in the TPM before, and however it begins a new counter, this one begins at zero or
// where it was asked to.
func TestTPMCounterBegins(t *testing.T) {
	for _, c := range []struct{ highest, skip, version uint64 }{{0, 0, 0}, {41, 0, 3}, {1 << 40, 6, 0}, {7, 1, 1}} {
		m := tpmtest.New(t)
		m.Highest, m.Skip = c.highest, c.skip
		is(t, made(t, m, tpm.Provision{Version: c.version}), c.version)
	}
}

// Something else makes counters at the same time, once: it begins anew; for ever: it gives up and
// leaves nothing behind.
func TestTPMCounterOthersCount(t *testing.T) {
	m := tpmtest.New(t)
	defines := 0
	m.Between = func(code uint32) {
		if code == 0x12A {
			if defines++; defines == 2 {
				m.Highest += 5
			}
		}
	}
	is(t, made(t, m, tpm.Provision{}), 0)

	m = tpmtest.New(t)
	step := uint64(1)
	m.Between = func(code uint32) {
		if code == 0x12A {
			step *= 3
			m.Highest += step
		}
	}
	if _, err := tpm.New(m.Path, index).Make(t.Context(), tpm.Provision{}); err == nil || len(m.Indices) != 0 {
		t.Errorf("%v; %d indices are left", err, len(m.Indices))
	}
}

// A counter that is there is not made again: that would turn it back. A missing one is neither zero
// nor made by Read or Raise.
func TestTPMCounterIsNotMadeAgain(t *testing.T) {
	m := tpmtest.New(t)
	c := made(t, m, tpm.Provision{})
	if err := c.Raise(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	if again, err := c.Make(t.Context(), tpm.Provision{}); again || err != nil {
		t.Errorf("made again: %v, %v", again, err)
	}
	is(t, c, 5)
	m.Indices = map[uint32]*tpmtest.Index{}
	if v, err := c.Read(t.Context()); !errors.Is(err, tpm.ErrMissing) {
		t.Errorf("a deleted counter is %d, %v", v, err)
	}
	if err := c.Raise(t.Context(), 1); !errors.Is(err, tpm.ErrMissing) || len(m.Indices) != 0 {
		t.Errorf("a deleted counter was raised: %v", err)
	}
}

// Whoever deletes it and makes it again, at the same value, cannot give it the same origin.
func TestTPMCounterMadeAgainHasAnotherOrigin(t *testing.T) {
	m := tpmtest.New(t)
	c := made(t, m, tpm.Provision{Version: 2})
	before, err := c.Origin(t.Context())
	if err != nil || before == "" {
		t.Fatal(before, err)
	}
	made(t, m, tpm.Provision{Version: 2, Replace: true})
	is(t, c, 2)
	if after, err := c.Origin(t.Context()); after == before || err != nil {
		t.Errorf("origin %q before, %q after, %v", before, after, err)
	}
}

// The platform's index is not the owner's to delete.
func TestTPMCounterOfThePlatform(t *testing.T) {
	m := tpmtest.New(t)
	c := made(t, m, tpm.Provision{Platform: true, Version: 4})
	if _, err := c.Make(t.Context(), tpm.Provision{Replace: true}); err == nil {
		t.Error("the owner deleted the platform's index")
	}
	is(t, c, 4)
	m.Platform = false
	if _, err := c.Make(t.Context(), tpm.Provision{Platform: true, Replace: true}); err == nil ||
		!strings.Contains(err.Error(), "disabled") {
		t.Error(err)
	}
	is(t, c, 4)
}

// Power is lost at each command of making and raising, before it was done and after: in the end the
// counter stands where it must, never above, and the making can always be finished.
func TestTPMCounterPowerCuts(t *testing.T) {
	for _, how := range []tpm.Provision{{}, {Version: 3}} {
		for at := 1; ; at++ {
			cut := false
			for _, sign := range []int{1, -1} {
				m := tpmtest.New(t)
				m.HangUp = sign * at
				c := tpm.New(m.Path, index)
				_, err := c.Make(t.Context(), how)
				if err == nil {
					err = c.Raise(t.Context(), 6)
				}
				cut = cut || err != nil
				m.Set(func() { m.HangUp = 0 })
				if v, rerr := c.Read(t.Context()); rerr == nil && v > 6 {
					t.Errorf("cut at %d: the counter is %d", sign*at, v)
				} else if rerr != nil && !errors.Is(rerr, tpm.ErrMissing) && !errors.Is(rerr, tpm.ErrUnfinished) {
					t.Errorf("cut at %d: %v", sign*at, rerr)
				}
				if _, err := c.Make(t.Context(), how); err != nil {
					t.Errorf("cut at %d: cannot be finished: %v", sign*at, err)
				}
				if v, err := c.Read(t.Context()); err != nil || v < how.Version || v > 6 {
					t.Errorf("cut at %d: the counter is %d, %v", sign*at, v, err)
				}
				if err := c.Raise(t.Context(), 6); err != nil {
					t.Error(err)
				}
				is(t, c, 6)
			}
			if !cut {
				if at < 15 {
					t.Errorf("only %d commands", at)
				}
				break
			}
		}
	}
}

// What the TPM asks to send again is sent again, and counted once.
func TestTPMCounterTriesAgain(t *testing.T) {
	m := tpmtest.New(t)
	c := made(t, m, tpm.Provision{})
	for _, rc := range []uint32{0x922, 0x908, 0x90A, 0x920} {
		m.Answers = []uint32{0, 0, rc, rc}
		v, err := c.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Raise(t.Context(), v+1); err != nil {
			t.Errorf("%#x: %v", rc, err)
		}
		m.Answers = []uint32{0, 0, rc, rc} // at the increment
		if err := c.Raise(t.Context(), v+2); err != nil {
			t.Errorf("%#x: %v", rc, err)
		}
		is(t, c, v+2)
	}
	m.Seen, m.Answers = nil, make([]uint32, 100)
	for i := range m.Answers {
		m.Answers[i] = 0x922
	}
	began := time.Now()
	if _, err := c.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "busy") || len(m.Seen) > 20 ||
		time.Since(began) > time.Minute {
		t.Errorf("%v after %d commands and %v", err, len(m.Seen), time.Since(began))
	}
}

// Every way to fail says what to do, and never reads as a number.
func TestTPMCounterErrors(t *testing.T) {
	for rc, want := range map[uint32]string{0x921: "locked out", 0x101: "failure mode", 0x100: "not started",
		0x14B: "no room", 0x148: "locked", 0x923: "non-volatile memory", 0x98E: "password", 0x9A2: "password",
		0x185: "disabled", 0xB0143: "resource manager", 0x153: "testing", 0x777: "0x777"} {
		m := tpmtest.New(t)
		c := made(t, m, tpm.Provision{})
		for k := range 2 {
			m.Answers = append(make([]uint32, k), rc)
			if v, err := c.Read(t.Context()); err == nil || !strings.Contains(err.Error(), want) || v != 0 {
				t.Errorf("%#x reads as %d, %v", rc, v, err)
			}
			m.Answers = append(make([]uint32, k), rc)
			if err := c.Raise(t.Context(), 1); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%#x: raise: %v", rc, err)
			}
		}
		is(t, c, 0)
	}
	c := tpm.New(filepath.Join(t.TempDir(), "none"), index)
	if _, err := c.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "driver") {
		t.Error(err)
	}
	m := tpmtest.New(t)
	m.Owner = "secret"
	if _, err := tpm.New(m.Path, index).Make(t.Context(), tpm.Provision{}); err == nil ||
		!strings.Contains(err.Error(), "--auth-file") {
		t.Error(err)
	}
	is(t, made(t, m, tpm.Provision{Password: []byte("secret")}), 0)
}

// An index of somebody else is neither read nor counted up nor deleted.
func TestTPMCounterForeign(t *testing.T) {
	change := map[string]func(x *tpmtest.Index){
		"other attributes": func(x *tpmtest.Index) { x.Area[8] |= 0x04 },
		"other policy":     func(x *tpmtest.Index) { x.Area[12] ^= 1 },
		"a bit field":      func(x *tpmtest.Index) { x.Area[9] = x.Area[9]&0x0F | 0x20 },
		"below its base":   func(x *tpmtest.Index) { x.Count = 1 },
	}
	for name, f := range change {
		m := tpmtest.New(t)
		c := made(t, m, tpm.Provision{})
		f(m.Indices[index])
		if v, err := c.Read(t.Context()); !errors.Is(err, tpm.ErrForeign) {
			t.Errorf("%s: reads as %d, %v", name, v, err)
		}
		if err := c.Raise(t.Context(), 3); !errors.Is(err, tpm.ErrForeign) {
			t.Errorf("%s: raised: %v", name, err)
		}
		if name != "below its base" {
			if _, err := c.Make(t.Context(), tpm.Provision{Replace: true}); !errors.Is(err, tpm.ErrForeign) ||
				m.Indices[index] == nil {
				t.Errorf("%s: deleted: %v", name, err)
			}
		}
	}
}

// Whatever comes back, nothing is believed that is not whole.
func TestTPMCounterMalformed(t *testing.T) {
	m := tpmtest.New(t)
	c := made(t, m, tpm.Provision{})
	for _, raw := range [][]byte{
		tpmtest.Response(0x8001, 0, nil), tpmtest.Response(0x8001, 0, []byte{0, 200}),
		tpmtest.Response(0x1234, 0, make([]byte, 60)),
		append(tpmtest.Response(0x8001, 0, nil), 1), {0x80, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0},
		{0x80, 1, 0, 0, 0, 3, 0, 0, 0, 0},
	} {
		m.Set(func() { m.Raw = raw })
		if v, err := c.Read(t.Context()); err == nil {
			t.Errorf("% x reads as %d", raw, v)
		}
	}
}

func ExampleNew() {
	c := tpm.New("/dev/none", tpm.DefaultIndex)
	fmt.Println(c.Kind())
	// Output: tpm2-nv
}
