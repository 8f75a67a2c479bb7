package efi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
)

// global is the vendor of the variables of UEFI's boot manager (UEFI 2.10, section 3.3).
const global = "-8be4df61-93ca-11d2-aa0d-00e098032b8c"

const (
	bootOrder = "BootOrder" + global
	bootNext  = "BootNext" + global

	// attributes of the boot manager's variables: non-volatile, boot services, runtime.
	attributes = 7
	active     = 1 // LOAD_OPTION_ACTIVE
)

// variable is the name of a load option's variable: Boot and four capital hexadecimal digits.
func variable(number uint16) string { return fmt.Sprintf("Boot%04X", number) + global }

// parseVariable is the number in the name of a load option's variable.
func parseVariable(name string) (uint16, bool) {
	digits, ok := strings.CutPrefix(strings.TrimSuffix(name, global), "Boot")
	n, is := ParseNumber(digits)
	return n, ok && is
}

// ParseNumber reads the four capital hexadecimal digits of Boot####.
func ParseNumber(digits string) (uint16, bool) {
	n := 0
	for _, c := range []byte(digits) {
		v := strings.IndexByte("0123456789ABCDEF", c)
		if v < 0 {
			return 0, false
		}
		n = n<<4 | v
	}
	return uint16(n), len(digits) == 4
}

// option is what this package reads of an EFI_LOAD_OPTION (UEFI 2.10, section 3.1.3): u32 attributes,
// u16 length of the device paths, the description in UTF-16 with a NUL, the device paths, and data for
// what is loaded, all little endian.
type option struct {
	attributes  uint32
	description string
}

func parseOption(b []byte) (option, error) {
	if len(b) < 8 {
		return option{}, errors.New("a load option has at least 8 bytes")
	}
	o := option{attributes: binary.LittleEndian.Uint32(b)}
	paths := int(binary.LittleEndian.Uint16(b[4:]))
	var text []uint16
	for p := 6; p+2 <= len(b); p += 2 {
		c := binary.LittleEndian.Uint16(b[p:])
		if c == 0 {
			o.description = string(utf16.Decode(text))
			if paths > len(b)-p-2 {
				return option{}, errors.New("its device paths are cut off")
			}
			return o, nil
		}
		text = append(text, c)
	}
	return option{}, errors.New("its description has no end")
}

// parseOrder reads BootOrder; what can be read of it is returned with an error, too.
func parseOrder(b []byte) ([]uint16, error) {
	order := make([]uint16, len(b)/2)
	for i := range order {
		order[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	if len(b) == 0 || len(b)%2 != 0 {
		return order, fmt.Errorf("BootOrder has %d bytes", len(b))
	}
	return order, nil
}

func encodeOrder(order ...uint16) []byte {
	var b []byte
	for _, n := range order {
		b = binary.LittleEndian.AppendUint16(b, n)
	}
	return b
}
