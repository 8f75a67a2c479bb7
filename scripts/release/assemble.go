package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Names in a release, and of its signature: SECURITY.md tells people to type them.
const (
	sumsName      = "SHA256SUMS"
	statementName = "provenance.json"
	signerName    = "ratchet-releases" // in the file of keys
	namespace     = "ratchet-release"  // what such a key signs here, and in no other place
)

// assembly is the making of a release.
type assembly struct {
	dist, out, flags string
	key, keys        string
}

func (a assembly) run(ctx context.Context) error {
	programs, err := a.programs()
	if err != nil {
		return err
	}
	if err := os.Mkdir(a.out, 0o755); err != nil {
		return fmt.Errorf("cannot make a release: %w", err)
	}
	var paths []string
	for i, p := range programs {
		b, err := os.ReadFile(p.path)
		if err != nil {
			return err
		}
		to := filepath.Join(a.out, p.name+"-linux-"+p.processor())
		if err := os.WriteFile(to, b, 0o755); err != nil {
			return err
		}
		programs[i].path, programs[i].name = to, filepath.Base(to)
		paths = append(paths, to)
	}
	if err := writeBills(ctx, paths); err != nil {
		return err
	}
	b, err := statement(programs, a.flags)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(a.out, statementName), b, 0o644); err != nil {
		return err
	}
	if err := writeSums(a.out); err != nil {
		return err
	}
	return a.sign(ctx)
}

// programs are those of all processors: of one commit, by one Go, fit for a release.
func (a assembly) programs() (all []program, err error) {
	paths, err := filepath.Glob(filepath.Join(a.dist, "*", "*"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	for _, path := range paths {
		if filepath.Dir(path) == filepath.Clean(a.out) {
			continue
		}
		p, err := readProgram(path)
		if err == nil {
			err = p.fit()
		}
		if err != nil {
			return nil, err
		}
		first := p
		if len(all) > 0 {
			first = all[0]
		}
		if p.set["vcs.revision"] != first.set["vcs.revision"] || p.info.GoVersion != first.info.GoVersion {
			return nil, fmt.Errorf("%s is of another commit or Go than %s: remove %s and build again", path, first.path,
				a.dist)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there are no programs in %s: run `make dist`", a.dist)
	}
	return all, nil
}

// writeSums writes SHA256SUMS over all other files of a directory, as sha256sum does.
func writeSums(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for _, e := range entries { // by name
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		fmt.Fprintf(&b, "%s  %s\n", hex.EncodeToString(sum[:]), e.Name())
	}
	return os.WriteFile(filepath.Join(dir, sumsName), b.Bytes(), 0o644)
}

// sign signs the sums, and verifies them as people will: a release that they cannot verify is none.
func (a assembly) sign(ctx context.Context) error {
	sums := filepath.Join(a.out, sumsName)
	if a.key == "" {
		fmt.Printf("%s is NOT SIGNED: name a key (make release KEY=...) before you publish it\n", sums)
		return nil
	}
	cmd := exec.CommandContext(ctx, "ssh-keygen", "-q", "-Y", "sign", "-f", a.key, "-n", namespace, sums)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot sign %s: %w", sums, err)
	}
	b, err := os.ReadFile(sums)
	if err != nil {
		return err
	}
	cmd = exec.CommandContext(ctx, "ssh-keygen", "-Y", "verify", "-f", a.keys, "-I", signerName, "-n", namespace,
		"-s", sums+".sig")
	cmd.Stdin = bytes.NewReader(b)
	if out, err := cmd.CombinedOutput(); err != nil {
		err = fmt.Errorf("%s does not name this key, so that nobody could verify the release: %w: %s", a.keys, err,
			strings.TrimSpace(string(out)))
		return errors.Join(err, os.Remove(sums+".sig"))
	}
	fmt.Printf("%s is signed\n", sums)
	return nil
}
