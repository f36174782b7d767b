# shellcheck shell=bash disable=SC2034,SC2154  # what build-debian.sh gives and takes
# Two disks, MBR, with the same partitions on both: /boot (ext4) and root (XFS), each on an md array of level 1 (metadata
# 1.2, bitmap); initramfs-tools with mdadm; a static address by ifupdown.

firmware=bios
root_uuid=4a6d5f77-6f88-4e13-9a92-c3d4f35e1844
boot_uuid=5b5e4a88-7a99-4f24-8ba3-d4e5a46f2955
boot_array=7c1d0b3e:52f7a9d4:8e0f6a21:b3c49d01
root_array=7c1d0b3e:52f7a9d4:8e0f6a21:b3c49d02
kernel_root=/dev/md0
include+=("${layers[@]}")

configure() {
    put /etc/network/interfaces <<-END
	auto lo
	iface lo inet loopback

	auto ens5
	iface ens5 inet static
	    address $address
	    gateway $gateway
	    mtu 9001
	END
    put /etc/udev/rules.d/70-persistent-net.rules <<-END
	SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="$mac", NAME="ens5"
	END
    put /etc/fstab <<-'END'
	/dev/md0 / xfs defaults 0 0
	/dev/md1 /boot ext4 defaults 0 2
	END
    put /etc/mdadm/mdadm.conf <<-END
	HOMEHOST <system>
	MAILADDR root
	ARRAY /dev/md/0 metadata=1.2 UUID=$root_array name=$hostname:0
	ARRAY /dev/md/1 metadata=1.2 UUID=$boot_array name=$hostname:1
	END
    initramfs_tools ena ext4 xfs nvme xen-blkfront xen-netfront raid1
    grub_default
}

assemble() {
    local disk
    truncate -s "$disk_bytes" "${image%.raw}-data.raw"
    for disk in "$image" "${image%.raw}-data.raw"; do
        sfdisk -q "$disk" <<-END
	label: dos
	label-id: $([[ $disk == "$image" ]] && echo 0x5ec2b107 || echo 0x5ec2b108)
	start=$((mib / 512)), size=$((256 * mib / 512)), type=fd, bootable
	start=$((257 * mib / 512)), type=fd
	END
    done
    assemble_in_vm "disk=$image" "data=${image%.raw}-data.raw"
}

in_vm() {
    local name
    modprobe -a md_mod raid1
    # Both sides are zeros, so they are the same.
    mdadm --create /dev/md1 --run --assume-clean --level 1 --raid-devices 2 --metadata 1.2 --bitmap internal --data-offset 1M \
        --homehost ip-10-0-1-23 --name 1 --uuid "$boot_array" "$(part disk 1)" "$(part data 1)"
    mdadm --create /dev/md0 --run --assume-clean --level 1 --raid-devices 2 --metadata 1.2 --bitmap internal --data-offset 1M \
        --homehost ip-10-0-1-23 --name 0 --uuid "$root_array" "$(part disk 2)" "$(part data 2)"
    mkfs.ext4 -q -U "$boot_uuid" /dev/md1
    mkfs.xfs -q -m "uuid=$root_uuid" /dev/md0
    mount /dev/md0 /target
    mkdir /target/boot
    mount /dev/md1 /target/boot
    unpack
    for name in disk data; do in_target grub-install --target=i386-pc "$(readlink -f "/dev/disk/$name")"; done
    in_target grub-mkconfig -o /boot/grub/grub.cfg
    umount -R /target
    mdadm --stop /dev/md0 /dev/md1
}

layers() {
    modprobe -a md_mod raid1
    mdadm --examine "$(part disk 2)" "$(part data 2)" | grep -E 'State :|Events' >&2
    mdadm --assemble /dev/md0 "$(part disk 2)" "$(part data 2)" >&2
    mdadm --assemble /dev/md1 "$(part disk 1)" "$(part data 1)" >&2
    echo "xfs /dev/md0"
    echo "ext4 /dev/md1"
}
