package main

import (
	"github.com/ratchet-ota/ratchet/cmd/internal/broker"
)

// brokerOptions are those of the configuration.
func (d desk) brokerOptions() broker.Options {
	b := d.Broker
	return broker.Options{URL: b.URL, AllowPlain: b.AllowPlain, CA: d.path(b.CA), Cert: d.path(b.Certificate), Key: d.path(b.Key),
		Username: b.Username, Password: d.path(b.PasswordFile), ClientID: b.ClientID, Fallback: deskName}
}
