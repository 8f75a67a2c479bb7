#!/bin/sh
# Builds the U-Boot of the rig's target arm64-uboot-own from Debian's source package: a true redundant
# environment on the disk, and bootcount. What differs from Debian's is in scripts/rig/uboot/. The result
# is $RATCHET_RIG_CACHE/uboot/u-boot.bin (default ~/.cache/ratchet-rig). Two minutes, 300 MB while it builds.
# scripts/deps.sh rig installs what it needs, and runs it. The machine's own list of package sources is not touched.
set -eu
own=$(cd "$(dirname "$0")/uboot" && pwd)
cache=${RATCHET_RIG_CACHE:-$HOME/.cache/ratchet-rig}/uboot
# Remove the folder to build anew, as after a security update of the package.
stamp=$(cat "$own/config" "$own/envblock.c" "$0" | sha256sum | cut -d ' ' -f 1)
[ "$(cat "$cache/stamp" 2>/dev/null)" = "$stamp" ] && exit 0
work=$cache.part
rm -rf "$work"
mkdir -p "$work/lists/partial"
cd "$work"

# The first Debian mirror of this machine, asked for sources in a configuration of our own.
uri=$(apt-get indextargets --format '$(SITE) $(RELEASE) $(CREATED_BY)' | awk '$3 == "Packages" && $2 !~ /-(updates|security|backports)$/ { print $1 " " $2; exit }')
[ -n "$uri" ] || { echo "uboot.sh: apt knows no Debian mirror" >&2; exit 1; }
echo "deb-src ${uri% *} ${uri#* } main" > sources.list
apt="apt-get -q -o Dir::Etc::SourceList=$work/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$work/lists"
apt="$apt -o Dir::Cache::srcpkgcache= -o Dir::Cache::pkgcache= -o APT::Sandbox::User=root"
$apt update
$apt source --download-only u-boot
dpkg-source -x --skip-patches u-boot_*.dsc src
cd src
grep -v '^#' debian/patches/series | while read -r p; do patch -p1 -s < "debian/patches/$p"; done

cp "$own/envblock.c" env/mmc.c
export CROSS_COMPILE=aarch64-linux-gnu- SOURCE_DATE_EPOCH=1700000000
make -s O=../out qemu_arm64_defconfig
scripts/kconfig/merge_config.sh -m -O ../out ../out/.config "$own/config"
make -s O=../out olddefconfig
# An option that did not come through would be a rig that tests something else.
grep '^CONFIG' "$own/config" | while read -r line; do
	grep -qxF "$line" ../out/.config || { echo "uboot.sh: U-Boot does not take $line" >&2; exit 1; }
done
make -s -j"$(nproc)" O=../out u-boot.bin
rm -rf "$cache"
mkdir -p "$cache"
cp ../out/u-boot.bin "$cache/"
cp ../out/.config "$cache/config"
echo "$stamp" > "$cache/stamp"
rm -rf "$work"
ls -l "$cache/u-boot.bin"
