// Command vulncheck looks for known vulnerabilities with govulncheck. A finding fails, and so does a machine that
// reaches no database: nothing that was not checked passes.
//
//	go run ./scripts/vulncheck [-db URL] [-tags TAGS] PACKAGE...
//
// The database is the one of the Go project. Where that cannot be reached it is made from its source, which the proxy
// has as golang.org/x/vulndb: one OSV file for each entry, laid out as go.dev/doc/security/vuln/database says.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

const (
	checker  = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"
	network  = "https://vuln.go.dev"
	source   = "golang.org/x/vulndb@latest"
	patience = 15 * time.Second // for an answer of the network's database
	fewest   = 3000             // entries of a whole database: it had 4789 in November 2026
	aged     = 60 * 24 * time.Hour
)

func main() {
	db := flag.String("db", "", "`URL` of the database, https:// or file:// (default: "+network+", or its source)")
	tags := flag.String("tags", "", "build `TAGS`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *db, *tags, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "vulncheck:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, db, tags string, packages []string) error {
	if db == "" {
		dir, err := os.MkdirTemp("", "vulndb-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if db, err = choose(ctx, network, fromProxy, dir, fewest); err != nil {
			return err
		}
	}
	args := append([]string{"run", checker, "-db", db, "-test", "-tags", tags}, packages...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("govulncheck: %w", err)
	}
	return nil
}

// download gets the database's source: where it is, and of when.
type download func(context.Context) (dir string, date time.Time, err error)

// choose finds a database: the one of the network, or else its source, laid out in dir.
// It has the fewest entries, or more.
func choose(ctx context.Context, url string, get download, dir string, fewest int) (string, error) {
	answer := reach(ctx, url)
	if answer == nil {
		return url, nil
	}
	from, date, err := get(ctx)
	if err == nil {
		var made index
		if made, err = layOut(filepath.Join(from, "data", "osv"), dir, date); err == nil {
			err = made.whole(fewest)
		}
		if err == nil {
			fmt.Printf("vulncheck: %s cannot be reached; the database is its source of %s, %d entries\n", url,
				date.Format("2006-01-02"), len(made.entries))
			if age := time.Since(date); age > aged {
				fmt.Printf("vulncheck: WARNING: it is %.0f days old; what was found since is not in it\n",
					age.Hours()/24)
			}
			return "file://" + filepath.ToSlash(dir), nil
		}
	}
	return "", fmt.Errorf("NOT CHECKED for known vulnerabilities: no database.\n  %s: %w\n  %s: %w", url, answer,
		source, err)
}

// reach asks the database for its date.
func reach(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/index/db.json", nil)
	if err != nil {
		return err
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	var meta struct{ Modified time.Time }
	if err := json.NewDecoder(http.MaxBytesReader(nil, a.Body, 1<<16)).Decode(&meta); a.StatusCode != http.StatusOK ||
		err != nil || meta.Modified.IsZero() {
		return fmt.Errorf("it answers %s, and not as a database", a.Status)
	}
	return nil
}

// fromProxy gets the source of the database from the module proxy. Its version has the date of its commit.
func fromProxy(ctx context.Context) (string, time.Time, error) {
	out, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", source).Output()
	var m struct{ Dir, Version, Error string }
	if jerr := json.Unmarshal(out, &m); err == nil {
		err = jerr
	}
	if m.Error != "" {
		err = errors.New(m.Error)
	}
	if err != nil {
		return "", time.Time{}, err
	}
	part := strings.Split(m.Version, "-") // v0.0.0-20261105234957-e22db6528018
	if len(part) != 3 {
		return "", time.Time{}, fmt.Errorf("version %s has no date", m.Version)
	}
	date, err := time.Parse("20060102150405", part[1])
	return m.Dir, date, err
}
