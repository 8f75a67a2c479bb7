#!/bin/sh
# Memory and wake-ups of the daemon and its processes at rest: plays the demo, leaves its device connected and idle, and
# looks at them for SECONDS (default 120). Usage: scripts/idle.sh [SECONDS]
set -eu
seconds=${1:-120}
bin=$(cd "$(dirname "$0")/../bin" && pwd)
dir=$(mktemp -d)
"$bin/ratchet-lab" demo --keep --keep-alive 5m --dir "$dir" >"$dir/log" 2>&1 &
lab=$!
trap 'kill -INT $lab 2>/dev/null; wait $lab 2>/dev/null; rm -rf "$dir"' EXIT
until grep -q '^Still running' "$dir/log" 2>/dev/null; do
	kill -0 $lab 2>/dev/null || { cat "$dir/log"; exit 1; }
	sleep 1
done
pid=$(pgrep -P $lab -f 'ratchet daemon')
sleep 30 # the last status goes out, and the memory of the start is given back
all="$pid $(pgrep -P "$pid")" # the daemon, and the process that holds its connections
switches() { for p in $all; do cat /proc/"$p"/task/*/status; done | awk '/^voluntary_ctxt_switches/ {s += $2} END {print s}'; }
ticks() { for p in $all; do cat /proc/"$p"/stat; done | awk '{s += $14 + $15} END {print s}'; }
a=$(switches); t=$(ticks)
sleep "$seconds"
b=$(switches); u=$(ticks)
for p in $all; do
	printf '%s: ' "$(tr '\0' ' ' <"/proc/$p/cmdline" | cut -d' ' -f1-2)"
	awk '/^Rss:/ {r = $2} /^Pss:/ {p = $2} /^Anonymous:/ {a = $2}
		END {printf "RSS %.1f MiB, PSS %.1f MiB, of it nobody else'"'"'s %.1f MiB\n", r / 1024, p / 1024, a / 1024}' "/proc/$p/smaps_rollup"
done
for p in $all; do cat "/proc/$p/smaps_rollup"; done | awk '/^Pss:/ {s += $2} END {printf "together: PSS %.1f MiB\n", s / 1024}'
awk -v a="$a" -v b="$b" -v t="$t" -v u="$u" -v s="$seconds" 'BEGIN {
	printf "context switches of all threads: %.1f a minute (the MQTT keep-alive of 5 minutes is in it)\n", (b - a) * 60 / s
	printf "CPU: %d ms in %d s\n", (u - t) * 10, s
}'
