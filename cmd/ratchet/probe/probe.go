// Package probe makes the health checks that connect, each in a process of its own, which has the rights of `ratchet
// net` and lives for one question: both ends of it. What a server answers is read there and not by root. What such a
// process says is the health of that one server, as whoever answers for it would have it.
package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/health"
	"github.com/ratchet-ota/ratchet/hal/linux/sandbox"
	"github.com/ratchet-ota/ratchet/transport/secure"
	"github.com/ratchet-ota/ratchet/transport/wire/pair"
)

// Question is what the process is asked. It comes by its standard input, in CBOR.
type Question struct {
	URL, Contains string // of a check by HTTP
	Status        int
	Address       string            // of a check by TCP, where URL is empty
	Environment   map[string]string // whom the system trusts
	Without       []string          // what the process is not confined by
}

// How says how the process is started.
type How struct {
	User string   // the system user that it runs as
	Read []string // what it may read
}

// Limits, in bytes.
const (
	maxQuestion = 64 << 10
	maxData     = 256 << 20
	heap        = 8 << 20
)

// Check is a health check that is made by a process.
type Check struct {
	is  health.Remote // the same without a process
	q   Question
	how How
}

var _ health.Remote = Check{}

// Name implements health.Check.
func (c Check) Name() string { return c.is.Name() }

// Remote implements health.Remote.
func (c Check) Remote() bool { return c.is.Remote() }

// New is the check of q.
func New(title string, q Question, how How) Check { return Check{q.check(title), q, how} }

func (q Question) check(title string) health.Remote {
	if q.URL == "" {
		return health.TCP{Title: title, Addr: q.Address}
	}
	return health.HTTP{Title: title, URL: q.URL, Status: q.Status, Contains: q.Contains, TLS: secure.Files{}.Config}
}

// Run implements health.Check.
func (c Check) Run(ctx context.Context) error {
	q, err := cbor.Marshal(c.q)
	if err != nil {
		return fmt.Errorf("internal error: %w", err)
	}
	answer, err := c.ask(ctx, q)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("cannot ask: %w", err)
	}
	why, bad := strings.CutPrefix(answer, unhealthy)
	if !bad {
		return nil
	}
	return errors.New(pair.Line(why))
}

// What an answer begins with.
const (
	healthy   = "+"
	unhealthy = "-"
)

// ask starts the process, and ends it with ctx at the latest.
func (c Check) ask(ctx context.Context, question []byte) (answer string, err error) {
	inR, inW, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer inW.Close()
	outR, outW, err := os.Pipe()
	if err != nil {
		return "", errors.Join(err, inR.Close())
	}
	defer outR.Close()
	child, err := sandbox.Start(sandbox.Options{Args: []string{"probe"}, Stdin: inR, Stdout: outW, User: c.how.User,
		Read: c.how.Read, Network: true, Without: c.q.Without})
	_, _ = inR.Close(), outW.Close()
	if err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, func() { _, _ = child.Kill(), outR.Close() })
	defer stop()
	defer func() { _ = child.Kill() }()
	go func() {
		_, _ = inW.Write(question)
		_ = inW.Close()
	}()
	b, err := io.ReadAll(io.LimitReader(outR, pair.MaxText+1))
	if err == nil && (len(b) == 0 || string(b) != healthy && !strings.HasPrefix(string(b), unhealthy)) {
		_ = child.Kill()
		err = errors.Join(errors.New("the process ended without an answer"), child.Wait())
	}
	return string(b), err
}

// Process is the process' end: it confines itself, asks, and answers.
func Process(ctx context.Context, in io.Reader, out io.Writer) error {
	debug.SetGCPercent(40)
	debug.SetMemoryLimit(heap)
	b, err := io.ReadAll(io.LimitReader(in, maxQuestion))
	if err != nil {
		return err
	}
	var q Question
	if err := cbor.Unmarshal(b, &q); err != nil {
		return fmt.Errorf("this is started by `ratchet daemon`, which asks by its standard input: %w", err)
	}
	for name, value := range q.Environment {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	sandbox.Confine(sandbox.Policy{Network: true, Read: true, Memory: maxData, Without: q.Without})
	answer := healthy
	if err := q.check("").Run(ctx); err != nil {
		answer = unhealthy + pair.Line(err.Error())
	}
	_, err = io.WriteString(out, answer)
	return err
}
