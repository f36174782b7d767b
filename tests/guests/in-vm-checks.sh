# shellcheck shell=bash
# What is looked at in a guest's file systems and below them. Runs in a machine (vm.sh), after in-vm.sh and a recipe, whose
# `layers` makes the file systems reachable and says kind and device of each.

# By their own checkers, which change nothing.
check_file_systems() { # [after-power-cut]
    local kind device
    layers >/tmp/layers
    while read -r kind device <&3; do
        echo "== $kind on $device"
        case $kind in
        btrfs)
            btrfs check --readonly "$device"
            check_subvolumes "$device"
            ;;
        ext4) e2fsck -fn "$device" ;;
        fat)
            if [[ ${1:-} == after-power-cut ]]; then forget_mounted "$device"; fi
            fsck.fat -n "$device"
            ;;
        xfs)
            xfs_repair -n "$device" >/tmp/said 2>&1 || { cat /tmp/said && return 1; }
            cat /tmp/said
            if grep -q "$dirty_xfs" /tmp/said; then return 1; fi
            ;;
        esac
    done 3</tmp/layers
}

# FAT has no log: the mark that it was mounted when the power went stays until a person looks. Nothing else is forgiven.
# (Microsoft's FAT specification, BS_Reserved1 of FAT32; bit 0 as Linux uses it.)
forget_mounted() { # DEVICE
    printf '\0' | dd of="$1" bs=1 seek=65 conv=notrunc status=none
}

# The root is still the default, and what a snapshot holds is as it was when it was made.
check_subvolumes() { # DEVICE
    mount -o ro "$1" /target
    btrfs subvolume get-default /target | grep ' path @$'
    btrfs property get /target/.snapshots/1/snapshot ro | grep 'ro=true'
    grep '^/dev/nvme0n1p2 / btrfs ' /target/.snapshots/1/snapshot/etc/fstab
    umount /target
}

dirty_xfs='valuable metadata changes in a log'

# What a power cut must have left: in each side of an array, and in each file system but the EFI system partition, which
# is not written to.
show_dirt() {
    local kind device side
    for side in /dev/vd?[0-9]; do
        if mdadm --examine "$side" >/tmp/said 2>/dev/null; then
            # What looks like a partition table is no failure of mdadm's, but has no state.
            grep '^ *State : ' /tmp/said >/tmp/state || continue
            echo "== side of an array: $side"
            grep active /tmp/state
        fi
    done
    layers >/tmp/layers
    while read -r kind device <&3; do
        echo "== $kind on $device"
        case $kind in
        btrfs) btrfs inspect-internal dump-super "$device" | grep -E '^log_root[[:space:]]+[1-9]' ;;
        ext4)
            dumpe2fs -h "$device" >/tmp/said 2>/dev/null
            grep -w needs_recovery /tmp/said
            grep '^Journal start: *[1-9]' /tmp/said
            ;;
        xfs)
            xfs_repair -n "$device" >/tmp/said 2>&1 || true
            grep "$dirty_xfs" /tmp/said
            ;;
        esac
    done 3</tmp/layers
}
