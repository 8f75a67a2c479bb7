package transport_test

import (
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/transport"
)

func TestShown(t *testing.T) {
	for address, want := range map[string]string{
		"":                                      "",
		"https://a.example/x":                   "https://a.example/x",
		"https://u:hunter2@a.example:8443/x":    "https://a.example:8443/x",
		"https://u:hun@ter2@a.example":          "https://a.example",
		"u:hunter2@a.example":                   "a.example",
		"https://a.example/x?token=hunter2":     "https://a.example/x",
		"https://a.example/x#hunter2":           "https://a.example/x",
		"https://u:hunter2@":                    "https://",
		"hunter2hunter2://u@a.example":          "a.example",
		"http://u:p%40hunter2@[::1]:80/a?b#c":   "http://[::1]:80/a",
		"https://" + strings.Repeat("x", 10000): "https://" + strings.Repeat("x", 192) + "...",
	} {
		if got := transport.Shown(address); got != want {
			t.Errorf("%.60q: %q, want %q", address, got, want)
		}
	}
}
