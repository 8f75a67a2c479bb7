package explorer

import (
	"io"
	"testing/synctest"
)

// amid is something that happens while a download stands still. Whoever downloads waits in it until the agent has
// nothing left to do, before and after, so that the order of operations is the same each time.
type amid struct {
	do func(*Device)
	on chan struct{} // closed when the download goes on
}

// happens has something happen once, and returns when the download goes on.
func (d *Device) happens(name string, do func(*Device)) {
	if d.fired[name] > 0 {
		return
	}
	a := &amid{on: make(chan struct{}), do: func(d *Device) {
		d.fired[name]++
		d.note("event: %s", name)
		do(d)
	}}
	d.amids <- a
	<-a.on
}

// quiet returns when nobody has anything left to do, and no download stands still for something to happen.
func (d *Device) quiet() {
	for synctest.Wait(); d.amidst(); synctest.Wait() {
	}
}

// amidst has happen what a download stands still for, and lets that go on the next time; false when none does.
func (d *Device) amidst() bool {
	if d.amid != nil {
		close(d.amid.on)
		d.amid = nil
		return true
	}
	select {
	case d.amid = <-d.amids:
		d.amid.do(d)
		return true
	default:
		return false
	}
}

// midway lets something happen when so many bytes of an image have come; 0: when the image is asked for.
func midway(name string, bytes int64, do func(*Device)) func(*Device, string, int64) (io.ReadCloser, error) {
	return func(d *Device, uri string, off int64) (io.ReadCloser, error) {
		if bytes == 0 {
			d.happens(name, do)
		}
		body, err := serve(d, uri, off)
		if err != nil || bytes <= off {
			return body, err
		}
		rest := then{func() { d.happens(name, do) }}
		return io.NopCloser(io.MultiReader(io.LimitReader(body, bytes-off), rest, body)), nil
	}
}

// then is no bytes, and something that is done when they are read.
type then struct{ do func() }

func (t then) Read([]byte) (int, error) {
	t.do()
	return 0, io.EOF
}
