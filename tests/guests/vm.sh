# shellcheck shell=bash disable=SC2154  # what they give: cache
# A virtual machine for what the kernel of the machine that tests may lack: device mapper, md, other file systems. Its
# root is the bootstrapped system (read-only), so its tools are those of the guests. A part of build-debian.sh and run.sh.

# What the machine is made of, made once for an archive: kernel, initramfs with virtio only, root.
vm_make() { # BOOTSTRAP_ARCHIVE: leaves it where $cache/vm points to
    local tree kernel vm_folder
    vm_folder=${1%.tar.zst}-$(declare -f vm_make vm_init | sha256sum | cut -c 1-8).vm
    exec 8>"$cache/vm.lock"
    flock 8
    if [[ ! -e $vm_folder ]]; then
        tree=$(mktemp -d "$cache/vm.XXXXXX")
        mkdir "$tree/root" "$tree/vm"
        tar -C "$tree/root" --xattrs -xf "$1"
        kernel=$(basename "$tree"/root/boot/vmlinuz-*)
        mv "$tree/root/boot/$kernel" "$tree/vm/vmlinuz"
        cp -r "$tree/root/etc/initramfs-tools" "$tree/root/tmp/conf"
        printf '%s\n' MODULES=list COMPRESS=zstd >"$tree/root/tmp/conf/conf.d/vm"
        # Nothing is to be put together before the script does it.
        rm "$tree"/root/usr/share/initramfs-tools/hooks/{cryptroot,lvm2,mdadm}
        printf '%s\n' virtio_pci virtio_blk ext4 >"$tree/root/tmp/conf/modules"
        chroot "$tree/root" mkinitramfs -d /tmp/conf -o /tmp/initrd "${kernel#vmlinuz-}" >"$cache/vm.log" 2>&1 ||
            { cat "$cache/vm.log" >&2; return 1; }
        mv "$tree/root/tmp/initrd" "$tree/vm/initrd"
        vm_init >"$tree/root/vm-init"
        chmod 755 "$tree/root" "$tree/root/vm-init"
        mkdir -p "$tree/root/target"
        truncate -s 1500M "$tree/vm/root.ext4"
        mkfs.ext4 -q -F -d "$tree/root" "$tree/vm/root.ext4"
        mv "$tree/vm" "$vm_folder"
        rm -rf "$tree"
    fi
    ln -sfn "$vm_folder" "$cache/vm"
    exec 8>&-
}

# Process 1 of the machine. Disks are found by their serial numbers, as /dev/disk/NAME. The script's last words, on a
# line of their own, are its status.
vm_init() {
    cat <<-'END'
	#!/bin/bash
	export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DM_DISABLE_UDEV=1
	mount -t tmpfs tmpfs /tmp
	mount -t tmpfs tmpfs /run
	mount -t tmpfs tmpfs /etc/lvm/archive 2>/dev/null
	mount -t tmpfs tmpfs /etc/lvm/backup 2>/dev/null
	mkdir -p /dev/disk /run/lock/lvm
	for block in /sys/block/vd*; do ln -s "/dev/${block##*/}" "/dev/disk/$(cat "$block/serial")"; done
	tr -d '\0' </dev/disk/script >/tmp/script
	bash -euo pipefail /tmp/script </dev/null
	echo "VM-STATUS $?"
	sync
	echo o >/proc/sysrq-trigger
	sleep 60
	END
}

# Runs a script as root there. Disks are `NAME=FILE`, which it finds as /dev/disk/NAME and changes; `NAME=FILE,snapshot=on`
# stays as it is.
vm_run() { # LOG SECONDS SCRIPT DISK...
    local log=$1 seconds=$2 script=$3 disk options=()
    shift 3
    # The device has whole sectors.
    truncate -s %4096 "$script"
    for disk in "root=$cache/vm/root.ext4,readonly=on" "script=$script" "$@"; do
        options+=(-drive "if=none,id=${disk%%=*},format=raw,cache=unsafe,discard=unmap,detect-zeroes=unmap,file=${disk#*=}")
        options+=(-device "virtio-blk-pci,drive=${disk%%=*},serial=${disk%%=*}")
    done
    # no_timer_check: under emulation on a busy machine the kernel may take its timer for a broken one, and gives up.
    timeout --kill-after=5 "$seconds" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 1024 -machine q35 \
        -nodefaults -display none -no-reboot -serial stdio -kernel "$cache/vm/vmlinuz" -initrd "$cache/vm/initrd" \
        -append 'console=ttyS0 quiet root=/dev/vda ro init=/vm-init panic=-1 no_timer_check' "${options[@]}" </dev/null >"$log" 2>&1 || true
    grep -q '^VM-STATUS 0' "$log" || { tail -n 40 "$log" >&2; return 1; }
}
