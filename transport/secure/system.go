package secure

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// systemFiles are where distributions for Linux keep the authorities that they trust, in one file; the first that is
// there counts. systemFolders are looked through where none is. crypto/x509 looks in the same places, once for a
// process: a bundle that is mounted late, or that gets another authority, would be seen after a restart only.
var (
	systemFiles = []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Gentoo, Buildroot, Yocto
		"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora
		"/etc/ssl/ca-bundle.pem",                            // openSUSE
		"/etc/pki/tls/cacert.pem",                           // OpenELEC
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // CentOS, RHEL
		"/etc/ssl/cert.pem",                                 // Alpine
	}
	systemFolders = []string{"/etc/ssl/certs", "/etc/pki/tls/certs"}
)

// system is the authorities of the system as they were read last.
var system struct {
	sync.Mutex
	stamp string
	pool  *x509.CertPool
}

// systemAuthorities are the authorities that the system trusts now. They are read again when a file has changed. As
// in crypto/x509 SSL_CERT_FILE and SSL_CERT_DIR name others, and what cannot be read is left out. Where nothing can
// be, those of before are trusted, and nothing if there were none. nil, for what crypto/x509 does, where the system is
// no Linux.
func systemAuthorities() *x509.CertPool {
	if runtime.GOOS != "linux" {
		return nil
	}
	paths := systemPaths()
	var stamp strings.Builder
	for _, path := range paths {
		if i, err := os.Stat(path); err == nil {
			fmt.Fprintf(&stamp, "%s %d %d\n", path, i.Size(), i.ModTime().UnixNano())
		}
	}
	system.Lock()
	defer system.Unlock()
	if system.pool == nil || stamp.String() != system.stamp {
		pool, some := x509.NewCertPool(), false
		for _, path := range paths {
			if b, err := (Files{}).readPEM(path); err == nil {
				some = pool.AppendCertsFromPEM(b) || some
			}
		}
		if some || system.pool == nil { // a bundle that is being written leaves the old one in use
			system.pool = pool
		}
		if some { // and is read again, also where only its mode is another one
			system.stamp = stamp.String()
		}
	}
	return system.pool
}

// systemPaths are the files that hold them.
func systemPaths() (paths []string) {
	files, folders := systemFiles, systemFolders
	if f := os.Getenv("SSL_CERT_FILE"); f != "" {
		files = []string{f}
	}
	for _, f := range files {
		if _, err := os.Stat(f); err == nil {
			paths = []string{f}
			break
		}
	}
	if d := os.Getenv("SSL_CERT_DIR"); d != "" {
		folders = strings.Split(d, ":")
	} else if len(paths) > 0 {
		return paths
	}
	for _, d := range folders {
		in, _ := os.ReadDir(d) // sorted by name
		for _, e := range in {
			paths = append(paths, filepath.Join(d, e.Name()))
		}
	}
	return paths
}
