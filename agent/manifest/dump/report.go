package dump

import (
	"fmt"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"
)

// reportWithin returns the report in a COSE_Sign1, or b itself where it is one; nil when b is no
// report, as far as one key can tell.
func reportWithin(b []byte) []byte {
	c := &cursor{b: b, end: len(b)}
	h, err := c.head()
	if err == nil && h.major == suit.MajorTag {
		if b = payload(c, h.arg); b == nil {
			return nil
		}
		c = &cursor{b: b, end: len(b)}
		h, err = c.head()
	}
	if err != nil || h.major != suit.MajorMap || h.indefinite() || h.arg > 16 {
		return nil
	}
	for range h.arg {
		key := *c
		if c.skip(maxDepth) != nil {
			return nil
		}
		if k, err := key.integer(); err == nil && k == suit.ReportReference {
			return b
		}
		if c.skip(maxDepth) != nil {
			return nil
		}
	}
	return nil
}

// payload is the payload of a COSE_Sign1, behind whose tag c stands; nil where it is none.
func payload(c *cursor, tag uint64) []byte {
	if tag != 18 {
		return nil
	}
	if h, err := c.head(); err != nil || h.major != suit.MajorArray || h.arg != 4 {
		return nil
	}
	for range 2 { // the headers
		if c.skip(maxDepth) != nil {
			return nil
		}
	}
	h, err := c.head()
	if err != nil || h.major != suit.MajorBytes || h.indefinite() || h.arg > manifest.MaxReport ||
		h.arg > uint64(c.end-c.pos) {
		return nil
	}
	return c.b[c.pos : c.pos+int(h.arg)]
}

// shapeReported is a report, signed or not.
func shapeReported() shape {
	s := shapeReport()
	s.tag = func(uint64) shape {
		layer := shapeLayer("signature", shapePlain)
		return shape{elements: func(i int) (string, shape) {
			if i == 2 {
				return "/ payload / ", wrap(shapeReport)
			}
			return layer.elements(i)
		}}
	}
	return s
}

func shapeReport() shape {
	return shape{keys: func(k int64) (string, shape) {
		switch k {
		case suit.ReportReference:
			return "reference", shape{elements: func(i int) (string, shape) {
				if i == 0 {
					return "/ uri / ", shapeDigest()
				}
				return "/ manifest / ", shapeDigest()
			}}
		case suit.ReportNonce:
			return "nonce", shape{}
		case suit.ReportRecords:
			return "records", shape{elements: func(int) (string, shape) { return "", shapeEntry() }}
		case suit.ReportResult:
			return "result", shape{keys: func(k int64) (string, shape) {
				switch k {
				case suit.ReportCode:
					return "code",
						shape{number: func(h item) string { return manifest.CommandName(int(min(h.arg, 1<<20))) }}
				case suit.ReportRecord:
					return "record", shapeEntry()
				case suit.ReportReason:
					return "reason",
						shape{number: func(h item) string { return manifest.Code(min(h.arg, 1<<20)).String() }}
				}
				return "", shape{}
			}}
		case suit.ReportCapability:
			return "capabilities", shape{keys: func(k int64) (string, shape) {
				if k < 1 || k > 9 {
					return "", shape{}
				}
				return [...]string{"components", "commands", "parameters", "algorithms", "envelope", "manifest",
					"common", "text", "component-text"}[k-1], shape{}
			}}
		}
		return "", shape{}
	}}
}

// shapeEntry is a record (array) or a claim (map).
func shapeEntry() shape {
	return shape{
		elements: func(i int) (string, shape) {
			switch i {
			case 1:
				return "/ section / ",
					shape{number: func(h item) string { return manifest.SectionName(int(min(h.arg, 1<<20))) }}
			case 4:
				return "/ measured / ", shape{keys: shapeParameter}
			}
			return "/ " + [...]string{"manifest", "", "offset", "component", "", "further"}[min(i, 5)] + " / ", shape{}
		},
		keys: func(k int64) (string, shape) {
			if k == 0 {
				return "component", shape{elements: func(int) (string, shape) { return "", shape{content: ascii} }}
			}
			return shapeParameter(k)
		},
	}
}

// reported says what a report says.
func (d *dumper) reported(at int, b []byte) {
	r, err := manifest.DecodeReport(b)
	if err != nil {
		d.line(at, 0, "/ refused: %s /",
			manifest.Printable(strings.ReplaceAll(err.Error(), "manifest refused", "report refused")))
		return
	}
	d.line(at, 0, "/ SUIT report, signature not verified here /")
	if r.URI != "" {
		d.line(at, 0, "/ manifest at %s /", r.URI)
	}
	d.line(at, 0, "/ %s /", manifest.Printable(r.String()))
	d.line(at, 0, "/ %s /", fmt.Sprintf("%d entries", len(r.Entries)))
	d.line(at, 0, "/ within the profile /")
}
