# Ratchet's boot script for U-Boot (hush). Make boot.scr of it with
#
#	mkimage -A arm64 -T script -C none -d boot.cmd boot.scr
#
# and let bootcmd load and source it. It needs CONFIG_HUSH_PARSER and saveenv, and nothing else: no
# setexpr, no bootcount. CONFIG_BOOTCOUNT_LIMIT stays off. The environment must hold bootcmd, since a
# valid environment without it ends at the prompt.
#
#	BOOT_ORDER     slots, first first       BOOT_<s>_LEFT  tries left, 1..9
#	BOOT_<s>_GOOD  1 confirmed, 0 on trial, unset unknown (counted like a trial)
#
# The first slot in the order that has tries left boots. A slot that is not confirmed is counted down
# and saved before; when that cannot be set (U-Boot's flags of variables) or saved, one that is on trial
# is not booted, for it would be tried for ever. A confirmed slot is neither counted nor saved. A kernel
# that does not load goes on to the next slot.
# When no slot is left the confirmed ones are filled again, and only they: a sick slot is never
# revived. Only where no slot is confirmed, as after the loss of the environment, those of which
# nothing is known are filled.
#
# Lines marked BOARD are to be adapted: the slots' partitions, and how a kernel is started.
# Names begin with rt_ because the environment comes before the script's own variables.

test -n "${BOOT_ORDER}" || setenv BOOT_ORDER "A B"
test -n "${BOOT_A_LEFT}" || setenv BOOT_A_LEFT 3
test -n "${BOOT_B_LEFT}" || setenv BOOT_B_LEFT 3

for rt_slot in ${BOOT_ORDER}; do
  rt_left=x
  rt_good=x
  if test "x${rt_slot}" = "xA"; then
    rt_left="x${BOOT_A_LEFT}"
    rt_good="x${BOOT_A_GOOD}"
    rt_part=2 # BOARD
  fi
  if test "x${rt_slot}" = "xB"; then
    rt_left="x${BOOT_B_LEFT}"
    rt_good="x${BOOT_B_GOOD}"
    rt_part=3 # BOARD
  fi

  # One less than rt_left; "no" for anything but 1..9.
  rt_less=no
  rt_prev=0
  for rt_n in 1 2 3 4 5 6 7 8 9; do
    if test "${rt_left}" = "x${rt_n}"; then
      rt_less=${rt_prev}
    fi
    rt_prev=${rt_n}
  done

  rt_go=no
  if test "${rt_less}" != "no"; then
    if test "${rt_good}" = "x1"; then
      rt_go=yes
    else
      echo "Ratchet: slot ${rt_slot} is on trial, ${rt_less} tries left after this"
      setenv bootargs
      if setenv BOOT_${rt_slot}_LEFT ${rt_less} && saveenv; then
        rt_go=yes
      else
        echo "Ratchet: cannot count slot ${rt_slot}"
        if test "${rt_good}" = "x"; then
          rt_go=yes
        fi
      fi
    fi
  fi

  if test "${rt_go}" = "yes"; then
    echo "Ratchet: booting slot ${rt_slot}"
    setenv bootargs "${ratchet_args} root=/dev/mmcblk0p${rt_part} rootwait panic=10 ratchet.slot=${rt_slot} rauc.slot=${rt_slot}" # BOARD
    if load mmc 0:${rt_part} ${kernel_addr_r} boot/Image; then # BOARD
      booti ${kernel_addr_r} - ${fdt_addr} # BOARD
    fi
    echo "Ratchet: slot ${rt_slot} does not load"
  fi
done

echo "Ratchet: no slot is left"
rt_proven=x
for rt_slot in ${BOOT_ORDER}; do
  if test "x${rt_slot}${BOOT_A_GOOD}" = "xA1" || test "x${rt_slot}${BOOT_B_GOOD}" = "xB1"; then
    rt_proven=x1
  fi
done
rt_changed=no
for rt_slot in ${BOOT_ORDER}; do
  if test "x${rt_slot}" = "xA" && test "x${BOOT_A_GOOD}" = "${rt_proven}" && test "x${BOOT_A_LEFT}" != "x3"; then
    setenv BOOT_A_LEFT 3
    rt_changed=yes
  fi
  if test "x${rt_slot}" = "xB" && test "x${BOOT_B_GOOD}" = "${rt_proven}" && test "x${BOOT_B_LEFT}" != "x3"; then
    setenv BOOT_B_LEFT 3
    rt_changed=yes
  fi
done
if test "${rt_changed}" = "yes"; then
  setenv bootargs
  saveenv
fi
sleep 3
reset
