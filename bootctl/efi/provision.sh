#!/bin/sh
# Makes the load options of both slots, in the factory. Run it once, with root's rights, on a machine
# that UEFI started. The agent uses these options and makes none itself.
#
#   provision.sh DISK PART-A PART-B     e.g. provision.sh /dev/nvme0n1 1 2
#
# BOARD: the paths of kernel and initramfs, and the kernel's command line.
set -eu

disk=$1
add() { # SLOT PART
	low=$(echo "$1" | tr A-Z a-z)
	efibootmgr --quiet --create-only --disk "$disk" --part "$2" --label "ratchet $1" --loader '\vmlinuz' \
		--unicode "root=PARTLABEL=rootfs-$low ro panic=10 ratchet.slot=$1 initrd=\\initrd.img"
}

if efibootmgr | grep -q ' ratchet [AB]'; then
	echo "there are options of Ratchet already: delete them with efibootmgr -b NUMBER -B" >&2
	exit 1
fi
add A "$2"
add B "$3"
number() { efibootmgr | sed -n "s/^Boot\([0-9A-F]\{4\}\).* ratchet $1\(\t.*\)*$/\1/p" | head -n 1; }

# A is confirmed and boots; B is in no order, and boots once when the agent has written it.
rest=$(efibootmgr | sed -n 's/^BootOrder: //p' | tr ',' '\n' | grep -v -x -e "$(number A)" -e "$(number B)" | tr '\n' ',')
efibootmgr --quiet --bootorder "$(number A),${rest%,}"
efibootmgr
