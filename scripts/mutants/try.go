//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// binary is a test binary of a package that has the changes compiled in.
type binary struct {
	pack  *pack
	path  string
	tests []*test
}

// test is one test function.
type test struct {
	name string
	took time.Duration
	seen []byte // by change: it passes through it
}

// build compiles the changes in, and the tests of the package and of its users. A change that does not compile is
// none.
func (p *plan) build(ctx context.Context, m *module, dir string, users *regexp.Regexp) ([]*binary, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	overlay := filepath.Join(dir, "overlay.json")
	write := func() error {
		files := map[string]string{}
		put := func(path string, text []byte) error {
			to := filepath.Join(dir, fmt.Sprintf("%d.go", len(files)))
			files[path] = to
			return os.WriteFile(to, text, 0o600)
		}
		for path := range p.files {
			if err := put(path, p.apply(path)); err != nil {
				return err
			}
		}
		if err := put(filepath.Join(p.pack.Dir, "zz_mutants.go"), []byte(runtime(p.name))); err != nil {
			return err
		}
		b, err := json.Marshal(map[string]any{"Replace": files})
		if err != nil {
			return err
		}
		return os.WriteFile(overlay, b, 0o600)
	}
	for round := 0; ; round++ {
		if err := write(); err != nil {
			return nil, err
		}
		_, err := output(ctx, "go", "build", "-gcflags=-e", "-overlay", overlay, "-o", os.DevNull, p.pack.ImportPath)
		if err == nil {
			break
		}
		if !p.dismiss(m, err.Error(), overlay) || round == 30 {
			return nil, err
		}
	}
	kept := p.mutants[:0]
	for _, mu := range p.mutants {
		if !p.lost[mu.id] {
			kept = append(kept, mu)
		}
	}
	p.mutants = kept
	var out []*binary
	for _, t := range m.testers(p.pack.ImportPath, users) {
		b := &binary{pack: t, path: filepath.Join(dir, fmt.Sprintf("%d.test", len(out)))}
		if _, err := output(ctx, "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o",
			b.path, t.ImportPath); err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

var compileError = regexp.MustCompile(`(?m)^([^\s:]+\.go):(\d+):\d+: `)

// dismiss takes out the changes that stand on the lines of compiler errors.
func (p *plan) dismiss(m *module, text, overlay string) (some bool) {
	var over struct{ Replace map[string]string }
	if raw, err := os.ReadFile(overlay); err != nil || json.Unmarshal(raw, &over) != nil {
		return false
	}
	var ids []int
	for _, e := range compileError.FindAllStringSubmatch(text, -1) {
		line, _ := strconv.Atoi(e[2])
		for path, to := range over.Replace {
			if e[1] == to || e[1] == path || strings.HasSuffix(path, "/"+strings.TrimPrefix(e[1], "./")) ||
				m.relative(path) == e[1] {
				ids = append(ids, p.onLine(path, line)...)
			}
		}
	}
	for _, id := range ids {
		if !p.lost[id] {
			some = true
			p.lost[id] = true
		}
	}
	return some
}

// command runs a test binary where its package is, with a bound on its memory: a change can make it endless.
func command(ctx context.Context, b *binary, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh",
		append([]string{"-c", `ulimit -v 8000000; exec "$0" "$@"`, b.path, "-test.short"}, args...)...)
	cmd.Dir = b.pack.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// watch runs each test alone and sees which changes it passes through.
func watch(ctx context.Context, binaries []*binary, p *plan, dir string) error {
	size := p.mutants[len(p.mutants)-1].id + 1
	path := filepath.Join(dir, "seen")
	for _, b := range binaries {
		cmd := command(ctx, b, "-test.list", ".")
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("%s has no list of tests: %w", b.pack.ImportPath, err)
		}
		for _, name := range strings.Fields(string(out)) {
			if strings.HasPrefix(name, "Benchmark") {
				continue
			}
			if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
				return err
			}
			cmd := command(ctx, b, "-test.run", "^"+name+"$", "-test.timeout", "5m")
			cmd.Env = append(os.Environ(), "MUTANT=0", "MUTANT_SEEN="+path)
			began := time.Now()
			if out, err := cmd.CombinedOutput(); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				fmt.Fprintf(os.Stderr, "%s: %s fails without any change, and is left out: %v\n%.2000s\n",
					m(b), name, err, out)
				continue
			}
			t := &test{name: name, took: time.Since(began)}
			if t.seen, err = os.ReadFile(path); err != nil {
				return err
			}
			b.tests = append(b.tests, t)
		}
	}
	return nil
}

func m(b *binary) string { return filepath.Base(b.pack.ImportPath) }

// kill runs the tests that pass through a change, the quick ones first, and returns what noticed it; "" when
// nothing did.
func kill(ctx context.Context, binaries []*binary, mu *mutant) string {
	for _, slow := range []bool{false, true} {
		for _, b := range binaries {
			var names []string
			var took time.Duration
			for _, t := range b.tests {
				if t.seen[mu.id] == 1 && (t.took > time.Second) == slow {
					names = append(names, t.name)
					took += t.took
				}
			}
			if len(names) == 0 {
				continue
			}
			limit := 5*took + 10*time.Second
			run, cancel := context.WithTimeout(ctx, limit)
			cmd := command(run, b, "-test.failfast", "-test.timeout", limit.String(), "-test.run",
				"^("+strings.Join(names, "|")+")$")
			cmd.Env = append(os.Environ(), "MUTANT="+strconv.Itoa(mu.id))
			out, err := cmd.CombinedOutput()
			cancel()
			if ctx.Err() != nil {
				return ""
			}
			var exit *exec.ExitError
			if err != nil && (errors.As(err, &exit) || run.Err() != nil) {
				return m(b) + "." + failed(string(out))
			}
		}
	}
	return ""
}

var failLine = regexp.MustCompile(`--- FAIL: (\S+)`)

func failed(out string) string {
	if f := failLine.FindStringSubmatch(out); f != nil {
		return f[1]
	}
	return "(it hangs or ends)"
}
