package manifest_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// vectors is the directory of public vectors, beside the repository on some machines.
const vectors = "../../../shared/vectors"

// outside lists envelopes whose signature is good and which the profile refuses, with the reason.
var outside = map[string]string{
	"suit-wg-manifest-spec/*/example0.signed.suit":                   "invoke",
	"suit-wg-manifest-spec/*/example2.signed-severed.suit":           "invoke",
	"suit-wg-manifest-spec/*/example2.signed-unsevered.suit":         "invoke",
	"suit-wg-manifest-spec/*/example4.signed.suit":                   "load",
	"suit-wg-manifest-spec/*/example5.signed.suit":                   "invoke",
	"suit-wg-trust-domains/example0_dependent.suit":                  "manifest-component-id",
	"suit-wg-trust-domains/example1_process.suit":                    "dependencies",
	"suit-wg-trust-domains/example2_integrated.suit":                 "dependencies",
	"suit-wg-firmware-encryption/suit-manifest-es-ecdh-content.suit": "encrypted payloads",
}

func outsideReason(file string) string {
	for pattern, reason := range outside {
		if ok, _ := filepath.Match(pattern, file); ok {
			return reason
		}
	}
	return ""
}

// Every row of the index of public vectors: envelopes end where the index and the profile say, keys
// and other data are no envelopes. The COSE working group's rows are checked in package trust.
func TestPublicVectors(t *testing.T) {
	f, err := os.Open(filepath.Join(vectors, "INDEX.tsv"))
	if err != nil {
		t.Skip("skipped: the shared vectors are not beside this repository")
	}
	defer f.Close()
	pem, err := os.ReadFile(filepath.Join(vectors, "keys", "suit-example-p256.pem"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := trust.ParsePrivate(pem)
	if err != nil {
		t.Fatal(err)
	}
	strict, err := trust.NewKeys([]trust.Key{s.Key()}, false)
	if err != nil {
		t.Fatal(err)
	}
	legacy, err := trust.NewKeys([]trust.Key{s.Key()}, true)
	if err != nil {
		t.Fatal(err)
	}
	rows := bufio.NewScanner(f)
	for first := true; rows.Scan(); first = false {
		col := strings.Split(rows.Text(), "\t")
		if first || strings.HasPrefix(col[0], "cose-wg/") || len(col) < 7 {
			continue
		}
		file, expected := col[0], col[5]
		t.Run(file, func(t *testing.T) {
			b, err := os.ReadFile(filepath.Join(vectors, file))
			if err != nil {
				t.Fatal(err)
			}
			if err := manifest.Dump(new(bytes.Buffer), b); err != nil {
				t.Error(err)
			}
			e, err := manifest.Parse(b)
			if !strings.HasSuffix(file, ".suit") {
				if err == nil {
					t.Error("data was read as an envelope")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			m, err := manifest.Verify(e, legacy)
			reason := outsideReason(file)
			switch {
			case strings.HasPrefix(expected, "digest-valid; no authentication block"):
				expectError(t, err, "not signed")
			case strings.HasPrefix(expected, "INVALID"):
				expectError(t, err, trust.ErrSignature.Error())
			case strings.Contains(expected, "COSE_Mac0"):
				expectError(t, err, "MACs")
			case strings.HasPrefix(expected, "VALID") && reason != "":
				expectError(t, err, reason)
			case strings.HasPrefix(expected, "VALID"):
				if err != nil {
					t.Fatal(err)
				}
				resolveExample(t, file, m)
			default:
				t.Errorf("the index expects something new: %s", expected)
			}
			// Without the older identifiers, what uses them is refused for that alone.
			_, err = manifest.Verify(e, strict)
			if strings.Contains(col[6], "alg -7") {
				expectError(t, err, trust.ErrAlgorithm.Error())
			} else if strings.HasPrefix(expected, "VALID") && !strings.Contains(expected, "COSE_Mac0") && reason == "" && err != nil {
				t.Error(err)
			}
			t.Logf("%v %s", err, reason)
		})
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func expectError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v, want %q", err, text)
	}
}

// resolveExample runs the standard's examples that lie within the profile on a device they are for.
func resolveExample(t *testing.T, file string, m manifest.Manifest) {
	t.Helper()
	v := manifest.VendorUUID("arm.com")
	c, err := manifest.ParseUUID("1492af14-2569-5e48-bf42-9b2d51f2ab45")
	if err != nil {
		t.Fatal(err)
	}
	first, second := "sha256:00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210 34768", "sha256:0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff 76834"
	want := map[string][2]string{
		"example1.signed.suit": {"http://example.com/file.bin " + first, "http://example.com/file.bin " + first},
		"example3.signed.suit": {"http://example.com/file1.bin " + first, "http://example.com/file2.bin " + second},
	}[filepath.Base(file)]
	for slot := range 2 {
		u, err := m.Resolve(manifest.Device{
			Vendors: []manifest.UUID{v}, Classes: []manifest.UUID{c}, BatteryMWh: -1,
			Components: map[string]manifest.Target{"%00": {Slot: slot}},
		})
		if err != nil || len(u.Findings) > 0 || len(u.Installs) != 1 {
			t.Fatalf("slot %d: %+v, %v", slot, u, err)
		}
		i := u.Installs[0]
		if got := fmt.Sprintf("%s %s %d", i.URI, i.Image, i.Size); got != want[slot] {
			t.Errorf("slot %d: %s, want %s", slot, got, want[slot])
		}
	}
}
