//go:build linux && interop

package tpm_test

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/hal/haltest"
	"github.com/ratchet-ota/ratchet/hal/linux/tpm"
	"github.com/ratchet-ota/ratchet/hal/linux/tpm/tpmtest"
)

func counterOf(s *tpmtest.SWTPM) *tpm.Counter { return tpm.New(s.Path, index) }

// The suite of every counter, on a real TPM, for both who may own it.
func TestTPMConformance(t *testing.T) {
	for _, how := range []tpm.Provision{{}, {Platform: true}} {
		c := counterOf(tpmtest.StartSWTPM(t))
		if made, err := c.Make(t.Context(), how); !made || err != nil {
			t.Fatal(made, err)
		}
		haltest.Counter(t, c, true)
	}
}

// The TPM loses its power between increments, and in the middle of them: the counter never goes
// back, and never beyond what was asked.
func TestTPMPowerCuts(t *testing.T) {
	s := tpmtest.StartSWTPM(t)
	if _, err := counterOf(s).Make(t.Context(), tpm.Provision{}); err != nil {
		t.Fatal(err)
	}
	done, asked := uint64(0), uint64(0)
	for i := range 20 {
		c := counterOf(s)
		asked = done + 8
		raised := make(chan error, 1)
		go func() { raised <- c.Raise(t.Context(), asked) }()
		time.Sleep(time.Duration(i) * 500 * time.Microsecond)
		s.Again()
		err := <-raised
		v, rerr := counterOf(s).Read(t.Context())
		if rerr != nil || v < done || v > asked || err == nil && v != asked {
			t.Fatalf("cut %d: %d -> %d, asked for %d (%v, %v)", i, done, v, asked, err, rerr)
		}
		done = v
	}
	t.Logf("20 cuts, at %d of %d", done, 20*8)
}

// A power cut at any time while the counter is made: it is made by running it again.
func TestTPMMakePowerCuts(t *testing.T) {
	for i := range 12 {
		s := tpmtest.StartSWTPM(t)
		c := counterOf(s)
		made := make(chan error, 1)
		go func() { _, err := c.Make(t.Context(), tpm.Provision{Version: 1}); made <- err }()
		time.Sleep(time.Duration(i) * time.Millisecond)
		s.Again()
		err := <-made
		c = counterOf(s)
		if v, rerr := c.Read(t.Context()); rerr == nil && v > 1 || rerr != nil && !errors.Is(rerr, tpm.ErrMissing) &&
			!errors.Is(rerr, tpm.ErrUnfinished) {
			t.Errorf("cut %d: %d, %v (%v)", i, v, rerr, err)
		}
		if _, err := c.Make(t.Context(), tpm.Provision{Version: 1}); err != nil {
			t.Fatalf("cut %d: cannot be made again: %v", i, err)
		}
		is(t, c, 1)
	}
}

// tpm2-tools sees the index as it is described in docs/formats/state.md, and what it can do to it is noticed.
func TestTPMTools(t *testing.T) {
	s := tpmtest.StartSWTPM(t)
	c := counterOf(s)
	if _, err := c.Make(t.Context(), tpm.Provision{Version: 3}); err != nil {
		t.Fatal(err)
	}
	before, err := c.Origin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	public := s.Tool("tpm2_nvreadpublic", fmt.Sprintf("%#x", index))
	for _, want := range []string{"0x22070014", "nt=0x1|",
		fmt.Sprintf("%X", "ratchet counter, base 1\x00"), "size: 8"} {
		if !strings.Contains(public, want) {
			t.Errorf("%q is not in\n%s", want, public)
		}
	}
	s.Tool("tpm2_nvincrement", fmt.Sprintf("%#x", index))
	is(t, c, 4)

	// The owner deletes it: missing, not zero. Makes it again: another origin.
	s.Tool("tpm2_nvundefine", "-C", "o", fmt.Sprintf("%#x", index))
	if v, err := c.Read(t.Context()); !errors.Is(err, tpm.ErrMissing) {
		t.Errorf("a deleted counter is %d, %v", v, err)
	}
	s.Tool("tpm2_nvdefine", "-C", "o", "-s", "8", "-a", "nt=counter|authread|authwrite|ownerread|ppread|no_da",
		fmt.Sprintf("%#x", index))
	if v, err := c.Read(t.Context()); !errors.Is(err, tpm.ErrForeign) {
		t.Errorf("somebody else's counter is %d, %v", v, err)
	}
	s.Tool("tpm2_nvundefine", "-C", "o", fmt.Sprintf("%#x", index))
	if _, err := c.Make(t.Context(), tpm.Provision{Version: 4}); err != nil {
		t.Fatal(err)
	}
	if after, err := c.Origin(t.Context()); after == before || err != nil {
		t.Errorf("origin %q, then %q, %v", before, after, err)
	}

	// With a password that nobody knows any more the owner cannot.
	s.Tool("tpm2_changeauth", "-c", "owner", "secret")
	if _, err := c.Make(t.Context(), tpm.Provision{Replace: true}); err == nil ||
		!strings.Contains(err.Error(), "password") {
		t.Error(err)
	}
	is(t, c, 4)
	if _, err := c.Make(t.Context(), tpm.Provision{Replace: true, Password: []byte("secret")}); err != nil {
		t.Error(err)
	}
}

// The platform's counter outlives the owner and a clear of the TPM; the owner's does not.
func TestTPMCleared(t *testing.T) {
	s := tpmtest.StartSWTPM(t)
	owners, platforms := tpm.New(s.Path, index), tpm.New(s.Path, index+1)
	if _, err := owners.Make(t.Context(), tpm.Provision{Version: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := platforms.Make(t.Context(), tpm.Provision{Version: 2, Platform: true}); err != nil {
		t.Fatal(err)
	}
	s.Tool("tpm2_clear", "-c", "l")
	if _, err := owners.Read(t.Context()); !errors.Is(err, tpm.ErrMissing) {
		t.Error(err)
	}
	is(t, platforms, 2)
	if err := exec.Command("tpm2_nvundefine", "-T", "swtpm:path="+s.Path, "-C", "o",
		fmt.Sprintf("%#x", index+1)).Run(); err == nil {
		t.Error("the owner deleted the platform's counter")
	}
	is(t, platforms, 2)
}
