#!/bin/sh
# Installs what a make target needs beyond Go, from Debian's packages. Usage: scripts/deps.sh interop|bench
set -eu
case "${1:-}" in
interop) packages="mosquitto libubootenv-tool grub-common e2fsprogs squashfs-tools util-linux mount softhsm2 opensc" ;;
bench) packages="e2fsprogs util-linux mount strace procps mosquitto" ;;
*) echo "usage: scripts/deps.sh interop|bench" >&2; exit 2 ;;
esac
missing=
for p in $packages; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
done
[ -z "$missing" ] && exit 0
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
$sudo apt-get update -q
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends $missing
