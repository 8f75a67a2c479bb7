package manifest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// What is no report is not read as one.
func TestDecodeReportRefuses(t *testing.T) {
	good := pars{99: list{"", digest(digA)}, 3: list{}, 4: true}
	record := list{list{}, 3, 1, 0, pars{}}
	for name, change := range map[string]pars{
		"not complete":            {3: nil, 2: []byte{1}},
		"unknown key":             {1: 1},
		"2 to 33":                 {3: list{pars{0: list{[]byte("x")}}}},
		"names no component":      {3: list{pars{5: 1, 14: 1}}},
		"is nothing that is meas": {3: list{list{list{}, 3, 1, 0, pars{19: info(gcm)}}}},
		"parameter 23":            {3: list{list{list{}, 3, 1, 0, pars{23: []byte{}}}}},
		"result false":            {4: false},
		"reason 13":               {4: pars{5: 0, 6: record, 7: 13}},
		"3 to 3":                  {4: pars{5: 0, 6: record}},
		"result has an unknown":   {4: pars{5: 0, 6: record, 8: 1}},
		"out of range":            {3: list{list{list{}, 1 << 20, 1, 0, pars{}}}},
		"want 0 to 4":             {3: list{list{list{1, 2, 3, 4, 5}, 3, 1, 0, pars{}}}},
		"want 0 to 256": {3: func() (l list) {
			for range manifest.MaxRecords + 1 {
				l = append(l, record)
			}
			return l
		}()},
		"at most 64":           {2: make([]byte, manifest.MaxNonce+1)},
		"capability is unknow": {8: pars{12: list{1}}},
		"not supported":        {99: list{"", list{-18, make([]byte, 32)}}},
	} {
		m := pars{}
		merge(m, good)
		merge(m, change)
		if _, err := manifest.DecodeReport(enc(m)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, b := range [][]byte{enc(good), enc(pars{99: list{digest(digA)}, 3: list{}, 4: true})} {
		if _, err := manifest.DecodeReport(b); err != nil {
			t.Error(err)
		}
	}
	if _, err := manifest.DecodeReport(make([]byte, manifest.MaxReport+1)); err == nil ||
		!strings.Contains(err.Error(), "at most") {
		t.Error(err)
	}
}

func TestReportRefusesToEncode(t *testing.T) {
	good := manifest.Report{Manifest: digA}
	for name, change := range map[string]func(r *manifest.Report){
		"names no manifest": func(r *manifest.Report) { r.Manifest = manifest.Digest{} },
		"257 entries":       func(r *manifest.Report) { r.Entries = make([]manifest.Entry, manifest.MaxRecords+1) },
		"nonce of 65 bytes": func(r *manifest.Report) { r.Nonce = make([]byte, manifest.MaxNonce+1) },
		"not a URI":         func(r *manifest.Report) { r.URI = "https://x/\x1b" },
		"array expected": func(r *manifest.Report) {
			r.Entries = []manifest.Entry{&manifest.Claim{Properties: manifest.Properties{5: uint64(1)}}}
		},
		"2 to 33": func(r *manifest.Report) {
			r.Entries = []manifest.Entry{&manifest.Claim{Component: manifest.ComponentID{[]byte("x")}}}
		},
		"is not supported": func(r *manifest.Report) {
			r.Entries = []manifest.Entry{&manifest.Record{Properties: manifest.Properties{99: uint64(1)}}}
		},
		"reason 13": func(r *manifest.Report) { *r = r.Fail(13, manifest.Place{}, nil) },
		"UUID of 15": func(r *manifest.Report) {
			*r = r.Fail(1, manifest.Place{}, manifest.Properties{1: make([]byte, 15)})
		},
		"byte string of 4097": func(r *manifest.Report) {
			*r = r.Fail(1, manifest.Place{}, manifest.Properties{-300: make([]byte, 4<<10+1)})
		},
	} {
		r := good
		change(&r)
		if _, err := manifest.EncodeReport(r); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Of what a failure says nothing can be left out.
	long := manifest.Properties{}
	for i := range int64(9) {
		long[-300-i] = make([]byte, 4<<10)
	}
	if _, err := manifest.EncodeReport(good.Fail(manifest.CodeOperation, manifest.Place{}, long)); err == nil ||
		!strings.Contains(err.Error(), "nobody could read it: ") {
		t.Errorf("a report that is too long without an entry: %v", err)
	}
	one := good
	one.Entries = []manifest.Entry{&manifest.Record{Properties: long}}
	if b, err := manifest.EncodeReport(one); err != nil || len(b) > 100 {
		t.Errorf("a report whose only entry is too long has %d bytes, %v", len(b), err)
	}
	if _, err := manifest.EncodeReport(good.Fail(manifest.CodeOperation, manifest.Place{},
		manifest.Properties{-300: make(chan int)})); err == nil ||
		!strings.Contains(err.Error(), "unsupported type: chan int") {
		t.Errorf("a value that is none: %v", err)
	}
	r := good
	for range 16 {
		r.Entries = append(r.Entries, &manifest.Record{Properties: manifest.Properties{-300: make([]byte, 4<<10)}})
	}
	if b, err := manifest.EncodeReport(r); err != nil || len(b) > manifest.MaxReport || len(b) < manifest.MaxReport/2 {
		t.Errorf("a long report has %d bytes, %v", len(b), err)
	}
	r = good.Fail(manifest.CodeOperation, manifest.Place{},
		manifest.Properties{-300: "x", -301: int64(-5), -302: true, -303: []byte{1}, 12: true})
	r.Nonce = []byte{1, 2, 3}
	b, err := manifest.EncodeReport(r)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := manifest.DecodeReport(b); err != nil ||
		fmt.Sprint(back.Failure, back.Nonce) != fmt.Sprint(r.Failure, r.Nonce) {
		t.Errorf("%v, %v", back.Failure, err)
	}
}

func FuzzReport(f *testing.F) {
	m, err := accept(f, made(encryptedRelease(), "release-p256")(f))
	if err != nil {
		f.Fatal(err)
	}
	for _, d := range []manifest.Device{device(), {}} {
		b, err := manifest.EncodeReport(m.Report(d))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	b, err := manifest.EncodeReport(
		manifest.Refused(nil, &manifest.Error{Code: manifest.CodeParameter, Section: 20, Offset: 5}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(enc(pars{99: list{"https://x", digest(digA)},
		3: list{pars{0: list{[]byte("x")}, 28: enc(list{3, list{1, 2}}), -300: "y"}}, 4: true, 2: []byte("n")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := manifest.DecodeReport(b)
		if err != nil {
			return
		}
		deterministic(t, b)
		again, err := manifest.EncodeReport(r)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		back, err := manifest.DecodeReport(again)
		if err != nil || told(back) != told(r) || back.String() != r.String() {
			t.Fatalf("%s, then %s, %v", told(r), told(back), err)
		}
	})
}
