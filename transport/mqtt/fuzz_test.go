package mqtt_test

import (
	"regexp"
	"testing"

	"github.com/ratchet-ota/ratchet/transport/mqtt"
)

// No broker address makes Validate accept what it should not, or panic.
func FuzzBroker(f *testing.F) {
	for _, s := range []string{"mqtts://broker.example.com", "mqtt://127.0.0.1:1883", "tcp://[::1]:1", "mqtts://u:p@h",
		"ws://h", "mqtts://h/p?q#f", "mqtts:h", "://", "mqtts://h:99999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o := mqtt.Options{Broker: s, DeviceID: "d"}
		if o.Validate() == nil && !regexp.MustCompile(`(?i)\Amqtts://[^@?#]+/?\z`).MatchString(s) {
			t.Fatalf("%q passed", s)
		}
	})
}
