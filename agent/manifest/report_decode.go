package manifest

import (
	"fmt"

	"github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"
)

// DecodeReport reads a report: deterministic CBOR within the limits, and nothing in it that is not
// understood but parameters of others. Nothing of it is trusted: the signature around it says whose
// it is. An error is an *Error.
func DecodeReport(b []byte) (Report, error) {
	var r Report
	err := error(nil)
	if len(b) > MaxReport {
		err = fmt.Errorf("report of %d bytes, at most %d", len(b), MaxReport)
	} else {
		err = wrapped(b, r.read)
	}
	if err != nil {
		return Report{}, refused(err, CodeParse, "report is malformed")
	}
	return r, nil
}

func (r *Report) read(in *reader) error {
	seen := map[int64]bool{}
	err := in.pairs(3, 5, func(key []byte) (err error) {
		k, _ := intKey(key)
		seen[k] = true
		switch k {
		case suit.ReportReference:
			err = r.reference(in)
		case suit.ReportNonce:
			r.Nonce, err = in.bytes(MaxNonce)
		case suit.ReportRecords:
			err = r.entries(in)
		case suit.ReportResult:
			err = r.result(in)
		case suit.ReportCapability:
			r.Can = &Capabilities{}
			err = r.Can.read(in)
		default:
			err = in.errorf("report has an unknown key")
		}
		return err
	})
	if err == nil && !(seen[suit.ReportReference] && seen[suit.ReportRecords] && seen[suit.ReportResult]) {
		err = in.errorf("report is not complete")
	}
	return err
}

// reference reads [uri, digest]; later drafts let the uri go where the manifest has none.
func (r *Report) reference(in *reader) error {
	n, err := in.array(1, 2)
	if err != nil {
		return err
	}
	if n == 2 {
		if r.URI, err = in.text(MaxURI); err != nil {
			return err
		}
		if r.URI != "" && checkURI(r.URI) != nil {
			return in.errorf("reference is not a URI")
		}
	}
	r.Manifest, err = in.digest()
	return err
}

// entries reads records (arrays) and claims (maps), mixed.
func (r *Report) entries(in *reader) error {
	n, err := in.array(0, MaxRecords)
	if err != nil {
		return err
	}
	for range n {
		var e Entry
		if in.peek() == suit.MajorMap {
			c := &Claim{Properties: Properties{}}
			e, err = c, c.read(in)
		} else {
			rec := &Record{}
			e, err = rec, rec.read(in)
		}
		if err != nil {
			return err
		}
		r.Entries = append(r.Entries, e)
	}
	return nil
}

func (r *Report) result(in *reader) error {
	if in.peek() == suit.MajorOther {
		ok, err := in.bool()
		if err == nil && !ok {
			return in.errorf("result false says nothing")
		}
		return err
	}
	f := &Failure{}
	r.Failure = f
	return in.pairs(3, 3, func(key []byte) (err error) {
		k, _ := intKey(key)
		switch k {
		case suit.ReportCode:
			f.Code, err = in.int()
		case suit.ReportRecord:
			err = f.Record.read(in)
		case suit.ReportReason:
			var code uint64
			code, err = in.uint()
			if f.Reason = Code(code); code > uint64(CodeInvokePending) {
				err = in.errorf("reason %d is unknown", code)
			}
		default:
			err = in.errorf("result has an unknown key")
		}
		return err
	})
}

func (r *Record) read(in *reader) error {
	if _, err := in.array(5, 5); err != nil {
		return err
	}
	n, err := in.array(0, MaxDepth)
	if err != nil {
		return err
	}
	for range n {
		i, err := in.uint()
		if err != nil {
			return err
		}
		r.Manifest = append(r.Manifest, i)
	}
	section, err := in.int()
	if err != nil {
		return err
	}
	if section < -1<<16 || section > 1<<16 {
		return in.errorf("section %d is out of range", section)
	}
	r.Section = int(section)
	if r.Offset, err = in.uint(); err != nil {
		return err
	}
	if r.Index, err = in.uint(); err != nil {
		return err
	}
	r.Properties = Properties{}
	return in.pairs(0, MaxParameters, func(key []byte) error { return r.Properties.read(in, key) })
}

func (c *Claim) read(in *reader) error {
	return in.pairs(2, MaxParameters+1, func(key []byte) (err error) {
		if k, ok := intKey(key); ok && k == 0 {
			c.Component, err = in.component()
			return err
		}
		if c.Component == nil {
			return in.errorf("claim names no component")
		}
		return c.Properties.read(in, key)
	})
}

// read reads one parameter. A private one may hold what the CDDL lets custom parameters hold.
func (p Properties) read(in *reader, key []byte) error {
	k, _ := intKey(key)
	if k == 0 {
		return in.errorf("parameter is not an integer above or below 0")
	}
	if row := parameters[k]; row.read != nil {
		v, err := row.read(in)
		if err != nil {
			return fmt.Errorf("parameter %s: %w", row.name, err)
		}
		switch v := v.(type) {
		case versionMatch:
			p[k] = VersionCondition{v.compare, v.version}
		case fetchArguments, Encryption:
			return in.errorf("parameter %s is nothing that is measured", row.name)
		default:
			p[k] = v
		}
		return nil
	}
	if k > -257 {
		return in.errorf("parameter %d is not supported", k)
	}
	var err error
	switch in.peek() {
	case suit.MajorUint, suit.MajorNint:
		p[k], err = in.int()
	case suit.MajorBytes:
		p[k], err = in.bytes(MaxSmall)
	case suit.MajorText:
		p[k], err = in.text(MaxSmall)
	default:
		p[k], err = in.bool()
	}
	return err
}

func (c *Capabilities) read(in *reader) error {
	lists := c.lists()
	return in.pairs(1, 16, func(key []byte) error {
		k, _ := intKey(key)
		if k == 1 {
			n, err := in.array(1, 64)
			for i := 0; i < n && err == nil; i++ {
				var id ComponentID
				id, err = in.component()
				c.Components = append(c.Components, id)
			}
			return err
		}
		list, known := lists[k]
		if !known {
			return in.errorf("capability is unknown")
		}
		n, err := in.array(1, 64)
		for i := 0; i < n && err == nil; i++ {
			var v int64
			v, err = in.int()
			*list = append(*list, v)
		}
		return err
	})
}
