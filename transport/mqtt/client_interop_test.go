//go:build interop

package mqtt_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/mqtt"
	"github.com/ratchet-ota/ratchet/transport/proxy"
	"github.com/ratchet-ota/ratchet/transport/secure"
	"github.com/ratchet-ota/ratchet/transport/transporttest"
)

func TestInteropConformance(t *testing.T) {
	transporttest.Link(t, func(t *testing.T) transporttest.LinkRig {
		b := startMosquitto(t, plainConfig)
		d := dialDesk(t, b.url, "desk", nil, "ratchet/v1/device/+/status", "ratchet/v1/device/+/evidence")
		c := run(t,
			mqtt.Options{Broker: b.url, AllowPlain: true, DeviceID: "gateway-0001", Channel: "stable", Backoff: fast})
		return transporttest.LinkRig{
			Inbox: c, Outbox: c, Desk: d.got, Online: online(c),
			Deliver: func(k transport.Kind, body []byte) {
				if k == transport.Resend {
					d.publish(resendTopic, string(body), false)
				} else {
					d.publish(channelTopic, string(body), true)
				}
			},
			Break: func() { b.stop(t) },
			Mend:  func() { b.start(t) },
		}
	})
}

// example is a broker that runs the shipped configuration; only paths, port and user are replaced.
func example(t *testing.T) (b *mosquitto, device func(name, id string) *mqtt.Client,
	raw func(name string, filters ...string) *desk) {
	t.Helper()
	text, err := os.ReadFile("example/mosquitto.conf")
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for _, r := range [][2]string{
		{"\nlistener 8883\n", "\nlistener PORT 127.0.0.1\n"},
		{"/etc/mosquitto/certs/ca.crt", "DIR/ca.crt"},
		{"/etc/mosquitto/certs/server.crt", "DIR/server.crt"},
		{"/etc/mosquitto/certs/server.key", "DIR/server.key"},
		{"/etc/mosquitto/ratchet.acl", "DIR/ratchet.acl"},
		{"/var/lib/mosquitto/", "DIR/"},
	} {
		if strings.Count(config, r[0]) != 1 {
			t.Fatalf("the example does not have %q once", r[0])
		}
		config = strings.Replace(config, r[0], r[1], 1)
	}
	acl, err := os.ReadFile("example/ratchet.acl")
	if err != nil {
		t.Fatal(err)
	}
	ca := newAuthority(t)
	b = startMosquittoWith(t, config+"\nuser root\n", func(dir string) {
		ca.write(t, dir, ca.issue(t, "broker"))
		if err := os.WriteFile(filepath.Join(dir, "ratchet.acl"), acl, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	b.url = "mqtts://127.0.0.1:" + b.port
	device = func(name, id string) *mqtt.Client {
		t.Helper()
		return run(t,
			mqtt.Options{Broker: b.url, DeviceID: id, Channel: "stable",
				TLS: secure.Fixed(ca.client(t, name)), Backoff: fast})
	}
	raw = func(name string, filters ...string) *desk {
		t.Helper()
		return dialDesk(t, b.url, name, ca.client(t, name), filters...)
	}
	return b, device, raw
}

func send(t *testing.T, c *mqtt.Client, k transport.Kind, body string) {
	t.Helper()
	if err := c.Send(t.Context(), transport.Message{Kind: k, Body: []byte(body)}); err != nil {
		t.Error(err)
	}
}

func body(t *testing.T, c *mqtt.Client) string {
	t.Helper()
	select {
	case m := <-c.Messages():
		return string(m.Body)
	case <-time.After(10 * time.Second):
		t.Fatal("no message came")
		return ""
	}
}

// The example lets a fleet work, over a restart of the broker too.
func TestExampleWorks(t *testing.T) {
	b, device, raw := example(t)
	c := device("gateway-0001", "gateway-0001")
	d := raw("release-desk", "ratchet/v1/device/+/presence", "ratchet/v1/device/+/status",
		"ratchet/v1/device/+/evidence")
	if m := d.next(); m != presenceTopic+": online" {
		t.Error(m)
	}
	send(t, c, transport.Status, "fine")
	send(t, c, transport.Evidence, "record")
	if m := d.next(); m != statusTopic+": fine" {
		t.Error(m)
	}
	if m := d.next(); m != evidenceTopic+": record" {
		t.Error(m)
	}
	d.publish(resendTopic, "again", false)
	if m := body(t, c); m != "again" {
		t.Errorf("received %q", m)
	}
	d.publish(channelTopic, "for all", true)
	d.publish(offerTopic, "for one", true)
	got := map[string]bool{body(t, c): true, body(t, c): true}
	if !got["for all"] || !got["for one"] {
		t.Errorf("received %v", got)
	}
	for range 2 {
		b.stop(t)
		until(t, "offline", func() bool { return !online(c)() })
		b.start(t)
		until(t, "back", online(c))
		got = map[string]bool{body(t, c): true, body(t, c): true}
		if !got["for all"] || !got["for one"] {
			t.Errorf("received %v after a restart", got)
		}
		send(t, c, transport.Status, "back")
	}
}

// The example keeps devices apart, and to their own affairs.
func TestExampleKeepsApart(t *testing.T) {
	_, device, raw := example(t)
	honest := device("gateway-0001", "gateway-0001")
	until(t, "online", online(honest))
	_, since := honest.Online()
	d := raw("release-desk", "ratchet/v1/device/+/presence", "ratchet/v1/device/+/status",
		"ratchet/v1/device/+/evidence")
	if m := d.next(); m != presenceTopic+": online" {
		t.Error(m)
	}

	// A device of its own right that says it is another: it neither throws the other off nor
	// speaks for it. The broker acknowledges what it drops, so a message that counts comes after.
	impostor := device("gateway-0002", "gateway-0001")
	until(t, "impostor online", online(impostor))
	send(t, impostor, transport.Status, "lie")
	send(t, impostor, transport.Evidence, "lie")
	thief := raw("gateway-0003", "#", "ratchet/v1/offer/+", "ratchet/v1/device/+/offer",
		"ratchet/v1/device/gateway-0001/#")
	for _, topic := range []string{statusTopic, evidenceTopic, presenceTopic, offerTopic, resendTopic, channelTopic,
		"ratchet/v1/offer/beta", "ratchet/v1/device/gateway-0003/offer", "elsewhere"} {
		thief.publish(topic, "lie", true)
	}
	send(t, honest, transport.Status, "truth")
	if m := d.next(); m != statusTopic+": truth" {
		t.Errorf("desk received %q", m)
	}
	if now, s := honest.Online(); !now || s != since {
		t.Error("the honest device lost its connection")
	}

	// Offers: only the desk's, only to whom they are for.
	d.publish(offerTopic, "for 0001", true)
	d.publish(channelTopic, "for stable", true)
	d.publish("ratchet/v1/offer/beta", "for beta", true)
	d.publish("ratchet/v1/device/gateway-0003/offer", "for 0003", true)
	got := map[string]bool{body(t, honest): true, body(t, honest): true}
	if !got["for 0001"] || !got["for stable"] {
		t.Errorf("0001 received %v", got)
	}
	seen := map[string]bool{}
	for len(seen) < 2 {
		seen[thief.next()] = true // overlapping subscriptions: maybe more than once
	}
	if !seen["ratchet/v1/offer/beta: for beta"] || !seen["ratchet/v1/device/gateway-0003/offer: for 0003"] {
		t.Errorf("0003 received %v", seen)
	}
	if m := body(t, impostor); m != "for stable" { // its own channel, and not 0001's offers
		t.Errorf("the impostor received %q", m)
	}
	select {
	case m := <-impostor.Messages():
		t.Errorf("the impostor received %q too", m.Body)
	case m := <-honest.Messages():
		t.Errorf("0001 received %q too", m.Body)
	case <-time.After(100 * time.Millisecond):
	}
}

func TestExampleRefuses(t *testing.T) {
	b, _, raw := example(t)
	d := raw("release-desk") // the broker works
	stranger := newAuthority(t)
	for name, config := range map[string]*tls.Config{
		"no certificate": {InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { return nil }},
		"another CA": {InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { return nil },
			Certificates: []tls.Certificate{stranger.issue(t, "gateway-0001")}},
		"unknown servers": stranger.client(t, "gateway-0001"),
	} {
		var log lines
		c := run(t, mqtt.Options{Broker: b.url, DeviceID: "gateway-0001", TLS: secure.Fixed(config), Backoff: fast,
			Logger: log.logger()})
		until(t, name+" is refused", log.has("broker not connected"))
		if online(c)() {
			t.Errorf("%s: online", name)
		}
	}
	old := d.config.Clone() // a good certificate, an old protocol
	old.MaxVersion = tls.VersionTLS12
	if c, err := tls.Dial("tcp", "127.0.0.1:"+b.port, old); err == nil {
		c.Close()
		t.Error("the example speaks TLS 1.2")
	}
}

// A device reaches Mosquitto through a proxy.
func TestInteropProxy(t *testing.T) {
	b := startMosquitto(t, plainConfig)
	through := transporttest.NewProxy(t, false)
	through.Hosts["broker.example:1883"] = "127.0.0.1:" + b.port
	p, err := proxy.New(proxy.Options{URL: through.URL})
	if err != nil {
		t.Fatal(err)
	}
	c := run(t, mqtt.Options{Broker: "mqtt://broker.example", AllowPlain: true, Proxy: p, DeviceID: "gateway-0001",
		Backoff: fast})
	until(t, "online through the proxy", online(c))
	send(t, c, transport.Status, "fine")
}

// What is retained and too large, on one topic a little and on another far, keeps no device off the broker.
func TestInteropTooLarge(t *testing.T) {
	b := startMosquitto(t, plainConfig)
	d := dialDesk(t, b.url, "desk", nil)
	d.publish(channelTopic, strings.Repeat("x", 200<<10), true)
	d.publish(offerTopic, strings.Repeat("x", 2<<20), true)
	c := run(t,
		mqtt.Options{Broker: b.url, AllowPlain: true, DeviceID: "gateway-0001", Channel: "stable", Backoff: fast})
	until(t, "online", online(c))
	d.publish(channelTopic, "good", true)
	if m := body(t, c); m != "good" {
		t.Errorf("received %.20q", m)
	}
	until(t, "online to stay", func() bool {
		on, since := c.Online()
		return on && time.Since(since) > time.Second
	})
}
