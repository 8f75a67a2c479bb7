//go:build interop

package mqtt_test

import (
	"testing"

	"github.com/ratchet-ota/ratchet/transport/mqtt"
)

// TestInteropRootsOneByOne: the versions of a root whose bundle no message could carry, from a real broker.
func TestInteropRootsOneByOne(t *testing.T) {
	m := startMosquitto(t, plainConfig)
	d := dialDesk(t, m.url, "desk", nil)
	c := run(t, mqtt.Options{Broker: m.url, AllowPlain: true, DeviceID: "gateway-0001", Root: true, Backoff: fast})
	rootsOneByOne(t, c, func(topic string, body []byte) { d.publish(topic, string(body), true) })
}
