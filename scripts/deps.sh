#!/bin/sh
# Installs what a make target needs beyond Go, from Debian's packages. Usage: scripts/deps.sh interop|bench|rig-smoke|rig|units
# rig-smoke also unpacks guest kernels, which are never installed, into $RATCHET_RIG_CACHE (default ~/.cache/ratchet-rig);
# rig also builds the rig's own U-Boot there (scripts/rig/uboot.sh), with a compiler for arm64.
set -eu
case "${1:-}" in
interop) packages="mosquitto libubootenv-tool grub-common e2fsprogs squashfs-tools util-linux mount softhsm2 opensc openssl openssh-client swtpm tpm2-tools libtss2-tcti-swtpm0 systemd" ;;
units) packages="qemu-system-x86 ovmf swtpm mmdebstrap debian-archive-keyring e2fsprogs systemd" ;;
bench) packages="e2fsprogs util-linux mount strace procps mosquitto" ;;
rig|rig-smoke) packages="qemu-system-arm qemu-system-x86 u-boot-qemu u-boot-tools libubootenv-tool ovmf grub-efi-amd64-bin grub-common mtools gdisk e2fsprogs mosquitto" ;;
*) echo "usage: scripts/deps.sh interop|bench|rig-smoke|rig|units" >&2; exit 2 ;;
esac
if [ "$1" = rig ]; then
	packages="$packages swtpm systemd-boot-efi dosfstools gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross bison flex bc device-tree-compiler libssl-dev libgnutls28-dev make patch swig python3-dev python3-setuptools dpkg-dev"
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
missing=
for p in $packages; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
done
if [ -n "$missing" ]; then
	$sudo apt-get update -q
	DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends $missing
fi
case "$1" in rig*) ;; *) exit 0 ;; esac
[ "$1" = rig-smoke ] || "$(dirname "$0")/rig/uboot.sh"

cache=${RATCHET_RIG_CACHE:-$HOME/.cache/ratchet-rig}
kernels="arm64:cloud-arm64 amd64:cloud-amd64"
# The cloud kernels are the smallest; the full one has watchdogs in hardware.
[ "$1" = rig-smoke ] || kernels="$kernels arm64-full:arm64"
missing=
for k in $kernels; do
	[ -d "$cache/${k%:*}/boot" ] || missing=yes
done
[ -n "$missing" ] || exit 0
mkdir -p "$cache"
cd "$cache"
if ! dpkg --print-foreign-architectures | grep -qx arm64 && [ "$(dpkg --print-architecture)" != arm64 ]; then
	$sudo dpkg --add-architecture arm64
	$sudo apt-get update -q
fi
for k in $kernels; do
	dir=${k%:*} image=${k#*:}
	arch=${image#cloud-}
	[ -d "$dir/boot" ] && continue
	# The version moves with security updates: ask the meta package.
	kernel=$(apt-cache depends "linux-image-$image:$arch" | sed -n 's/.*Depends: \(linux-image-[^ ]*\).*/\1/p' | head -n 1)
	apt-get download -q "${kernel%:*}:$arch"
	rm -rf "$dir.part"
	dpkg-deb -x linux-image-*"_$arch.deb" "$dir.part"
	rm -f linux-image-*"_$arch.deb"
	mv "$dir.part" "$dir"
done
