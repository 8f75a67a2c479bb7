package config

import (
	"fmt"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
)

// Config is the daemon's configuration file, TOML. The comment above each key (type, default, meaning) is
// its line in docs/formats/configuration.md, which is generated from here. An unknown key is an
// error with its line: a misspelt rule must not be a rule that does not hold.
type Config struct {
	Device   Device          `toml:"device"`
	State    State           `toml:"state"`
	Running  Running         `toml:"running"`
	Slots    map[string]Slot `toml:"slots"`
	Boot     Boot            `toml:"boot"`
	MQTT     *MQTT           `toml:"mqtt"`
	HTTP     HTTP            `toml:"http"`
	Proxy    Proxy           `toml:"proxy"`
	Sandbox  Sandbox         `toml:"sandbox"`
	Trust    Trust           `toml:"trust"`
	Counter  Counter         `toml:"counter"`
	TPM      TPM             `toml:"tpm"`
	Policy   Policy          `toml:"policy"`
	Health   Health          `toml:"health"`
	Evidence Evidence        `toml:"evidence"`
	Control  Control         `toml:"control"`
	Reboot   Reboot          `toml:"reboot"`
	Log      Log             `toml:"log"`

	doc conf.Document // where the keys stand
}

// Device is the table [device]: who the device is.
type Device struct {
	// text: The device's name: 1 to 64 letters, digits, dots, underscores or hyphens. Set this or `id-file`.
	ID string `toml:"id"`
	// path: A file that holds the id, at most 1024 bytes. Surrounding white space is removed.
	IDFile string `toml:"id-file"`
	// array of text: Vendor domains or UUIDs, at least one. An update must name one of them.
	Vendor []string `toml:"vendor"`
	// array of text: Class names (below the first vendor) or UUIDs, at least one. An update must name one of them.
	Class []string `toml:"class"`
	// array of text: UUIDs for SUIT's condition-device-identifier.
	UUID []string `toml:"uuid"`
	// text: Version of the running system, such as `1.2.3` or `1.2-rc.1`. Absent: unknown.
	Version string `toml:"version"`
	// number (default 0, unknown): Sequence number under which this image is released. Lower ones are refused, even
	// when the journal is lost.
	Sequence uint64 `toml:"sequence"`
	// path: A file that holds the version.
	VersionFile string `toml:"version-file"`
}

// VolatileAllowed is the word of `state.volatile` for a state directory that is meant to be lost.
const VolatileAllowed = "allow"

// State is the table [state]: where the agent keeps what it must remember.
type State struct {
	// path (default `/var/lib/ratchet`): The state directory. If it is another one, `--state` must name it too.
	Directory string `toml:"directory"`
	// text (default `report`): `report`, or `allow`: a state directory that is lost when the machine is switched off (a
	// tmpfs) is meant so. It is a problem otherwise, in `ratchet status`, over MQTT and for `--check-config`. Nothing
	// else depends on this key.
	Volatile string `toml:"volatile"`
	// bytes (default 4194304): Size of the journal, from 256 KiB to 1 GiB. An existing journal only grows.
	JournalBytes int64 `toml:"journal-bytes"`
}

// Running is the table [running]: how the device finds out which slot runs.
type Running struct {
	// path (default `/`): Mount point of the running root file system.
	Root string `toml:"root"`
	// path: A file that holds the device's path, written by the initramfs. Set it instead of `root`.
	RootFile string `toml:"root-file"`
	// text (default `rootfs`): The component that is mounted there.
	RootComponent string `toml:"root-component"`
	// path (default `/proc/cmdline`): The file that holds the marker: which slot the bootloader started.
	Cmdline string `toml:"cmdline"`
	// text (default `ratchet.slot`, `rauc.slot`): The marker's key.
	MarkerKey string `toml:"marker-key"`
	// bool (default false): The bootloader passes no marker: only the device behind `/` tells which slot runs.
	NoMarker bool `toml:"no-marker"`
	// path (default `/proc/sys/kernel/random/boot_id`): The file that holds the kernel's boot id. Without this key
	// it is completed by what the daemon draws once in each boot and keeps in `/run/ratchet/boot`, so that a kernel
	// whose id is missing or always the same does no harm.
	BootID string `toml:"boot-id"`
}

