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
