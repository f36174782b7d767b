# shellcheck shell=bash
# What recipes need in the machine that assembles and checks their guests (vm.sh): runs there, as the beginning of a script.

# No udev runs here, and no list of devices counts.
export LVM_SYSTEM_DIR=/tmp/lvm
mkdir -p "$LVM_SYSTEM_DIR"
cat >"$LVM_SYSTEM_DIR/lvm.conf" <<'END'
devices { use_devicesfile=0 obtain_device_list_from_udev=0 external_device_info_source="none" }
activation { udev_sync=0 udev_rules=0 monitoring=0 }
global { use_lvmpolld=0 notify_dbus=0 event_activation=0 }
backup { backup=0 archive=0 }
END

part() { # DISK NUMBER: the device of a partition
    echo "$(readlink -f "/dev/disk/$1")$2"
}

unpack() {
    tar -C /target --xattrs --xattrs-include='*' -xpf /dev/disk/tree
}

in_target() { # COMMAND...: with the guest's own programs
    local folder
    for folder in dev proc sys run tmp; do mount --bind "/$folder" "/target/$folder"; done
    chroot /target "$@"
    for folder in dev proc sys run tmp; do umount "/target/$folder"; done
}

# A recipe's `layers` makes its file systems reachable, and says kind and device of each.
check_file_systems() { # by their own checkers, which change nothing
    local kind device
    layers >/tmp/layers
    while read -r kind device; do
        echo "== $kind on $device"
        case $kind in
        btrfs) btrfs check --readonly "$device" ;;
        ext4) e2fsck -fn "$device" ;;
        fat) fsck.fat -n "$device" ;;
        xfs)
            xfs_repair -n "$device" >/tmp/said 2>&1 || { cat /tmp/said && return 1; }
            cat /tmp/said
            if grep -q "$dirty_xfs" /tmp/said; then return 1; fi
            ;;
        esac
    done </tmp/layers
}

dirty_xfs='valuable metadata changes in a log'

# What a power cut must have left in each; the EFI system partition is not written to.
show_dirt() {
    local kind device
    layers >/tmp/layers
    while read -r kind device; do
        echo "== $kind on $device"
        case $kind in
        btrfs) btrfs inspect-internal dump-super "$device" | grep -E '^log_root[[:space:]]+[1-9]' ;;
        ext4) dumpe2fs -h "$device" 2>/dev/null | grep -w needs_recovery ;;
        xfs)
            xfs_repair -n "$device" >/tmp/said 2>&1 || true
            grep "$dirty_xfs" /tmp/said
            ;;
        esac
    done </tmp/layers
}
