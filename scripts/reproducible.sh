#!/bin/sh
# Builds the last commit's programs in two clones that share nothing but the downloaded modules, and compares them.
# Usage: scripts/reproducible.sh [PROCESSOR...]; what is not committed is not built.
set -eu
top=$(git rev-parse --show-toplevel)
[ $# -gt 0 ] || set -- amd64 arm64
modules=$(go env GOMODCACHE) proxy=$(go env GOPROXY)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
ln -s "$modules" "$tmp/modules"
one=$tmp/one two=$tmp/another/folder/with-a-longer-name
git clone -q "$top" "$one"
mkdir -p "$tmp/another/folder" "$tmp/home"
(umask 077 && git clone -q "$top" "$two")

# The one as here; the other as far from it as a machine of somebody else may be.
make -s -C "$one" dist ARCHES="$*" DIST=dist
(umask 077 && cd / && env HOME="$tmp/home" USER=somebody LOGNAME=somebody LC_ALL=C LANG=tr_TR.UTF-8 TZ=Asia/Kathmandu \
	GOCACHE="$tmp/cache" GOMODCACHE="$tmp/modules" GOPROXY="$proxy" GOMAXPROCS=3 GOFLAGS='-tags=other -ldflags=-X=main.x=y' \
	GOAMD64=v3 CGO_ENABLED=1 CGO_CFLAGS=-O0 make -s -C "$two" dist ARCHES="$*" DIST=dist)

sums() { (cd "$1/dist" && find . -type f | sort | xargs sha256sum); }
sums "$one" >"$tmp/sums.one"
sums "$two" >"$tmp/sums.two"
[ -s "$tmp/sums.one" ] || { echo "reproducible: nothing was built" >&2; exit 1; }
cat "$tmp/sums.one"
if ! diff "$tmp/sums.one" "$tmp/sums.two" >&2; then
	echo "reproducible: NO: the two clones of $(git rev-parse HEAD) gave other programs" >&2
	exit 1
fi
echo "reproducible: $(wc -l <"$tmp/sums.one") programs, one digest each, of commit $(git rev-parse HEAD)"