// Slot is the table [slots.NAME].
type Slot struct {
	// 0 or 1 (default by name): Number of the slot in SUIT's component-slot. NAME is the slot's name in the boot
	// metadata. There are exactly two slots.
	Index *int `toml:"index"`
	// table: Component = device or file. Both slots have the same components: 8 at most, with names of 200 bytes at
	// most.
	Parts map[string]string `toml:"parts"`
}

// Boot is the table [boot]: the bootloader.
type Boot struct {
	// text: `u-boot`, `grub`, `systemd-boot`, `uefi` or `hook`.
	Backend string `toml:"backend"`
	// 1..9 (default 3): How often the bootloader may try a new system, at most as often as it can count: 1 with
	// `grub` and `uefi`, 9 with `systemd-boot`, `max-tries` with `hook`.
	Tries int `toml:"tries"`
	// number (default tries + 1): How many boots the agent allows in one trial.
	MaxBoots int `toml:"max-trial-boots"`
	// bool (default false): The boot script counts confirmed slots too, as RAUC's does.
	CountsConfirmed bool `toml:"counts-confirmed"`
	// bool (default false): A statement about the board: its bootloader arms a watchdog. Not for `hook`, which says
	// so itself.
	Watchdog bool `toml:"loader-watchdog"`
	// path (default what bootloader and kernel say): A file in which the board says why it was started last. Its first
	// word is `power-on`, `watchdog`, `panic`, `software` or `unknown`; what follows is shown. The power cuts of a
	// trial are told from a bad image by it.
	ResetCause string `toml:"reset-cause-file"`
	// path (default `/etc/fw_env.config`): For `u-boot`: describes the environment's copies. Not read when `copies`
	// is set.
	FwEnvConfig string `toml:"fw-env-config"`
	// array of tables: For `u-boot`: one or two copies of the environment.
	Copies []BootCopy `toml:"copies"`
	// path: For `u-boot`: `name=value` lines to restore the environment from when there is no shadow copy.
	Defaults string `toml:"default-environment"`
	// path (default `/boot/grub/grubenv`): For `grub`: the environment block.
	Grubenv string `toml:"grubenv"`
	// path: For `hook`: the program.
	Hook string `toml:"hook"`
	// path (default `/efi/loader/entries`): For `systemd-boot`: the folder of boot entries, on the mounted
	// partition.
	Entries string `toml:"entries"`

	// table (default found by description): For `uefi`: slot = four hexadecimal digits in capitals, as in Boot0010.
	Options map[string]string `toml:"load-options"`
	// array of paths (default those of the other tools): Lock files to take before the boot metadata is touched. An
	// empty list: none.
	Locks []string `toml:"locks"`
}

// BootCopy is one element of boot.copies.
type BootCopy struct {
	// path: Device or file that holds the copy.
	Path string `toml:"path"`
	// bytes (default 0): Offset of the copy. A negative offset counts from the end.
	Offset int64 `toml:"offset"`
	// bytes: Size of the copy: CONFIG_ENV_SIZE.
	Size int64 `toml:"size"`
}

// MQTT is the table [mqtt]: the connection to the fleet.
type MQTT struct {
	// text: `mqtts://host[:8883]` or `mqtt://host[:1883]`. Without `[mqtt]` the device takes no updates from the
	// network.
	URL string `toml:"url"`
	// text: The channel whose offers the device takes. Absent: only offers that are addressed to this device.
	Channel string `toml:"channel"`
	// bool (default false): Allows `mqtt://`, which is not encrypted.
	AllowPlain bool `toml:"allow-plain"`
	// text: User name for the broker.
	Username string `toml:"username"`
	// path: A file that holds the password. It is read at each connection.
	PasswordFile string `toml:"password-file"`
	// path (default the system's): Certificate authorities for the broker, PEM. Read at each connection, as
	// certificate and key are; while they make no sense, those that were read last are used.
	CA string `toml:"ca"`
	// path: The device's client certificate, PEM.
	Certificate string `toml:"certificate"`
	// path or TPM key: The private key of the client certificate, PEM; or `tpm2:HANDLE`, a P-256 key in the TPM at a
	// handle from 0x81000000 to 0x817FFFFF (made with `ratchet key init mqtt.key`).
	Key string `toml:"key"`
	// duration (default `5m`): Whole seconds, from 5 s to 18 h.
	KeepAlive Duration `toml:"keep-alive"`
	// duration (default `1s`): Shortest pause before the device connects again.
	BackoffMin Duration `toml:"backoff-min"`
	// duration (default `5m`): Longest pause before the device connects again.
	BackoffMax Duration `toml:"backoff-max"`
}

