package conf

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/transport"
)

func NonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// VendorUUID is the identifier of a vendor given by domain or by UUID.
func VendorUUID(s string) (manifest.UUID, error) {
	if u, err := manifest.ParseUUID(s); err == nil {
		return u, nil
	}
	if err := checkDomain(s); err != nil {
		return manifest.UUID{}, fmt.Errorf("%q %w", manifest.Printable(s), err)
	}
	return manifest.VendorUUID(s), nil
}

// ClassUUID is the identifier of a device class given by name or by UUID.
func ClassUUID(vendor manifest.UUID, s string) (manifest.UUID, error) {
	if u, err := manifest.ParseUUID(s); err == nil {
		return u, nil
	}
	if s == "" || s != strings.TrimSpace(s) || s != manifest.Printable(s) {
		return manifest.UUID{}, fmt.Errorf("%q is not a class name: want visible characters without "+
			"space around them, or a UUID", manifest.Printable(s))
	}
	return manifest.ClassUUID(vendor, s), nil
}

// checkDomain wants one spelling, because identifiers are made from it.
func checkDomain(s string) error {
	if len(s) > 253 || !strings.Contains(s, ".") {
		return errors.New("is neither a domain name such as example.com nor a UUID")
	}
	for _, label := range strings.Split(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("is not a domain name such as example.com")
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return errors.New("is not a domain name in lower case, such as example.com")
			}
		}
	}
	return nil
}

// CheckURL accepts what a device could fetch from.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("%q is not a URL such as https://updates.example.com/images",
			manifest.Printable(transport.Shown(s)))
	case u.User != nil:
		return errors.New("a URL that every device gets must not contain a user name or password")
	case u.Fragment != "":
		return errors.New("the URL of a payload must not have a fragment")
	case len(s) > manifest.MaxURI:
		return fmt.Errorf("the URL has more than %d bytes", manifest.MaxURI)
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f {
			return fmt.Errorf("%q: a URL is ASCII without spaces; escape other characters",
				manifest.Printable(transport.Shown(s)))
		}
	}
	return nil
}
