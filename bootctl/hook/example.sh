#!/bin/sh
# An example of a boot hook (contract: package comment of bootctl/hook). It keeps one line for each slot
# in a small file, in the order of the loader:
#
#	SLOT TRIES GOOD         tries left 0..9, GOOD 1 confirmed, 0 on trial
#
# and "end" as the last line. A slot that is not in the file is disabled. The file is replaced by
# rename after it was flushed, so that a power cut leaves the old one or the new one; that holds on
# ext4, not on FAT.
set -eu

file=$(dirname "$0")/slots
slots="A B"
lock=$file.lock

fail() { echo "$2" >&2; exit "$1"; }

# valid: every line is right, no slot stands twice, the last line is "end".
valid() {
	[ -f "$file" ] && [ "$(tail -n 1 "$file")" = end ] || return 1
	seen=
	while read -r s tries good rest; do
		[ "$s" != end ] || return 0
		case " $slots " in *" $s "*) ;; *) return 1 ;; esac
		case " $seen " in *" $s "*) return 1 ;; esac
		case $tries in [0-9]) ;; *) return 1 ;; esac
		case $good in 0 | 1) ;; *) return 1 ;; esac
		[ -z "$rest" ] || return 1
		seen="$seen $s"
	done <"$file"
	return 1
}

# entry SLOT: its tries and whether it is good, nothing when it is disabled.
entry() { sed -n "s/^$1 //p" "$file"; }

# others SLOT: all lines but the slot's. A confirmed one is filled.
others() { sed -e "/^$1 /d" -e '/^end$/d' -e "s/^\([A-Z]*\) [1-9] 1\$/\1 3 1/" "$file"; }

store() {
	{ cat; echo end; } >"$file.new"
	# Crash: before the rename -> old; after it and the sync of the directory -> new.
	sync "$file.new"
	mv "$file.new" "$file"
	sync "$(dirname "$file")"
}

state() {
	next=
	while read -r s tries good rest; do
		if [ "$s" != end ] && [ "$tries" != 0 ] && [ -z "$next" ]; then next=$s; fi
	done <"$file"
	echo version=1
	echo "next=$next"
	for s in $slots; do
		set -- $(entry "$s") 0 0 # a slot without an entry has no tries and is not good
		bootable=1 exhausted=0
		if [ "$1" = 0 ]; then
			bootable=0
			if [ -n "$(entry "$s")" ]; then exhausted=1; fi
		fi
		echo "$s.bootable=$bootable"
		echo "$s.confirmed=$2"
		echo "$s.tries=$1"
		echo "$s.exhausted=$exhausted"
	done
	echo max-tries=9
	echo power-safe=1
	echo "layout=a file with the order"
}

exec 9>"$lock"
flock 9

case ${1-} in
state)
	valid || fail 10 "the slot file is damaged"
	state
	;;
refresh)
	if valid; then
		case $(entry "$2") in *" 0") exit 0 ;; esac
		if [ -z "$(entry "$2")" ]; then
			{ others "$2"; echo "$2 $3 1"; } | store
		else
			sed -e '/^end$/d' -e "s/^$2 [0-9] 1\$/$2 $3 1/" "$file" | store
		fi
	else
		echo "$2 $3 1" | store
	fi
	;;
disable)
	valid || fail 10 "the slot file is damaged"
	others "$2" | store
	;;
try)
	valid || fail 10 "the slot file is damaged"
	{ echo "$2 $3 0"; others "$2"; } | store
	;;
confirm)
	valid || fail 10 "the slot file is damaged"
	{ echo "$2 $3 1"; others "$2"; } | store
	;;
*) fail 2 "usage: $0 state|refresh SLOT TRIES|disable SLOT|try SLOT TRIES|confirm SLOT TRIES" ;;
esac