// HTTP is the table [http]: how images are loaded.
type HTTP struct {
	// array of text: Origins, such as `http://host:8080`, that images may be loaded from without TLS.
	AllowPlain []string `toml:"allow-plain"`
	// path (default the system's): Certificate authorities for image servers, PEM. Read at each connection.
	CA string `toml:"ca"`
	// bytes (default 0, none): Limit for all downloads together, at least 128.
	LimitBytes int64 `toml:"limit-bytes-per-second"`
	// bytes (default 17179869184): Limit for one payload.
	MaxBytes int64 `toml:"max-bytes"`
	// duration (default `60s`): How long to wait for an answer, and for each 4 KiB of it.
	Stall Duration `toml:"stall"`
	// bytes (default 256): What a server must give each second, on average over 5 minutes of waiting for it. The
	// device's own limit does not count as waiting. A slower one is left for the next mirror, then tried again later.
	// Where the link itself is slower, set it lower: what is loaded of a zstd frame is lost at each pause.
	MinRate int64 `toml:"min-bytes-per-second"`
	// duration (default `1h`): Longest pause between two attempts at an update.
	RetryMax Duration `toml:"retry-max"`
	// array of tables: Credentials. Each is sent to its own origin only. They are read at each connection.
	Credentials []Credential `toml:"credentials"`
}

// Proxy is the table [proxy]: the HTTP proxy to the broker and to image servers.
type Proxy struct {
	// text (default what `HTTPS_PROXY` and `HTTP_PROXY` say): `http://host[:port]` or `https://host[:port]`, through
	// which the broker and the image servers are reached by CONNECT; or `direct`: none, whatever the environment says.
	// Health checks never use it.
	URL string `toml:"url"`
	// array of text (default what `NO_PROXY` says, if `url` is not set): Hosts that are reached without the proxy:
	// `example.com` (and all names below it), `.example.com` (only those), an address, a block such as `10.0.0.0/8`;
	// each but the block may end in `:port`.
	NoProxy []string `toml:"no-proxy"`
	// text: User name for the proxy.
	Username string `toml:"username"`
	// path: A file that holds the password. It is read at each connection.
	PasswordFile string `toml:"password-file"`
	// path (default the system's): Certificate authorities for a proxy of `https://`, PEM. Read at each connection.
	CA string `toml:"ca"`
}

// Credential is one element of http.credentials.
type Credential struct {
	// text: `https://host[:port]`, or one of `allow-plain`.
	Origin string `toml:"origin"`
	// path: A file that holds a bearer token.
	BearerFile string `toml:"bearer-file"`
	// text: User name.
	Username string `toml:"username"`
	// path: A file that holds the password.
	PasswordFile string `toml:"password-file"`
	// path: Client certificate, PEM.
	Certificate string `toml:"certificate"`
	// path or TPM key: The private key of the client certificate, as `mqtt.key`.
	Key string `toml:"key"`
}

// Sandbox is the table [sandbox]: the processes that hold all connections and decode zstd.
type Sandbox struct {
	// text (default `ratchet-net`): The system user that the daemon's processes `net`, `unpack` and `probe` run as.
	// Where there is none they run as `nobody`, which other programs may do, too.
	User string `toml:"user"`
	// array of text (default none): What these processes are not confined by, for a kernel on which that does
	// harm: `user`,
	// `namespaces`, `no-new-privileges`, `capabilities`, `landlock`, `out-of-memory`, `no-dumps`, `limits`, `seccomp`.
	// What a kernel does not have is left out by itself; `ratchet status` tells.
	Without []string `toml:"without"`
}

