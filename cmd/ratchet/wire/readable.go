package wire

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/connect"
)

// What the packages net and crypto/x509 read to resolve names, and to know whom the system trusts: files, and folders
// of files. All of them may be links to where a service or a package keeps them.
var (
	nameFiles   = []string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"}
	rootFolders = []string{"/etc/ssl/certs", "/etc/pki/tls/certs"}
	// What the links of rootFolders may lead to later.
	laterFolders = []string{"/usr/share/ca-certificates", "/usr/local/share/ca-certificates"}
)

// readable are the paths of what is no secret and needed to connect: how names are resolved, and whom the system
// trusts.
func readable(s connect.Settings) []string {
	files, folders := slices.Concat(nameFiles, connect.SystemFiles()), slices.Clone(rootFolders)
	if dirs := s.Environment["SSL_CERT_DIR"]; dirs != "" {
		folders = append(folders, strings.Split(dirs, ":")...)
	}
	paths := reach([]string{"/etc"}, files, folders)
	for _, dir := range laterFolders {
		if _, err := os.Stat(dir); err == nil {
			paths = append(paths, dir)
		}
	}
	return paths
}

// reach appends to paths those from which the files, and all files of the folders, can be read, whatever links lead to
// them. It is the folder of each, for a service replaces its file by another one; in / it is the file alone, for / is
// everything.
func reach(paths, files, folders []string) []string {
	add := func(path string) {
		for _, p := range paths {
			if path == p || strings.HasPrefix(path, p+"/") {
				return
			}
		}
		paths = append(paths, path)
	}
	follow := func(path string) {
		for range 40 { // as the kernel does
			dir, err := filepath.EvalSymlinks(filepath.Dir(path))
			if err != nil {
				dir = filepath.Dir(path) // it may come later
			}
			if path = filepath.Join(dir, filepath.Base(path)); dir == "/" {
				add(path)
			} else {
				add(dir)
			}
			to, err := os.Readlink(path)
			if err != nil {
				return
			}
			if path = to; !filepath.IsAbs(to) {
				path = filepath.Join(dir, to)
			}
		}
	}
	for _, f := range files {
		follow(f)
	}
	for _, dir := range folders {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil || real == "/" {
			continue
		}
		add(real)
		entries, _ := os.ReadDir(real)
		for _, e := range entries {
			if e.Type()&fs.ModeSymlink != 0 {
				follow(filepath.Join(real, e.Name()))
			}
		}
	}
	return paths
}
