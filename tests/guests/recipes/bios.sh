# shellcheck shell=bash disable=SC2034,SC2154  # what build-debian.sh gives and takes
# MBR; ext4; GRUB in the boot sector and the gap; initramfs-tools; a static address by ifupdown; all that EC2 leaves in
# a guest.

firmware=bios
root_uuid=5f1c0c1e-6d3a-4b0e-9b57-2f6c5d0c7a11
kernel_root=/dev/nvme0n1p1

configure() {
    add_ec2_marks
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
	# /etc/fstab: static file system information
	/dev/xvda1 / ext4 rw,discard,errors=remount-ro 0 1
	END
    initramfs_tools ena ext4 nvme xen-blkfront xen-netfront
    grub_cfg ext2 msdos
}

assemble() {
    local start=$mib
    copy_grub_modules i386-pc
    sfdisk -q "$image" <<-END
	label: dos
	label-id: 0x5ec2b105
	start=$((start / 512)), size=$(((disk_bytes - start) / 512)), type=83, bootable
	END
    bios_grub '(hd0,msdos1)/boot/grub' biosdisk part_msdos ext2
    make_ext4 "$root" "$root_uuid" "$image" "$start" $((disk_bytes - start))
}

file_systems() { # IMAGE.raw: kind, file, offset, and length where the checker needs a file of its own
    echo "ext4 $1 $mib"
}
