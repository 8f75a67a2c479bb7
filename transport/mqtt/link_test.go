package mqtt_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/ratchet-ota/ratchet/transport/mqtt"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

func TestAnnounce(t *testing.T) {
	for _, id := range []string{"d", "a-rather-long-device-id-so-that-the-length-of-the-packet-needs-64"} {
		cm := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
		cm.ProtocolName, cm.ProtocolVersion, cm.ClientIdentifier = "MQTT", 4, id
		cm.WillFlag, cm.WillTopic, cm.WillMessage = true, "ratchet/v1/device/"+id+"/presence", make([]byte, 100)
		var b bytes.Buffer
		if err := cm.Write(&b); err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(b.Bytes())
		out, err := mqtt.Announce(b.Bytes(), 300*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(before, b.Bytes()) {
			t.Error("the caller's buffer was changed")
		}
		p, err := packets.ReadPacket(bytes.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		if c := p.(*packets.ConnectPacket); c.Keepalive != 300 || c.ClientIdentifier != id ||
			c.WillTopic != cm.WillTopic {
			t.Errorf("announced %+v", c)
		}
	}
	for _, bad := range [][]byte{nil, {0x10}, {0x10, 0x80, 0x80, 0x80, 0x80}, {0x30, 0},
		{0x10, 10, 0, 6, 'M', 'Q', 'I', 's', 'd', 'p', 3, 0}} {
		if _, err := mqtt.Announce(bad, time.Minute); err == nil {
			t.Errorf("%x passed for a CONNECT", bad)
		}
	}
}

// TestPings: only the answer to a ping is one, and only to a ping that was sent.
func TestPings(t *testing.T) {
	for name, tt := range map[string]struct {
		arrived map[int]int // packet types by the second
		want    string      // seconds of the pings, and of the end
	}{
		"no answer":               {nil, "[10] 30"},
		"answers":                 {map[int]int{12: wire.TypePingresp, 23: wire.TypePingresp}, "[10 22 33] 53"},
		"a message is no answer":  {map[int]int{12: wire.TypePublish}, "[10] 30"},
		"an answer to nothing":    {map[int]int{5: wire.TypePingresp}, "[10] 30"},
		"a message before a ping": {map[int]int{5: wire.TypePublish}, "[10] 30"},
	} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			began := time.Now()
			now := func() int { return int(time.Since(began) / time.Second) }
			var pings []int
			go func() {
				for b := make([]byte, 2); ; {
					if _, err := io.ReadFull(theirs, b); err != nil {
						return
					}
					pings = append(pings, now())
				}
			}()
			l := mqtt.NewLink(ours, 10*time.Second, true)
			for at, typ := range tt.arrived {
				time.AfterFunc(time.Duration(at)*time.Second, func() { l.Arrived(typ) })
			}
			<-l.Done()
			synctest.Wait()
			if got := fmt.Sprint(pings, " ", now()); got != tt.want || l.Err() == nil {
				t.Errorf("%s: pings and the end at %s, %v, want %s", name, got, l.Err(), tt.want)
			}
		})
	}
}

// TestLinkEnds: with the first cause, whoever finds it.
func TestLinkEnds(t *testing.T) {
	for want, end := range map[string]func(l mqtt.Link, theirs net.Conn){
		net.ErrClosed.Error(): func(l mqtt.Link, _ net.Conn) { l.Close() },
		"broker closed the connection: EOF": func(l mqtt.Link, theirs net.Conn) {
			theirs.Close()
			_,
				_ = l.Read(make([]byte, 1))
		},
		io.ErrClosedPipe.Error(): func(l mqtt.Link, theirs net.Conn) {
			theirs.Close()
			_,
				_ = l.Write([]byte{0xc0, 0})
		},
	} {
		ours, theirs := net.Pipe()
		l := mqtt.NewLink(ours, time.Minute, true)
		if l.Err() != nil {
			t.Error("a link ended before it began:", l.Err())
		}
		end(l, theirs)
		<-l.Done()
		l.Close()
		if l.Err() == nil || l.Err().Error() != want {
			t.Errorf("it ended with %v, want %s", l.Err(), want)
		}
		if _, err := ours.Write([]byte{0}); err == nil {
			t.Error("the connection is still open")
		}
	}
	ours, _ := net.Pipe()
	l := mqtt.NewLink(ours, time.Minute, false)
	if n, err := l.Write([]byte{0xc0, 0}); n != 0 || err == nil || l.Err() != err {
		t.Errorf("a first packet that is no CONNECT: %d, %v, %v", n, err, l.Err())
	}
}

// TestEndsInWords: what an operator reads of a connection that ended.
func TestEndsInWords(t *testing.T) {
	odd := errors.New("odd")
	for _, tt := range []struct {
		got  error
		want string
	}{
		{mqtt.Plain(io.EOF), "broker closed the connection: EOF"},
		{mqtt.Plain(io.ErrUnexpectedEOF), "broker closed the connection: unexpected EOF"},
		{mqtt.Plain(os.ErrDeadlineExceeded), "broker does not answer: i/o timeout"}, {mqtt.Plain(odd), "odd"},
		{mqtt.Refusal(packets.ErrorRefusedIDRejected, odd),
			"broker rejects the device id; check that its certificate or account belongs to this id"},
		{mqtt.Refusal(packets.ErrorRefusedBadUsernameOrPassword, nil),
			"broker does not admit this device; check certificate, user name and password, and the broker's access " +
				"list"},
		{mqtt.Refusal(packets.ErrorRefusedNotAuthorised, nil),
			"broker does not admit this device; check certificate, user name and password, and the broker's access " +
				"list"},
		{mqtt.Refusal(packets.ErrorRefusedServerUnavailable, odd), "broker says that it is unavailable"},
		{mqtt.Refusal(packets.ErrorRefusedBadProtocolVersion, odd), "broker does not speak MQTT 3.1.1"},
		{mqtt.Refusal(odd, io.EOF), "connection ended before the broker accepted it: EOF"},
		{mqtt.Refusal(odd, net.ErrClosed), "broker does not accept the connection: odd"},
		{mqtt.Refusal(odd, nil), "broker does not accept the connection: odd"},
	} {
		if tt.got.Error() != tt.want {
			t.Errorf("%v, want %s", tt.got, tt.want)
		}
	}
}
