package explorer

import (
	"context"
	"errors"
	"io"

	"github.com/ratchet-ota/ratchet/hal/sim"
	"github.com/ratchet-ota/ratchet/transport"
)

// Messages implements transport.Inbox.
func (d *Device) Messages() <-chan transport.Message { return d.inbox }

// deaf is an outbox that takes nothing.
type deaf struct{}

func (deaf) Send(context.Context, transport.Message) error { return errBroken }

// service is the health check of the system that runs.
type service struct{ d *Device }

func (service) Name() string { return "service" }

func (s service) Run(context.Context) error {
	if s.d.off() {
		return sim.ErrPowerCut // it was cut while the check was on its way
	}
	if s.d.sick(s.d.Image()) {
		return errors.New("the service does not answer")
	}
	return nil
}

// source is the image server.
type source struct {
	d   *Device
	uri string
}

func (s source) Open(_ context.Context, off int64, _ string) (io.ReadCloser, string, error) {
	s.d.opened = append(s.d.opened, off)
	body, err := s.d.s.serve(s.d, s.uri, off)
	return body, "v1", err
}

// payload is what the release desk put on the server.
func (p *pki) payload(u string) []byte {
	for _, c := range []string{"rootfs", "boot"} {
		for n := byte(1); n <= 9; n++ {
			if u == uri(c, n) {
				return p.image(c, n)
			}
		}
	}
	return nil
}
