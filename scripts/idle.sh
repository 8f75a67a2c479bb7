#!/bin/sh
# Memory and wake-ups of the daemon at rest: plays the demo, leaves its device connected and idle, and
# looks at the process for SECONDS (default 120). Usage: scripts/idle.sh [SECONDS]
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
switches() { cat /proc/"$pid"/task/*/status | awk '/^voluntary_ctxt_switches/ {s += $2} END {print s}'; }
ticks() { awk '{print $14 + $15}' /proc/"$pid"/stat; }
a=$(switches); t=$(ticks)
sleep "$seconds"
b=$(switches); u=$(ticks)
awk -v a="$a" -v b="$b" -v t="$t" -v u="$u" -v s="$seconds" -v pid="$pid" 'BEGIN {
	while ((getline line < ("/proc/" pid "/status")) > 0) if (line ~ /^(VmRSS|VmHWM|RssAnon|RssFile|RssShmem|Threads)/) print line
	printf "context switches of all threads: %.1f a minute (the MQTT keep-alive of 5 minutes is in it)\n", (b - a) * 60 / s
	printf "CPU: %d ms in %d s\n", (u - t) * 10, s
}'
