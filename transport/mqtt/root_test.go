package mqtt_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/mqtt"
)

// rootsOneByOne has a client ask for one version of the root after the other, of which all are retained. Each comes
// when it is asked for, and only then: a bundle of them would be larger than a message.
func rootsOneByOne(t *testing.T, c *mqtt.Client, publish func(topic string, body []byte)) {
	t.Helper()
	body := func(version uint64) []byte { return bytes.Repeat([]byte{byte(version)}, 30<<10) }
	for version := uint64(2); version <= 5; version++ {
		publish(fmt.Sprintf("ratchet/v1/root/%d", version), body(version))
	}
	for version := uint64(2); version <= 5; version++ {
		c.AskRoot(version)
		for known := true; known; { // what was asked for while the client connected may come twice
			m := <-c.Messages()
			if known = version > 2 && bytes.Equal(m.Body, body(version-1)); known {
				continue
			}
			if m.Kind != transport.Root || !bytes.Equal(m.Body, body(version)) {
				t.Fatalf("%v of %d bytes from %s for version %d", m.Kind, len(m.Body), m.Origin, version)
			}
		}
	}
	c.AskRoot(6) // there is none yet
	select {
	case m := <-c.Messages():
		if !bytes.Equal(m.Body, body(5)) {
			t.Errorf("%v comes from %s, which nobody asked for", m.Kind, m.Origin)
		}
	case <-time.After(50 * time.Millisecond):
	}
	publish("ratchet/v1/root/6", body(6))
	if m := <-c.Messages(); !bytes.Equal(m.Body, body(6)) {
		t.Errorf("%d bytes come from %s for version 6", len(m.Body), m.Origin)
	}
}

func TestRootsOneByOne(t *testing.T) {
	b := newBroker(t, nil)
	o := b.options()
	o.Root = true
	c := run(t, o)
	rootsOneByOne(t, c, func(topic string, body []byte) { b.publish(t, topic, body, true) })
	// The version that is asked for is asked for at the next connection too.
	c.AskRoot(7)
	b.stop()
	b.start(t)
	b.publish(t, "ratchet/v1/root/7", []byte("seven"), true)
	for {
		m := <-c.Messages()
		if string(m.Body) == "seven" {
			return
		}
	}
}

// TestRootThatMayNotBeReadDoesNotHoldUp: a broker whose access list does not have the topic yet refuses it. Everything
// else goes on.
func TestRootThatMayNotBeReadDoesNotHoldUp(t *testing.T) {
	b := newBroker(t, nil)
	b.access.mu.Lock()
	b.access.refuse = func(topic string, _ bool) bool { return topic == "ratchet/v1/root/2" }
	b.access.mu.Unlock()
	o := b.options()
	o.Root = true
	c := run(t, o)
	c.AskRoot(2)
	b.publish(t, channelTopic, []byte("for all"), true)
	if m := <-c.Messages(); string(m.Body) != "for all" {
		t.Errorf("received %q", m.Body)
	}
}
