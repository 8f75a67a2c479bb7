# Runs in the machine, as a service beside the agent's, and says by the second serial line what it finds.
exec 3>/dev/ttyS1
check() { printf 'CHECK\t%s\t%s\t%s\n' "$1" "$2" "$(printf %s "$3" | tr '\n\t' '; ' | cut -c1-1500)" >&3; }
same() { if [ "$2" = "$3" ]; then check "$1" ok "$2"; else check "$1" no "$2 instead of $3"; fi; }
# field NAME: the first such field of the status, which is on a line of its own.
field() { ratchet status --json 2>/dev/null | sed -n "s/^ *\"$1\": *\"\{0,1\}\([^\",]*\).*/\1/p" | head -n 1; }
until_is() { # COMMAND... WORD
	n=0
	while [ "$n" -lt 120 ]; do
		[ "$($1)" = "$2" ] && return
		sleep 1
		n=$((n + 1))
	done
}
active() { systemctl is-active ratchet.service; }
mode() { field mode; }
result() { field result; }

# in_unit PROGRAM...: with the unit's list of devices, which is its control group's.
in_unit() { sh -c 'echo $$ >/sys/fs/cgroup/system.slice/ratchet.service/cgroup.procs && exec "$@"' sh "$@" 2>&1; }

# process VERB: the number of a process of the agent's.
process() {
	for p in /proc/[0-9]*; do
		case $(tr '\0' ' ' <"$p/cmdline" 2>/dev/null) in "ratchet $1 "*) basename "$p" && return ;; esac
	done
}
of_process() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status" | tr '\t' ' '; }

# devices: what the unit lets through, besides the slots, and what not.
devices() {
	modprobe loop && truncate -s 1M /run/late && losetup /dev/loop0 /run/late
	same "$version a block device of a driver that came later" \
		"$(in_unit head -c 512 /dev/loop0 | tr -d '\0')" ""
	same "$version a TPM" "$(in_unit sh -c ': </dev/tpmrm0 && echo opened')" opened
	same "$version another device" "$(in_unit head -c 1 /dev/kmsg | sed 's/.*: //')" "Operation not permitted"
}

# late_mount: what is mounted while the daemon runs, it sees (a state partition that comes late).
late_mount() {
	pid=$(systemctl show -p MainPID --value ratchet.service)
	mount -t tmpfs none /var/lib/ratchet
	kind=$(stat -f -c %T "/proc/$pid/root/var/lib/ratchet")
	umount /var/lib/ratchet
	same "$version a state partition that is mounted late" "$kind $(stat -f -c %T "/proc/$pid/root/var/lib/ratchet")" \
		"tmpfs ext2/ext3"
}

# variables: those of the firmware can be written, and nothing else below /sys.
variables() {
	pid=$(systemctl show -p MainPID --value ratchet.service)
	name=/sys/firmware/efi/efivars/RatchetLab-3a1e6d9c-5b7f-4d0e-9c55-1f0a2b3c4d5e
	said=$(nsenter -t "$pid" -m sh -c "printf '\\007\\000\\000\\000x' >$name && cat $name | od -An -c" 2>&1 | sed 's/.*: //')
	same "$version a variable of the firmware" "$said" '  \a  \0  \0  \0   x'
	ls -l $name >/dev/console
	said=$(nsenter -t "$pid" -m sh -c 'echo 1 >/sys/kernel/mm/ksm/run' 2>&1 | sed 's/.*: //')
	same "$version a setting of the kernel" "$said" "Read-only file system"
	said=$(nsenter -t "$pid" -m sh -c 'for d in /opt /root /var /run /boot; do test -w $d && printf "$d "; done')
	same "$version folders that can be written" "$said" "/var /run /boot "
}

# confined VERB: such a process is another user's, has no capabilities and filters its system calls.
confined() {
	n=0
	while p=$(process "$1") && [ -z "$p" ] && [ "$n" -lt 300 ]; do
		sleep 0.3
		n=$((n + 1))
	done
	sleep 0.3 # it confines itself first
	user=$(of_process "$p" Uid | cut -d' ' -f1)
	user=$(sed -n "s/^\([^:]*\):x:$user:.*/\1/p" /etc/passwd)
	same "$version ratchet $1" "user $user, capabilities $(of_process "$p" CapEff), filters $(of_process "$p" Seccomp)" \
		"user ratchet-net, capabilities 0000000000000000, filters 2"
}

version=$(cat /etc/release-version)
until_is active active
until_is mode normal
check "$version" ok "Linux $(uname -r), $(systemctl --version | head -n 1)"
same "$version unit" "$(active)" active
same "$version mode" "$(mode)" normal
same "$version slot that runs" "$(field name)" "$([ "$version" = 1.0.0 ] && echo A || echo B)"

refusals() {
	# What the unit's filter refused ended the process (type 1326), and the agent was started again.
	same "$version system calls refused" "$(dmesg | grep -c 'type=1326')" 0
	same "$version starts again" "$(systemctl show -p NRestarts --value ratchet.service)" 0
	ignored=$(journalctl -b -o cat 2>/dev/null | sed -n 's/.*ratchet[a-z.@/-]*:\([0-9]*: .*\)/\1/p' | sort -u)
	check "$version lines that systemd ignores" ok "${ignored:-none}"
}

if [ "$version" = 1.0.0 ]; then
	ratchet status >/dev/console 2>&1
	ratchet slots >/dev/console 2>&1
	problems=$(ratchet status --json | sed -n '/"problems"/,/]/p' | tr -d '\n')
	same "$version problems" "$problems" ""
	devices
	late_mount
	variables
	confined net
	check "$version its confinement" ok \
		"$(ratchet status | awk '/^Process/ {p = 1} p && !/^(Process| )/ {exit} p' | tr -s ' \n' ' ')"
	check "$version its Landlock" ok \
		"$(ratchet status --json | sed -n '/"landlock"/,/}/s/.*"detail": "\(.*\)".*/\1/p' | head -n 1)"
	refusals
	confined unpack &
	# The agent reboots when the release is armed; it stops this first.
	printf '\tREBOOT\n' >&3
	out=$(ratchet install --yes /mnt/release.suit 2>&1)
	printf '%s\n' "$out" >/dev/console
	sleep 30
	case $(systemctl is-system-running) in stopping) exit ;; esac
	check "$version install" no "$(printf %s "$out" | tail -n 4)"
else
	until_is result updated
	same "$version trial" "$(result)" updated
	ratchet status >/dev/console 2>&1
	same "$version time" "$(field time_quality)" local
	refusals
fi
journalctl -b -o cat -u ratchet.service >/dev/console 2>&1
printf '\tEND\n' >&3
sleep 1
systemctl poweroff --force
