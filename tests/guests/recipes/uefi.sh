# shellcheck shell=bash disable=SC2034,SC2154  # what build-debian.sh gives and takes
# GPT with an EFI system partition; ext4; initramfs-tools; a static address by netplan and systemd-networkd.

firmware=uefi
root_uuid=6a2d1d2f-7e4b-4c1f-8c68-306d6e1d8b22
kernel_root=/dev/nvme0n1p1

configure() {
    add_ec2_marks
    put /etc/netplan/60-static.yaml <<-END
	network:
	    version: 2
	    ethernets:
	        ens5:
	            match:
	                macaddress: $mac
	            set-name: ens5
	            addresses: [$address]
	            routes:
	              - to: default
	                via: $gateway
	END
    chmod 600 "$root/etc/netplan/60-static.yaml"
    chroot "$root" systemctl -q enable systemd-networkd
    put /etc/fstab <<-'END'
	# /etc/fstab: static file system information
	/dev/xvda1 / ext4 rw,discard,errors=remount-ro 0 1
	/dev/xvda15 /boot/efi vfat umask=0077 0 1
	END
    mkdir -p "$root/boot/efi"
    initramfs_tools ena ext4 nvme xen-blkfront xen-netfront
    grub_cfg ext2 gpt
}

assemble() {
    local start=$((128 * mib)) bytes
    bytes=$((disk_bytes - start - mib))
    copy_grub_modules x86_64-efi
    gpt_with_esp 2A2D9B9C-3F0E-4C5B-8F3E-5EC20000EF01 "$start" "$bytes" ext2
    make_ext4 "$root" "$root_uuid" "$image" "$start" "$bytes"
}

file_systems() { # IMAGE.raw: kind, file, offset, and length where the checker needs a file of its own
    echo "ext4 $1 $((128 * mib))"
    echo "fat $1 $mib $((127 * mib))"
}
