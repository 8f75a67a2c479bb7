package mqtt_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/ratchet-ota/ratchet/transport/mqtt"
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
