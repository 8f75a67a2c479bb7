//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	nethttp "net/http"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/klauspost/compress/zstd"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/unpack"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport/file"
	"github.com/ratchet-ota/ratchet/transport/http"
)

// measure does one install and prints its sample.
func measure(arg string) error {
	var o order
	if err := json.Unmarshal([]byte(arg), &o); err != nil {
		return err
	}
	do := baseline
	if o.Ours {
		do = ratchet
	}
	pss := func() int64 { return 0 }
	if o.PSS {
		pss = watchPSS()
	}
	start := time.Now()
	if err := do(o); err != nil {
		return err
	}
	if begun.After(start) {
		start = begun
	}
	s := sample{Wall: time.Since(start).Seconds(), PSS: pss()}
	var err error
	if s.RSS, err = peakRSS(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(s)
}

// ratchet installs as the agent does: write with checkpoints in the journal, then read back, with the
// memory settings of the daemon.
func ratchet(o order) error {
	debug.SetGCPercent(40)
	debug.SetMemoryLimit(20 << 20)
	j, err := journal.OpenBolt(o.Journal, journal.Options{})
	if err != nil {
		return err
	}
	defer j.Close()
	blocks, running := linux.Blocks{}, hal.DeviceID{Block: true, Major: 1}
	m, err := blocks.OpenTarget(o.Slot, running)
	if err != nil {
		return err
	}
	src, done, err := payload(o)
	if err != nil {
		return err
	}
	defer done()
	img := slots.Image{Alg: slots.SHA256, Digest: o.Digest, Size: o.Size, PayloadSize: o.Payload}
	if o.Zstd {
		img.Encoding = slots.Zstd
	}
	var start func() (slots.Unpacker, error)
	if o.Divided && o.Zstd {
		start = func() (slots.Unpacker, error) { return unpack.Start("ratchet-net", nil) }
	}
	save := func(c slots.Checkpoint) error {
		b, err := cbor.Marshal(c)
		if err != nil {
			return err
		}
		return j.Update(func(tx journal.Tx) error { return tx.Put(journal.State, "checkpoint", b) })
	}
	_, err = slots.Write(context.Background(), m, img, src, slots.Options{Unpack: start, Save: save})
	m.Close()
	if err != nil {
		return err
	}
	if m, err = blocks.OpenMedium(o.Slot); err != nil {
		return err
	}
	defer m.Close()
	return slots.Check(context.Background(), m, img, nil)
}

// payload is where the agent would fetch from: transport/file or transport/http.
func payload(o order) (slots.Source, func(), error) {
	if !o.HTTP {
		f, err := os.Open(o.Source)
		if err != nil {
			return nil, nil, err
		}
		src, err := file.NewSource(f)
		return src, func() { f.Close() }, err
	}
	u, err := url.Parse(o.Source)
	if err != nil {
		return nil, nil, err
	}
	plain := []string{u.Scheme + "://" + u.Host}
	if o.Divided {
		return divided(o, plain)
	}
	f, err := http.New(http.Options{AllowPlain: plain})
	if err != nil {
		return nil, nil, err
	}
	return f.Source([]string{o.Source}, o.Payload), func() {}, nil
}

// begun is when the work began, where something stood before it that on a device was done long ago.
var begun time.Time

// divided is the same by a network process, which runs before the work begins.
func divided(o order, plain []string) (slots.Source, func(), error) {
	c := config.Config{HTTP: config.HTTP{AllowPlain: plain}}
	p, bad := wire.Network(&agent.Options{}, &c, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if len(bad) > 0 {
		return nil, nil, errors.Join(bad...)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.Run(ctx)
	}()
	src := p.Source([]string{o.Source}, o.Payload)
	body, _, err := src.Open(ctx, o.Payload, "") // no byte is asked for at the end
	if err == nil {
		err = body.Close()
	}
	begun = time.Now()
	return src, func() { cancel(); <-ended }, err
}

// plain opens a path or a URL with nothing in between.
func plain(source string) (io.ReadCloser, error) {
	if !strings.HasPrefix(source, "http") {
		return os.Open(source)
	}
	resp, err := nethttp.Get(source)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != nethttp.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("HTTP status %s", resp.Status)
	}
	return resp.Body, nil
}

const blockSize = 1 << 20

// baseline is one pass of read, SHA-256 and write in blocks of 1 MiB, one fsync, and the read-back
// where it is asked for. No checkpoints, no journal, no exclusive opening.
func baseline(o order) error {
	body, err := plain(o.Source)
	if err != nil {
		return err
	}
	defer body.Close()
	var in io.Reader = body
	if o.Zstd {
		d, err := zstd.NewReader(body, zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return err
		}
		defer d.Close()
		in = d
	}
	out, err := os.OpenFile(o.Slot, os.O_WRONLY|syscall.O_DIRECT, 0)
	if err != nil {
		return err
	}
	defer out.Close()
	sum, off := sha256.New(), int64(0)
	fill := func(b []byte) (int, error) {
		n, err := io.ReadFull(in, b)
		sum.Write(b[:n])
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return n, io.EOF
		}
		return n, err
	}
	write := func(b []byte) error {
		if rest := len(b) % hal.Align; rest != 0 {
			b = append(b, make([]byte, hal.Align-rest)...)
		}
		_, err := out.WriteAt(b, off)
		off += int64(len(b))
		return err
	}
	if o.Overlap {
		err = overlapped(fill, write)
	} else {
		err = inTurn(fill, write)
	}
	if err != io.EOF {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	if !bytes.Equal(sum.Sum(nil), o.Digest) {
		return fmt.Errorf("wrong digest")
	}
	if !o.Readback {
		return nil
	}
	return readBack(o)
}

// inTurn fills a buffer and writes it, again and again; io.EOF at the end.
func inTurn(fill func([]byte) (int, error), write func([]byte) error) (err error) {
	b := hal.AlignedBuffer(blockSize)
	for n := 0; err == nil; {
		if n, err = fill(b); n > 0 {
			if e := write(b[:n]); e != nil {
				return e
			}
		}
	}
	return err
}

// overlapped fills one buffer while the other is written; io.EOF at the end.
func overlapped(fill func([]byte) (int, error), write func([]byte) error) error {
	type full struct {
		b   []byte
		n   int
		err error
	}
	free, ready := make(chan []byte, 2), make(chan full, 1)
	free <- hal.AlignedBuffer(blockSize)
	free <- hal.AlignedBuffer(blockSize)
	go func() {
		for b := range free {
			n, err := fill(b)
			ready <- full{b, n, err}
			if err != nil {
				return
			}
		}
	}()
	for f := range ready {
		if f.n > 0 {
			if err := write(f.b[:f.n]); err != nil {
				return err
			}
		}
		if f.err != nil {
			return f.err
		}
		free <- f.b
	}
	return nil
}

// readBack hashes what the slot holds.
func readBack(o order) error {
	f, err := os.OpenFile(o.Slot, os.O_RDONLY|syscall.O_DIRECT, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	again, b := sha256.New(), hal.AlignedBuffer(blockSize)
	for left := o.Size; left > 0; {
		n, err := f.Read(b)
		if err != nil {
			return err
		}
		n = int(min(int64(n), left))
		again.Write(b[:n])
		left -= int64(n)
	}
	if !bytes.Equal(again.Sum(nil), o.Digest) {
		return fmt.Errorf("wrong digest read back")
	}
	return nil
}

// watchPSS watches the memory of this process and its children together; the function that it returns ends that, and
// says the most, in KiB.
func watchPSS() func() int64 {
	stop, most := make(chan struct{}), make(chan int64)
	go func() {
		var peak int64
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				most <- peak
				return
			case <-tick.C:
				peak = max(peak, linux.Together(os.Getpid())>>10)
			}
		}
	}()
	return func() int64 { close(stop); return <-most }
}
