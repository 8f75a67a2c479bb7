package rig

import (
	"bytes"
	"sync"
	"testing"
)

// TestPrefixed: lines of several writers are whole, each under its name.
func TestPrefixed(t *testing.T) {
	var out bytes.Buffer
	w := &prefixed{to: &out, mu: new(sync.Mutex), prefix: "a "}
	for _, s := range []string{"one", " line\ntwo\nthr", "ee\n"} {
		if _, err := w.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	if got := out.String(); got != "a one line\na two\na three\n" {
		t.Errorf("%q", got)
	}
}
