package mqtt_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/mqtt"
)

func TestValidate(t *testing.T) {
	good := mqtt.Options{Broker: "mqtts://broker.example.com", DeviceID: "gateway-0001", Channel: "stable"}
	for name, tc := range map[string]struct {
		change func(*mqtt.Options)
		want   string // part of the error; empty: accepted
	}{
		"as it is":        {func(o *mqtt.Options) {}, ""},
		"port":            {func(o *mqtt.Options) { o.Broker += ":1234" }, ""},
		"IPv6":            {func(o *mqtt.Options) { o.Broker = "mqtts://[2001:db8::1]:8883" }, ""},
		"no channel":      {func(o *mqtt.Options) { o.Channel = "" }, ""},
		"plain, allowed":  {func(o *mqtt.Options) { o.Broker, o.AllowPlain = "tcp://127.0.0.1:1883", true }, ""},
		"longest id":      {func(o *mqtt.Options) { o.DeviceID = strings.Repeat("x", 64) }, ""},
		"plain":           {func(o *mqtt.Options) { o.Broker = "mqtt://broker" }, "not encrypted"},
		"plain tcp":       {func(o *mqtt.Options) { o.Broker = "tcp://broker" }, "not encrypted"},
		"websocket":       {func(o *mqtt.Options) { o.Broker = "wss://broker" }, "scheme"},
		"no broker":       {func(o *mqtt.Options) { o.Broker = "" }, "need scheme"},
		"no host":         {func(o *mqtt.Options) { o.Broker = "mqtts://:8883" }, "need scheme"},
		"user in URL":     {func(o *mqtt.Options) { o.Broker = "mqtts://u:hunter2@broker" }, "user information"},
		"slash":           {func(o *mqtt.Options) { o.Broker += "/" }, ""},
		"mark":            {func(o *mqtt.Options) { o.Broker += "#a" }, "nothing more"},
		"no slashes":      {func(o *mqtt.Options) { o.Broker = "mqtts:broker" }, "nothing more"},
		"long user":       {func(o *mqtt.Options) { o.Username = strings.Repeat("u", 1024) }, ""},
		"longer user":     {func(o *mqtt.Options) { o.Username = strings.Repeat("u", 1025) }, "1024 bytes"},
		"keep-alive 5s":   {func(o *mqtt.Options) { o.KeepAlive = 5 * time.Second }, ""},
		"keep-alive 18h":  {func(o *mqtt.Options) { o.KeepAlive = 18 * time.Hour }, ""},
		"keep-alive 4s":   {func(o *mqtt.Options) { o.KeepAlive = 4 * time.Second }, "keep-alive"},
		"keep-alive more": {func(o *mqtt.Options) { o.KeepAlive = 18*time.Hour + time.Second }, "keep-alive"},
		"keep-alive 1ns":  {func(o *mqtt.Options) { o.KeepAlive = 6*time.Second + 1 }, "keep-alive"},
		"long id, cut": {func(o *mqtt.Options) { o.DeviceID = strings.Repeat("x", 65) },
			strings.Repeat("x", 64) + "...\""},
		"id, whole":       {func(o *mqtt.Options) { o.DeviceID = strings.Repeat("x", 63) + "/" }, "x/\": it has byte"},
		"path":            {func(o *mqtt.Options) { o.Broker += "/mqtt" }, "nothing more"},
		"query":           {func(o *mqtt.Options) { o.Broker += "?a=b" }, "nothing more"},
		"bad URL":         {func(o *mqtt.Options) { o.Broker = "mqtts://bro ker:x" }, "not a URL"},
		"empty id":        {func(o *mqtt.Options) { o.DeviceID = "" }, "is empty"},
		"long id":         {func(o *mqtt.Options) { o.DeviceID = strings.Repeat("x", 65) }, "65 bytes"},
		"level in id":     {func(o *mqtt.Options) { o.DeviceID = "a/status" }, "0x2f at position 1"},
		"wildcard in id":  {func(o *mqtt.Options) { o.DeviceID = "+" }, "0x2b"},
		"hash in id":      {func(o *mqtt.Options) { o.DeviceID = "#" }, "0x23"},
		"newline in id":   {func(o *mqtt.Options) { o.DeviceID = "a\n" }, "0x0a"},
		"NUL in id":       {func(o *mqtt.Options) { o.DeviceID = "a\x00b" }, "0x00"},
		"UTF-8 in id":     {func(o *mqtt.Options) { o.DeviceID = "g\u00e9" }, "0xc3"},
		"wild channel":    {func(o *mqtt.Options) { o.Channel = "#" }, "channel"},
		"levels, channel": {func(o *mqtt.Options) { o.Channel = "a/b" }, "channel"},
		"only a password": {func(o *mqtt.Options) { o.Password = func() ([]byte, error) { return nil, nil } },
			"without a user name"},
		"keep-alive 1s":  {func(o *mqtt.Options) { o.KeepAlive = time.Second }, "keep-alive"},
		"keep-alive 19h": {func(o *mqtt.Options) { o.KeepAlive = 19 * time.Hour }, "keep-alive"},
		"keep-alive .5s": {func(o *mqtt.Options) { o.KeepAlive = 5500 * time.Millisecond }, "keep-alive"},
		"back-off":       {func(o *mqtt.Options) { o.Backoff = transport.Backoff{Min: 2, Max: 1} }, "back-off"},
	} {
		o := good
		tc.change(&o)
		err := o.Validate()
		if _, newErr := mqtt.New(o); (newErr == nil) != (err == nil) {
			t.Errorf("%s: New says %v, Validate %v", name, newErr, err)
		}
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: %v, want an error with %q", name, err, tc.want)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: the error tells the password", name)
		}
	}
}

// TestAddress: the ports that stand for no port.
func TestAddress(t *testing.T) {
	for broker, want := range map[string]string{
		"mqtts://h": "h:8883", "mqtts://h:1": "h:1", "mqtt://h": "h:1883", "tcp://h:1": "h:1",
		"tcp://[::1]": "[::1]:1883",
	} {
		c, err := mqtt.New(mqtt.Options{Broker: broker, AllowPlain: true, DeviceID: "d"})
		if err != nil || c.Address() != want {
			t.Errorf("%s is dialled at %v, %v, want %s", broker, c.Address(), err, want)
		}
		if on, since := c.Online(); on || since.IsZero() {
			t.Errorf("before Run it is online %t since %v", on, since)
		}
	}
}

// TestFollows: documents stand before offers, and those of a channel are followed only where there is one.
func TestFollows(t *testing.T) {
	for want, o := range map[string]mqtt.Options{
		"offer ratchet/v1/device/d/offer, resend ratchet/v1/device/d/resend":                           {},
		"offer ratchet/v1/offer/c, offer ratchet/v1/device/d/offer, resend ratchet/v1/device/d/resend": {Channel: "c"},
		"root ratchet/v1/root, offer ratchet/v1/device/d/offer, resend ratchet/v1/device/d/resend":     {Root: true},
		"root ratchet/v1/root, plan ratchet/v1/plan/c, pulse ratchet/v1/pulse/c, offer ratchet/v1/offer/c, offer " +
			"ratchet/v1/device/d/offer, resend ratchet/v1/device/d/resend": {Root: true, Channel: "c"},
	} {
		o.Broker, o.DeviceID = "mqtts://h", "d"
		c, err := mqtt.New(o)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(c.Follows(), ", "); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}
