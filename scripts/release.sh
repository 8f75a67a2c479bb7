#!/bin/sh
# Works on the last commit, in a clone of its own: what is not committed has no part in it. Usage:
#   scripts/release.sh sbom BIN                   bills of materials of this machine's programs, into BIN/sbom
#   scripts/release.sh release DIST [KEY [KEYS]]  a release of $ARCHES, built with $FLAGS, into DIST/release
set -eu
src=$(mktemp -d)
trap 'rm -rf "$src"' EXIT
absolute() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac; }
git clone -q . "$src"
case ${1:-} in
sbom)
	bin=$(absolute "$2")
	cd "$src"
	make -s dist DIST=dist ARCHES="$(go env GOARCH)"
	go run ./scripts/release sbom dist/*/*
	mkdir -p "$bin/sbom"
	cp dist/*/*.cdx.json "$bin/sbom/"
	;;
release)
	dist=$(absolute "$2") key=${3:-} keys=$(absolute "${4:-release-keys}")
	[ -z "$key" ] || key=$(absolute "$key")
	rm -rf "$dist"
	cd "$src"
	make -s dist DIST="$dist" ARCHES="$ARCHES"
	go run ./scripts/release assemble -dist "$dist" -out "$dist/release" -flags "$FLAGS" -key "$key" -keys "$keys"
	;;
*) echo "usage: scripts/release.sh sbom BIN | release DIST [KEY [KEYS]]" >&2; exit 2 ;;
esac
