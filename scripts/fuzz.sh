#!/bin/sh
# Runs every fuzz target of the tree for a while each. Usage: scripts/fuzz.sh [TIME]
set -eu
time=${1:-5s}
for dir in $(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do
	for f in $(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go | sed 's/func //' | sort -u); do
		echo "== $dir $f"
		said=$(go test -run '^$' -fuzz "^$f\$" -fuzztime "$time" -fuzzminimizetime 1x "$dir" 2>&1) && bad=0 || bad=1
		echo "$said"
		# Go sometimes takes the end of the time itself for a failure. It says so in a line of its own, and no input.
		if [ $bad = 1 ] && ! { echo "$said" | grep -qx '    context deadline exceeded' &&
			! echo "$said" | grep -q 'Failing input written'; }; then
			exit 1
		fi
	done
done
