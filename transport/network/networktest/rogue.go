package networktest

import (
	"github.com/ratchet-ota/ratchet/transport/wire/pair"
)

// Rogue is a network process that was taken over, as it sits at its end of the pair. It says what it likes, in messages
// or in bytes.
type Rogue struct {
	pair.Conn
	Setup pair.Setup // what the daemon told it

	codec *pair.Codec
}

// Play is a process that does what it likes once it was told what it is to do; without ready it has not answered that.
func Play(ready bool, does func(r *Rogue) error) func(conn pair.Conn) error {
	return func(conn pair.Conn) error {
		codec, err := pair.ForNetwork()
		if err != nil {
			return err
		}
		r := Rogue{Conn: conn, codec: codec}
		m, _, err := r.Hears()
		if err != nil {
			return err
		}
		r.Setup, _ = m.(pair.Setup)
		if ready {
			if err := r.Says(pair.Ready{Version: pair.Version}); err != nil {
				return err
			}
		}
		return does(&r)
	}
}

// Says sends what an honest process might.
func (r *Rogue) Says(m pair.Message) error {
	b, err := r.codec.Encode(m)
	if err != nil {
		return err
	}
	return r.Send(b, nil)
}

// Hears is the next message of the daemon, with its file.
func (r *Rogue) Hears() (pair.Message, pair.File, error) {
	buf := make([]byte, pair.Max)
	n, f, err := r.Receive(buf)
	if err != nil {
		return nil, nil, err
	}
	m, err := r.codec.Decode(buf[:n])
	return m, f, err
}

// Until hears until there is a message of this type, and gives it with its file.
func Until[M pair.Message](r *Rogue) (m M, f pair.File, err error) {
	for {
		x, f, err := r.Hears()
		if err != nil {
			return m, nil, err
		}
		if m, ok := x.(M); ok {
			return m, f, nil
		}
		if f != nil {
			_ = f.Close()
		}
	}
}

// Sleeps hears nothing of what the daemon says, until it is killed.
func (r *Rogue) Sleeps() error {
	for {
		if _, _, err := r.Hears(); err != nil {
			return err
		}
	}
}
