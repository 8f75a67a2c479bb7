package connect

import (
	"fmt"
	"os"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
)

// Settings are what connections are made of: a part of the configuration. They hold no secrets, only the paths of
// files with them, except for what the environment says of a proxy.
type Settings struct {
	Device      string // its id
	Rooted      bool   // it has a trust root, whose documents it follows
	MQTT        *config.MQTT
	HTTP        config.HTTP
	Proxy       config.Proxy
	Environment map[string]string // variables that say which proxy to use, and whom the system trusts
	Floor       time.Time         // the clock has been here: it is behind where it says less. Zero: not known
	LogLevel    string
	Without     []string // what the process is not confined by (sandbox.Names)
}

// environment are the variables that have a say.
var environment = []string{"https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY",
	"SSL_CERT_FILE", "SSL_CERT_DIR"}

// Of is the settings of a configuration. floor: see Settings.
func Of(c *config.Config, floor time.Time) Settings {
	s := Settings{Device: c.Device.ID, Rooted: c.Trust.Root != "", MQTT: c.MQTT, HTTP: c.HTTP, Proxy: c.Proxy,
		Environment: map[string]string{}, Floor: floor, LogLevel: c.Log.Level,
		Without: c.Sandbox.Without}
	for _, name := range environment {
		if v := os.Getenv(name); v != "" {
			s.Environment[name] = v
		}
	}
	return s
}

// Encode is s for the process that connects.
func (s Settings) Encode() ([]byte, error) {
	enc, err := cbor.EncOptions{Time: cbor.TimeRFC3339Nano}.EncMode()
	if err != nil {
		return nil, fmt.Errorf("internal error: %w", err)
	}
	return enc.Marshal(s)
}

// Decode is what Encode made.
func Decode(b []byte) (s Settings, err error) {
	dec, err := cbor.DecOptions{ExtraReturnErrors: cbor.ExtraDecErrorUnknownField}.DecMode()
	if err == nil {
		err = dec.Unmarshal(b, &s)
	}
	return s, err
}

// Files are the paths of all files that are read for connections.
func (s Settings) Files() map[string]bool {
	files := map[string]bool{}
	add := func(paths ...string) {
		for _, p := range paths {
			if p != "" && !config.InTPM(p) {
				files[p] = true
			}
		}
	}
	add(s.HTTP.CA, s.Proxy.CA, s.Proxy.PasswordFile)
	for _, c := range s.HTTP.Credentials {
		add(c.BearerFile, c.PasswordFile, c.Certificate, c.Key)
	}
	if m := s.MQTT; m != nil {
		add(m.CA, m.Certificate, m.Key, m.PasswordFile)
	}
	return files
}
