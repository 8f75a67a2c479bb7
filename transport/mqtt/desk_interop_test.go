//go:build interop

package mqtt_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/ratchet-ota/ratchet/transport"
)

// desk is a plain MQTT client: the release desk, or a device that does what it should not.
type desk struct {
	t      *testing.T
	config *tls.Config
	paho   paho.Client
	got    chan transport.Message
}

// dialDesk connects and subscribes to filters. The connection is not kept up.
func dialDesk(t *testing.T, url, id string, config *tls.Config, filters ...string) *desk {
	t.Helper()
	d := &desk{t: t, config: config, got: make(chan transport.Message, 1000)}
	o := paho.NewClientOptions().AddBroker(url).SetClientID(id).SetTLSConfig(config).SetAutoReconnect(
		false).SetKeepAlive(60 * time.Second)
	o.SetDefaultPublishHandler(func(_ paho.Client, p paho.Message) {
		m := transport.Message{Origin: p.Topic(), Body: p.Payload()}
		switch {
		case strings.HasSuffix(p.Topic(), "/status"):
			m.Kind = transport.Status
		case strings.HasSuffix(p.Topic(), "/evidence"):
			m.Kind = transport.Evidence
		}
		d.got <- m
	})
	d.paho = paho.NewClient(o)
	d.done(d.paho.Connect())
	t.Cleanup(func() { d.paho.Disconnect(100) })
	for _, f := range filters {
		d.done(d.paho.Subscribe(f, 1, nil))
	}
	return d
}

func (d *desk) done(token paho.Token) {
	d.t.Helper()
	if !token.WaitTimeout(10 * time.Second) {
		d.t.Fatal("the broker does not answer the desk")
	}
	if err := token.Error(); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) publish(topic, body string, retain bool) {
	d.t.Helper()
	d.done(d.paho.Publish(topic, 1, retain, body))
}

// next returns the next message as "topic: body".
func (d *desk) next() string {
	d.t.Helper()
	select {
	case m := <-d.got:
		return m.Origin + ": " + string(m.Body)
	case <-time.After(10 * time.Second):
		d.t.Fatal("nothing came")
		return ""
	}
}