// Trust is the table [trust]: whose updates the device takes.
type Trust struct {
	// array of paths: Public keys of the release engineers, 1 to 16. One signature by any of them is enough.
	Keys []string `toml:"keys"`
	// bool (default false): Accepts the older algorithm numbers -7 and -8 too.
	Legacy bool `toml:"allow-es256-eddsa"`
	// path (default none): Bundle of the trust root (roles, thresholds, rotation, campaigns). Set it instead of
	// `trust.keys`.
	Root string `toml:"root"`
	// number (default 0, none): With `trust.keys`: the value to which the counter is raised after a confirmed
	// update.
	RootVersion uint64 `toml:"root-version"`
	// array of paths (default none): This device's keys for encrypted images: P-256 in PEM, or COSE_Key.
	Decryption []string `toml:"decryption-keys"`
}

// Counter is the table [counter]: the rollback counter.
type Counter struct {
	// text (default `file`): `file` (weak), or `tpm2` (made with `ratchet counter init`).
	Kind string `toml:"kind"`
	// path (default `tpm.device`): For `tpm2`: the TPM, or the unix socket of a TPM that is a program.
	Device string `toml:"device"`
	// number (default 0x01805254): For `tpm2`: the NV index, from 0x01000000 to 0x01FFFFFF.
	Index uint32 `toml:"index"`
}

// TPM is the table [tpm]: where keys `tpm2:HANDLE` are.
type TPM struct {
	// path (default `/dev/tpmrm0`): The TPM, or the unix socket of a TPM that is a program.
	Device string `toml:"device"`
}

// Policy is the table [policy]: when the device takes an update.
type Policy struct {
	// 0..100 (default 0, no rule): Lowest battery charge for an update. Mains power counts as full. An unknown
	// charge does not pass.
	MinBattery int `toml:"min-battery-percent"`
	// array of tables (default always): When the device may restart into an update. If the time is not known, the
	// update waits.
	Windows []Window `toml:"windows"`
	// bool (default false): The windows hold for the download too.
	WindowCoversDownload bool `toml:"window-covers-download"`
	// bool (default false): Allows downloads over a metered link.
	AllowMetered bool `toml:"allow-metered"`
	// path: A file that holds `yes`, `1` or `true` while the link is metered.
	MeteredFile string `toml:"metered-file"`
	// duration (default `168h`): An image that was quarantined for what may have been power cuts in its trial is tried
	// again when the old system has been well for so long; twice as long the second time, four times the third. Then
	// only `ratchet retry` gives it back. It is looked at every six hours.
	GiveBack Duration `toml:"give-back"`
	// text (default `none`): What a person must approve first: `none`, `download` or `install`.
	Approval string `toml:"approval"`
	// bytes (default 8388608): How much of a download a power cut may cost. A multiple of 4096; less than 65536 counts
	// as 65536.
	Checkpoint int64 `toml:"checkpoint-bytes"`
}

// Window is one element of policy.windows.
type Window struct {
	// array of text (default every day): `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`: the days on which the
	// window opens.
	Days []string `toml:"days"`
	// text: `HH:MM`.
	From string `toml:"from"`
	// text: `HH:MM`. If it is not later than `from`, the window ends on the next day.
	To string `toml:"to"`
	// text (default the system's): IANA name of the time zone. The system must have its time zone data.
	Zone string `toml:"zone"`
}

// Health is the table [health]: when a new system is healthy.
type Health struct {
	// duration (default `60s`): How long all checks must hold without a break.
	Soak Duration `toml:"soak"`
	// duration (default `10m`): When the trial ends at the latest, counted from its start in this boot. Later than
	// `soak`.
	Deadline Duration `toml:"deadline"`
	// duration (default `5s`): Pause between two rounds of checks.
	Interval Duration `toml:"interval"`
	// duration (default `10s`): Limit for one check.
	Timeout Duration `toml:"timeout"`
	// duration (default 0): The machine must have been up for at least this long.
	MinUptime Duration `toml:"min-uptime"`
	// bool (default false): The check `broker`: the connection to the broker holds, without a reconnect.
	Broker bool `toml:"broker"`
	// array of text: Full names of systemd units that must be active.
	Units []string `toml:"units"`
	// array of text: As `units`, for units that need something beyond the device. A trial that fails of them alone
	// quarantines no image.
	NetworkUnits []string `toml:"network-units"`
	// bool (default false): No systemd unit may have failed: the system's state is `running`. A trial that fails of
	// this alone quarantines no image, as a unit may wait for the network.
	NoFailed bool `toml:"no-failed-units"`
	// array of tables: Commands that must exit with 0.
	Command []Command `toml:"command"`
	// array of tables: Addresses that must answer a GET. Redirects are not followed. A trial that fails only of
	// addresses that are not this machine's own quarantines no image; the same goes for `tcp` and `broker`.
	HTTP []HTTPCheck `toml:"http"`
	// array of tables: Addresses that must accept a connection.
	TCP []TCPCheck `toml:"tcp"`
	// path (default none): `/dev/watchdogN`: armed with 60 s and fed during the trial only.
	Watchdog string `toml:"watchdog"`
}

