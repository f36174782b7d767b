# shellcheck shell=bash disable=SC2034,SC2154  # what build-debian.sh gives and takes
# GPT with an EFI system partition; XFS, which is edited in place only; an initramfs by dracut for this host only, which
# knows the root by EC2's name; a static address by systemd-networkd, bound to the hardware address.

firmware=uefi
root_uuid=7b3e2e30-8f5c-4d20-9d79-417e7f2e9c33
kernel_root=/dev/nvme0n1p1

configure() {
    put /etc/systemd/network/10-ens5.network <<-END
	[Match]
	MACAddress=$mac

	[Network]
	Address=$address
	Gateway=$gateway
	END
    put /etc/systemd/network/10-ens5.link <<-END
	[Match]
	MACAddress=$mac

	[Link]
	Name=ens5
	END
    chroot "$root" systemctl -q enable systemd-networkd
    put /etc/fstab <<-'END'
	# /etc/fstab: static file system information
	/dev/nvme0n1p1 / xfs defaults 0 0
	/dev/nvme0n1p15 /boot/efi vfat umask=0077 0 2
	END
    mkdir -p "$root/boot/efi"
    dracut_hostonly xfs "root=$kernel_root rootfstype=xfs"
    grub_cfg xfs gpt
}

# The kernel of this machine writes it; nothing else makes an XFS with files in it.
assemble() {
    local start=$((128 * mib)) bytes mounted=$work/mounted
    bytes=$((disk_bytes - start - mib))
    copy_grub_modules x86_64-efi
    gpt_with_esp 2A2D9B9C-3F0E-4C5B-8F3E-5EC20000EF03 "$start" "$bytes" xfs
    truncate -s "$bytes" "$work/xfs"
    mkfs.xfs -q -m "uuid=$root_uuid" "$work/xfs"
    mkdir "$mounted"
    mount -o loop "$work/xfs" "$mounted"
    mounts+=("$mounted")
    cp -a "$root/." "$mounted/"
    umount "$mounted"
    dd if="$work/xfs" of="$image" bs=1M seek=$((start / mib)) conv=notrunc,sparse status=none
    rm "$work/xfs"
}

file_systems() { # IMAGE.raw: kind, file, offset, and length where the checker needs a file of its own
    echo "xfs $1 $((128 * mib)) $((disk_bytes - 129 * mib))"
    echo "fat $1 $mib $((127 * mib))"
}
