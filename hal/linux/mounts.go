//go:build linux

package linux

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// mount is a mounted file system: its kind ("ext4"), and its own options.
type mount struct {
	kind    string
	options []string
}

// mountsOf finds the mounts of device dev in a file of the format of proc_pid_mountinfo(5): the third field is the
// device, and behind " - " stand the kind, the source and the options.
func mountsOf(path string, dev uint64) (found []mount) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	id := fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev))
	for line := range strings.Lines(string(text)) {
		before, after, ok := strings.Cut(line, " - ")
		fields, of := strings.Fields(before), strings.Fields(after)
		if ok && len(fields) > 2 && fields[2] == id && len(of) > 2 {
			found = append(found, mount{of[0], splitOptions(of[len(of)-1])})
		}
	}
	return found
}

// splitOptions takes mount options apart. An overlay writes a comma or a backslash of a path behind a backslash; the
// kernel then writes white space and backslashes of the whole as three octal digits.
func splitOptions(s string) (out []string) {
	var plain []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && octal(s[i+1]) && octal(s[i+2]) && octal(s[i+3]) {
			plain = append(plain, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
			continue
		}
		plain = append(plain, s[i])
	}
	var one []byte
	for i := 0; i < len(plain); i++ {
		switch {
		case plain[i] == '\\' && i+1 < len(plain):
			i++
			one = append(one, plain[i])
		case plain[i] == ',':
			out, one = append(out, string(one)), nil
		default:
			one = append(one, plain[i])
		}
	}
	return append(out, string(one))
}

func octal(c byte) bool { return c >= '0' && c <= '7' }
