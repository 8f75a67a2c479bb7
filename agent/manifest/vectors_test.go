package manifest_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/dump"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// vectors is the directory of public vectors, beside the repository on some machines.
const vectors = "../../../shared/vectors"

// outcomes says what the device profile makes of the envelopes whose signatures are good, and
// resolves where it ends on a device that they are for. What is not listed is taken.
var outcomes = map[string]string{
	"suit-wg-manifest-spec/*/example0.signed.suit": "invoke is not supported: loading and starting " +
		"an image is the bootloader's work (section 9, offset 1)",
	"suit-wg-manifest-spec/*/example2.signed-severed.suit":   "(section 9, offset 1)",
	"suit-wg-manifest-spec/*/example2.signed-unsevered.suit": "(section 9, offset 1)",
	"suit-wg-manifest-spec/*/example4.signed.suit":           "(section 8, offset 1)",
	"suit-wg-manifest-spec/*/example5.signed.suit":           "(section 9, offset 3)",
	"suit-wg-trust-domains/example0_dependent.suit":          "manifest-component-id",
	"suit-wg-trust-domains/example1_process.suit":            "dependencies",
	"suit-wg-trust-domains/example2_integrated.suit":         "dependencies",
	"suit-wg-firmware-encryption/suit-manifest-es-ecdh-content.suit": "component decrypted-firmware is decrypted and " +
		"never compared with a digest",
	"suit-wg-firmware-encryption/suit-manifest-aes-kw-content.suit": "component plaintext-firmware is decrypted and " +
		"never compared with a digest",
	"suit-wg-firmware-encryption/suit-manifest-aes-kw-slot.suit": "component %00 is decrypted and never compared " +
		"with a digest",
	"suit-wg-firmware-encryption/suit-manifest-aes-kw.suit": "component plaintext-firmware is decrypted and never " +
		"compared with a digest",
}

func outcomeOf(file string) string {
	for pattern, reason := range outcomes {
		if ok, _ := filepath.Match(pattern, file); ok {
			return reason
		}
	}
	return ""
}

// exampleKeys are the key of all examples, strictly and with the older algorithm numbers.
func exampleKeys(t *testing.T) (strict, legacy trust.Keys) {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(vectors, "keys", "suit-example-p256.pem"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := trust.ParsePrivate(pem)
	if err != nil {
		t.Fatal(err)
	}
	if strict, err = trust.NewKeys([]trust.Key{s.Key()}, false); err != nil {
		t.Fatal(err)
	}
	if legacy, err = trust.NewKeys([]trust.Key{s.Key()}, true); err != nil {
		t.Fatal(err)
	}
	return strict, legacy
}

// Every row of the index of public vectors: envelopes end where the index and the profile say, keys
// and other data are no envelopes. VECTORS.tsv has the results. The COSE working group's rows are
// checked in package trust, the encrypted payloads in package cipher.
func TestPublicVectors(t *testing.T) {
	f, err := os.Open(filepath.Join(vectors, "INDEX.tsv"))
	if err != nil {
		t.Skip("skipped: the shared vectors are not beside this repository")
	}
	defer f.Close()
	strict, legacy := exampleKeys(t)
	var table strings.Builder
	table.WriteString("file\tthe index expects\tdigest and signatures\ton a device that it is for\n")
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
			if err := dump.Write(new(bytes.Buffer), b); err != nil {
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
			var who manifest.Authority = legacy
			_, err = manifest.Authenticate(e, legacy)
			switch {
			case strings.HasPrefix(expected, "digest-valid; no authentication block"):
				expectError(t, err, "not signed")
			case strings.HasPrefix(expected, "INVALID"):
				expectError(t, err, trust.ErrSignature.Error())
			case strings.Contains(expected, "COSE_Mac0"):
				expectError(t, err, "MACs") // a MAC says nothing about an author; the rest is looked at below
				who = anyone{}
			case strings.HasPrefix(expected, "VALID"):
				if err != nil {
					t.Error(err)
				}
			default:
				t.Errorf("the index expects something new: %s", expected)
			}
			signatures := "good"
			if err != nil {
				signatures = err.Error()
			}
			device := "-"
			if _, mac := who.(anyone); mac || err == nil {
				device = profileSays(t, file, e, who)
			}
			fmt.Fprintf(&table, "%s\t%s\t%s\t%s\n", file, strings.SplitN(expected, " (", 2)[0], signatures, device)
			// Without the older identifiers, what uses them is refused for that alone.
			_, err = manifest.Authenticate(e, strict)
			if strings.Contains(col[6], "alg -7") {
				expectError(t, err, trust.ErrAlgorithm.Error())
			} else if strings.HasPrefix(expected, "VALID") && !strings.Contains(expected, "COSE_Mac0") && err != nil {
				t.Error(err)
			}
		})
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	same(t, "VECTORS.tsv", []byte(table.String()))
}

// profileSays takes a vector as far as it goes, on a device with all its components.
func profileSays(t *testing.T, file string, e manifest.Envelope, a manifest.Authority) string {
	t.Helper()
	want := outcomeOf(file)
	m, err := manifest.Verify(e, a)
	if err == nil && want == "" {
		return resolveExample(t, file, m)
	}
	if err == nil {
		d := manifest.Device{BatteryMWh: -1,
			Components: map[string]manifest.Target{"encrypted-firmware": {Passed: true}, "%01": {Passed: true}}}
		for _, id := range m.Components() {
			if name := id.String(); !d.Components[name].Passed {
				d.Components[name] = manifest.Target{}
			}
		}
		_, err = m.Resolve(d)
	}
	if expectError(t, err, want); err == nil {
		return ""
	}
	return err.Error()
}

func expectError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || text == "" || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v, want %q", err, text)
	}
	var e *manifest.Error
	if !errors.As(err, &e) {
		t.Errorf("error %v has no SUIT code", err)
	}
}

// resolveExample runs the standard's examples that lie within the profile on a device they are for.
func resolveExample(t *testing.T, file string, m manifest.Manifest) string {
	t.Helper()
	v := manifest.VendorUUID("arm.com")
	c, err := manifest.ParseUUID("1492af14-2569-5e48-bf42-9b2d51f2ab45")
	if err != nil {
		t.Fatal(err)
	}
	first, second := "sha256:00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210 34768",
		"sha256:0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff 76834"
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
	return "would be installed"
}
