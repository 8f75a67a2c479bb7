package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/hal/linux/tpm"
)

// least is the smallest configuration that is good.
const least = `[device]
id = "box"
vendor = ["example.com"]
class = ["gateway"]
[slots.A.parts]
rootfs = "/dev/a"
[slots.B.parts]
rootfs = "/dev/b"
[boot]
backend = "grub"
[trust]
keys = ["/etc/release.pem"]
`

// TestParse: what is wrong is said with the line of its key, or of the table that lacks it.
func TestParse(t *testing.T) {
	for _, tt := range []struct{ name, config, want string }{
		{"least", least, ""},
		{"unknown keys", least + "[log]\nlevle = 1\n[lgo]\n",
			"x.toml:14:1: unknown key \"log.levle\"\nx.toml:15:2: unknown key \"lgo\""},
		{"wrong type",
			strings.Replace(least, `"box"`, "7", 1), "x.toml:2:6: device.id: want text in quotes, found an integer"},
		{"no id", strings.Replace(least, `"box"`, `""`, 1), "x.toml:2: device.id: the name of this device is missing"},
		{"bad id", strings.Replace(least, `"box"`, `"a/b"`, 1), `x.toml:2: device.id: "a/b"`},
		{"no vendor", strings.Replace(least, `"example.com"`, "", 1), "x.toml:3: device.vendor: missing"},
		{"bad vendor",
			strings.Replace(least, `"example.com"`, `"example"`, 1), `x.toml:3: device.vendor: "example" is neither`},
		{"bad device UUID",
			strings.Replace(least, "[slots.A", "uuid = [\"7\"]\n[slots.A", 1), "x.toml:5: device.uuid: "},
		{"bad version",
			strings.Replace(least, "[slots.A", "version = \"one\"\n[slots.A", 1), "x.toml:5: device.version: "},
		{"three slots", least + "[slots.C.parts]\n", "x.toml:5: slots: exactly two slots are needed, there are 3"},
		{"relative slot", strings.Replace(least, "/dev/a", "dev/a", 1),
			"x.toml:6: slots.A.parts.rootfs: \"dev/a\" is not an absolute path"},
		{"relative state", least + "[state]\ndirectory = \"state\"\n", "x.toml:14: state.directory: "},
		{"no trust",
			strings.Replace(least, `"/etc/release.pem"`, "", 1), "x.toml:11: trust: keys and root are missing"},
		{"both trusts", least + "root = \"/etc/root.cbor\"\n", "x.toml:11: trust: keys and root are both set"},
		{"unknown loader", strings.Replace(least, "grub", "lilo", 1),
			`x.toml:10: boot.backend: "lilo" is not one of u-boot, grub, systemd-boot, uefi, hook`},
		{"unknown approval", least + "[policy]\napproval = \"maybe\"\n", "x.toml:14: policy.approval: "},
		{"battery above 100",
			least + "[policy]\nmin-battery-percent = 101\n",
			"x.toml:14: policy.min-battery-percent: 101 is not 0 to 100"},
		{"battery of 100", least + "[policy]\nmin-battery-percent = 100\n", ""},
		{"no time of day",
			least + "[policy]\nwindows=[{from = \"02:00\", to=\"04:00\"}, {from=\"2:00\", to = \"04:00\"}]\n",
			"x.toml:14: policy.windows[2].from: "},
		{"24:01",
			least + "[policy]\nwindows = [{from = \"02:00\", to = \"24:01\"}]\n", "x.toml:14: policy.windows[1].to: "},
		{"24:00", least + "[policy]\nwindows = [{from = \"02:00\", to = \"24:00\"}]\n", ""},
		{"no day", least + "[policy]\nwindows = [{from = \"02:00\", to = \"04:00\", days = [\"monday\"]}]\n",
			`x.toml:14: policy.windows[1].days: "monday" is not a day`},
		{"no zone", least + "[policy]\nwindows = [{from = \"02:00\", to = \"04:00\", zone = \"Mars/Base\"}]\n",
			"x.toml:14: policy.windows[1].zone: "},
		{"checkpoint of 5 bytes", least + "[policy]\n\ncheckpoint-bytes = 5\n",
			"x.toml:15: policy.checkpoint-bytes: 5 is not a multiple of 4096"},
		{"negative checkpoint", least + "[policy]\ncheckpoint-bytes = -4096\n", "x.toml:14: policy.checkpoint-bytes: "},
		{"checkpoint of 4096 bytes", least + "[policy]\ncheckpoint-bytes = 4096\n", ""},
		{"duration without a unit", least + "[health]\nsoak = 60\n",
			`x.toml:14: health.soak: 60 has no unit: write "60s" for seconds`},
		{"the same elsewhere", least + "[mqtt]\nurl = \"mqtts://b\"\nbackoff-max = 5\n",
			`x.toml:15: mqtt.backoff-max: 5 has no unit`},
		{"the same in an inline table", "http = { stall = 9 }\n" + least, `x.toml:1: http.stall: 9 has no unit`},
		{"the same as a dotted key", "reboot.force-after = 7\n" + least, `x.toml:1: reboot.force-after: 7 has no unit`},
		{"no duration", least + "[health]\nmin-uptime = 0\n", ""},
		{"a short duration", least + "[health]\nsoak = \"60ns\"\n", ""},
		{"negative duration", least + "[health]\nsoak = \"-1s\"\n", "x.toml:14:8: health.soak: "},
	} {
		_, err := config.Parse("x.toml", []byte(tt.config))
		if (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestCounter: what stands for a TPM is refused for a file, and an index must be one of the TPM's.
func TestCounter(t *testing.T) {
	for _, tt := range []struct{ counter, want string }{
		{"", ""}, {`kind = "file"`, ""}, {`kind = "tpm2"`, ""},
		{"kind = \"tpm2\"\ndevice = \"/dev/tpm0\"\nindex = 0x01400001", ""},
		{`kind = "tpm"`, "file, tpm2"},
		{fmt.Sprintf("index = %d", tpm.DefaultIndex), "are for"},
		{"kind = \"tpm2\"\ndevice = \"tpm0\"", "absolute"},
		{"kind = \"tpm2\"\nindex = 0x00ffffff", "0x01000000"}, {"kind = \"tpm2\"\nindex = 0x01000000", ""},
		{"kind = \"tpm2\"\nindex = 0x01ffffff", ""}, {"kind = \"tpm2\"\nindex = 0x02000000", "0x01000000"},
	} {
		_, err := config.Parse("x.toml", []byte(least+"[counter]\n"+tt.counter+"\n"))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.counter, err, tt.want)
		}
	}
}

// TestKeysInTPM: a key in the TPM has a handle of the owner's range, and no client certificate has the device's key:
// the process that connects may have it sign anything.
func TestKeysInTPM(t *testing.T) {
	mqtt := "[mqtt]\nurl = \"mqtts://b\"\nkey = "
	credentials := "[[http.credentials]]\norigin = \"https://a\"\n[[http.credentials]]\norigin = \"https://b\"\nkey = "
	evidence := "[evidence]\nkey = "
	for _, tt := range []struct{ more, want string }{
		{evidence + `"tpm2:0x81525401"`, ""}, {evidence + `"tpm2:2171751425"`, ""},
		{evidence + `"tpm2:0x81000000"`, ""}, {evidence + `"tpm2:0x817fffff"`, ""},
		{evidence + `"tpm2:0x80ffffff"`, "evidence.key: "},
		{evidence + `"tpm2:0x81800000"`, "evidence.key: "}, {evidence + `"tpm2:"`, "evidence.key: "},
		{evidence + `"tpm2:0x181525401"`, "evidence.key: "}, {evidence + `"tpm2:-1"`, "evidence.key: "},
		{mqtt + `"tpm2:0x01805254"`, "mqtt.key: "}, {credentials + `"tpm2:x"`, "http.credentials[2].key: "},
		{mqtt + "\"tpm2:0x81525402\"\n" + credentials + "\"tpm2:0x81525402\"\n" + evidence + `"tpm2:0x81525401"`, ""},
		{mqtt + "\"tpm2:0x81525401\"\n" + evidence + `"tpm2:0x81525401"`, "mqtt.key: this is the device key"},
		{mqtt + "\"tpm2:2171753473\"\n" + evidence + `"tpm2:0x81725c01"`, ""},
		{mqtt + "\"tpm2:0b10000001010100100101010000000001\"\n" + evidence + `"tpm2:0x81525401"`, "device key"},
		{credentials + "\"tpm2:0x81525401\"\n" + evidence + `"tpm2:0x81525401"`, "http.credentials[2].key: this is"},
		{"[tpm]\ndevice = \"tpm0\"", "tpm.device: "}, {"[tpm]\ndevice = \"/dev/tpm0\"", ""},
	} {
		_, err := config.Parse("x.toml", []byte(least+tt.more+"\n"))
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.more, err, tt.want)
		}
	}
	// In a file too; a device that has run with it goes on.
	for _, more := range []string{mqtt + `"/var/lib/ratchet/device.key"`, mqtt + "\"/k\"\n" + evidence + `"//k"`} {
		c, err := config.Parse("x.toml", []byte(least+more+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Strict(); err == nil || !strings.Contains(err.Error(), "mqtt.key: this is the device key") {
			t.Errorf("%q: %v", more, err)
		}
	}
}

// TestFactsAndRules: what the file says is what the agent gets.
func TestFactsAndRules(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	files := fmt.Sprintf("id-file = %q\nversion-file = %q", put("id", " gw-7\n"), put("version", "1.4.0\n"))
	text := strings.Replace(least, `id = "box"`, files, 1) + "[policy]\nmin-battery-percent = 30\n" +
		"windows = [{from = \"22:30\", to = \"04:00\", days = [\"Mon\", \"sun\"], zone = \"UTC\"}]\n"
	c, raw, err := config.Load(put("ratchet.toml", text))
	if err != nil || string(raw) != text || c.Device.ID != "gw-7" || c.State.Directory != "/var/lib/ratchet" {
		t.Fatalf("%+v, %v", c, err)
	}
	vendor := manifest.VendorUUID("example.com")
	class := manifest.ClassUUID(vendor, "gateway")
	d, err := c.Facts()
	if err != nil || d.Vendors[0] != vendor || d.Classes[0] != class || d.BatteryMWh != -1 || d.Version == nil {
		t.Errorf("facts %+v, %v", d, err)
	}
	r, err := c.Rules()
	if err != nil || r.MinBattery != 30 || !r.UnknownTimeWaits || len(r.Windows) != 1 {
		t.Fatalf("rules %+v, %v", r, err)
	}
	if w := r.Windows[0]; w.From != 22*60+30 || w.To != 4*60 || w.Zone != time.UTC || w.Days != [7]bool{true, true} {
		t.Errorf("window %+v", w)
	}
}

// TestLoadLimits: a file that is too large is refused whole, and never read to its end.
func TestLoadLimits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ratchet.toml")
	for extra, good := range map[int]bool{0: true, 1: false} {
		text := least + "#" + strings.Repeat("x", conf.MaxSize-len(least)-1+extra)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := config.Load(path); (err == nil) != good {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	}
	_, _, err := config.Load(filepath.Dir(path))
	if err == nil || !strings.Contains(err.Error(), "cannot read the configuration") {
		t.Errorf("a folder: %v", err)
	}
}

// FuzzConfig: any configuration is good or an error, never a panic.
func FuzzConfig(f *testing.F) {
	f.Add([]byte("[device]\nid = \"x\"\n"))
	f.Add([]byte(least))
	f.Add([]byte(fmt.Sprintf("[policy]\nwindows = [{from = %q, to = %q}]\n", "02:00", "04:00")))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := config.Parse("x.toml", b)
		if err == nil && c.Device.ID == "" {
			t.Error("a configuration without a device is good")
		}
	})
}