// Command is one element of health.command.
type Command struct {
	// text (default `command <program>`): Name of the check.
	Name string `toml:"name"`
	// array of text: Absolute path and arguments. There is no shell.
	Run []string `toml:"run"`
	// bool (default false): It needs something beyond the device. A trial that fails of it alone quarantines no image.
	Network bool `toml:"network"`
}

// HTTPCheck is one element of health.http.
type HTTPCheck struct {
	// text (default `http <host>`): Name of the check.
	Name string `toml:"name"`
	// text: Address.
	URL string `toml:"url"`
	// number (default 200): The expected status.
	Status int `toml:"status"`
	// text: Text that the answer must contain.
	Contains string `toml:"contains"`
}

// TCPCheck is one element of health.tcp.
type TCPCheck struct {
	// text (default `tcp <address>`): Name of the check.
	Name string `toml:"name"`
	// text: `host:port`.
	Address string `toml:"address"`
}

// Evidence is the table [evidence]: what the device keeps and signs.
type Evidence struct {
	// path or TPM key (default `device.key` in the state directory): The device's key. If the file is missing it
	// is made, with the public half beside it as `.pem`. Where it is elsewhere it is made once: a folder that is not
	// there, and a key that has been there, are waited for. With `tpm2:HANDLE` it is a P-256 key in the TPM, at a
	// handle from 0x81000000 to 0x817FFFFF; it is made with `ratchet key init` alone, and its public half is put into
	// the state directory as `device.pem`.
	Key string `toml:"key"`
	// bytes (default 1048576): How much evidence is kept. The oldest records are removed first.
	Bytes int64 `toml:"bytes"`
}

// Control is the table [control]: the socket of the technician's verbs.
type Control struct {
	// path (default `/run/ratchet/ratchet.sock`): The control socket.
	Socket string `toml:"socket"`
	// array of numbers: Users who may read, besides root.
	ReadUIDs []uint32 `toml:"read-uids"`
	// array of numbers: Users who may read and write.
	WriteUIDs []uint32 `toml:"write-uids"`
	// array of numbers: Groups whose members may read.
	ReadGIDs []uint32 `toml:"read-gids"`
	// array of numbers: Groups whose members may read and write.
	WriteGIDs []uint32 `toml:"write-gids"`
	// text (default `0660`): Octal mode of the socket file.
	SocketMode string `toml:"mode"`
}

// Reboot is the table [reboot]: how the machine is rebooted.
type Reboot struct {
	// array of text (default `systemctl reboot`): Reboots the machine. A reboot argument for the firmware is
	// appended as `--reboot-argument=...`.
	Command []string `toml:"command"`
	// array of text (default sync and reboot(2)): Forces the reboot.
	ForceCommand []string `toml:"force-command"`
	// duration (default `1m`): After this time without a reboot, it is forced.
	ForceAfter Duration `toml:"force-after"`
}

// Log is the table [log].
type Log struct {
	// text (default `info`): `debug`, `info`, `warn` or `error`. Any other word means `info`.
	Level string `toml:"level"`
	// bool (default false): Log lines are JSON.
	JSON bool `toml:"json"`
}

// Duration is text like "90s", "5m", "24h".
type Duration time.Duration

// UnmarshalText takes what time.ParseDuration takes, but for what is negative.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration such as \"90s\", \"5m\" or \"24h\"", b)
	}
	*d = Duration(v)
	return nil
}
