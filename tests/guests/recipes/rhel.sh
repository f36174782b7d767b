# shellcheck shell=bash disable=SC2034,SC2154  # what build-debian.sh gives and takes
# As Red Hat's installer lays a machine out: GPT with an EFI system partition; /boot a partition with XFS; root (XFS) and
# swap on LVM; dracut for this host only, which is told the volumes; boot loader entries; LVM's list of devices, which
# knows EC2's only; a static address by NetworkManager, bound to the hardware address.

firmware=uefi
root_uuid=1d9a7c44-3c55-4be0-8d6f-90a1c02be511
boot_uuid=2e8b8d55-4d66-4cf1-9e70-a1b2d13cf622
kernel_root=/dev/mapper/rhel-root
kernel_words='resume=/dev/mapper/rhel-swap rd.lvm.lv=rhel/root rd.lvm.lv=rhel/swap rd.retry=20'
boot_offset=$((64 << 20))
pv_uuid=Rh1111-bbbb-cccc-dddd-eeee-ffff-gggg01
include+=("${layers[@]}")

configure() {
    add_ec2_marks
    put /etc/NetworkManager/system-connections/ens5.nmconnection <<-END
	[connection]
	id=ens5
	uuid=0d8f1c6e-5a51-4c1e-9a53-8d2f0f7a2a02
	type=ethernet
	interface-name=ens5

	[ethernet]
	mac-address=${mac^^}

	[ipv4]
	method=manual
	address1=$address,$gateway

	[ipv6]
	method=disabled
	END
    chmod 600 "$root/etc/NetworkManager/system-connections/ens5.nmconnection"
    put /etc/udev/rules.d/70-persistent-net.rules <<-END
	SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="$mac", NAME="ens5"
	END
    chroot "$root" systemctl -q enable NetworkManager
    put /etc/fstab <<-END
	/dev/mapper/rhel-root / xfs defaults 0 0
	UUID=$boot_uuid /boot xfs defaults 0 0
	UUID=${esp_id:0:4}-${esp_id:4} /boot/efi vfat umask=0077,shortname=winnt 0 2
	/dev/mapper/rhel-swap none swap defaults 0 0
	END
    mkdir -p "$root/boot/efi"
    put /etc/lvm/lvmlocal.conf <<-'END'
	devices {
	    use_devicesfile = 1
	}
	END
    put /etc/lvm/devices/system.devices <<-END
	VERSION=1.1.1
	IDTYPE=sys_wwid IDNAME=$(nvme_wwid 0) DEVNAME=/dev/nvme0n1p3 PVID=$(tr -d - <<<"$pv_uuid") PART=3
	END
    dracut_hostonly xfs "root=$kernel_root rootfstype=xfs $kernel_words" lvm dm_mod
    grub_default "$kernel_words"
    put "/boot/loader/entries/ec2f0c3b7a5d4e1f9a8b7c6d5e4f3a2b-$(kernel_version).conf" <<-END
	title Debian GNU/Linux ($(kernel_version)) 12 (bookworm)
	version $(kernel_version)
	linux /vmlinuz-$(kernel_version)
	initrd /initrd.img-$(kernel_version)
	options root=$kernel_root ro $kernel_words console=tty0 console=ttyS0,115200n8 nvme_core.io_timeout=4294967295
	grub_users \$grub_users
	grub_arg --unrestricted
	grub_class debian
	END
}

assemble() {
    sfdisk -q "$image" <<-END
	label: gpt
	label-id: 2A2D9B9C-3F0E-4C5B-8F3E-5EC20000EF04
	start=2048, size=$((63 * mib / 512)), type=uefi, name="EFI System Partition"
	start=$((64 * mib / 512)), size=$((320 * mib / 512)), type=linux
	start=$((384 * mib / 512)), type=lvm
	END
    assemble_in_vm "disk=$image"
}

in_vm() {
    local lvm
    lvm=$(part disk 3)
    pvcreate -q -ff -y --norestorefile --uuid "$pv_uuid" "$lvm"
    vgcreate -q rhel "$lvm"
    lvcreate -q -y -n swap -L 128M rhel
    lvcreate -q -y -n root -l 100%FREE rhel
    mkswap /dev/mapper/rhel-swap
    mkfs.fat -F 32 -i 8A3C51D7 "$(part disk 1)"
    mkfs.xfs -q -m "uuid=$boot_uuid" "$(part disk 2)"
    mkfs.xfs -q -m "uuid=$root_uuid" /dev/mapper/rhel-root
    mount /dev/mapper/rhel-root /target
    mkdir /target/boot
    mount "$(part disk 2)" /target/boot
    mkdir /target/boot/efi
    mount "$(part disk 1)" /target/boot/efi
    unpack
    in_target grub-install --target=x86_64-efi --efi-directory=/boot/efi --removable --no-nvram
    in_target grub-mkconfig -o /boot/grub/grub.cfg
    umount -R /target
    vgchange -q -an rhel
}

layers() {
    vgchange -q -ay rhel >&2
    echo "xfs /dev/mapper/rhel-root"
    echo "xfs $(part disk 2)"
    echo "fat $(part disk 1)"
}
