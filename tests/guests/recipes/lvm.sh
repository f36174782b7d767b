# shellcheck shell=bash disable=SC2034,SC2154  # what build-debian.sh gives and takes
# Two disks, MBR; /boot on a partition; root and /usr on linear volumes, /var on a striped one of LVM; initramfs-tools;
# LVM's list of devices, which knows EC2's only; a static address by NetworkManager.

firmware=bios
root_uuid=8c4f3f41-906d-4e31-8e8a-528f803fad44
boot_uuid=9d504052-a17e-4f42-9f9b-639091400e55
usr_uuid=ae615163-b28f-4053-80ac-74a1a2511f66
var_uuid=bf726274-c390-4164-91bd-85b2b3622077
kernel_root=/dev/mapper/debian-root
data_bytes=$((1 << 30))

configure() {
    put /etc/NetworkManager/system-connections/ens5.nmconnection <<-END
	[connection]
	id=ens5
	uuid=0d8f1c6e-5a51-4c1e-9a53-8d2f0f7a2a01
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
    put /etc/fstab <<-'END'
	# /etc/fstab: static file system information
	/dev/mapper/debian-root / ext4 errors=remount-ro 0 1
	/dev/debian/usr /usr ext4 defaults 0 2
	/dev/mapper/debian-var /var ext4 defaults 0 2
	/dev/nvme0n1p1 /boot ext4 defaults 0 2
	END
    # Devices are known by the serial numbers of EC2's volumes.
    put /etc/lvm/lvmlocal.conf <<-'END'
	devices {
	    use_devicesfile = 1
	}
	END
    put /etc/lvm/devices/system.devices <<-END
	VERSION=1.1.1
	IDTYPE=sys_wwid IDNAME=$(nvme_wwid 0) DEVNAME=/dev/nvme0n1p2 PVID=$(tr -d - <<<"${pv_uuids[0]}") PART=2
	IDTYPE=sys_wwid IDNAME=$(nvme_wwid 1) DEVNAME=/dev/nvme1n1 PVID=$(tr -d - <<<"${pv_uuids[1]}")
	END
    initramfs_tools ena ext4 nvme xen-blkfront xen-netfront dm-mod
    grub_cfg ext2 msdos
    # grub-mkconfig sees no file system of its own in /boot yet.
    sed -i -E 's#/boot/(vmlinuz|initrd)#/\1#' "$root/boot/grub/grub.cfg"
}

pv_uuids=(Aa1111-bbbb-cccc-dddd-eeee-ffff-gggg01 Aa1111-bbbb-cccc-dddd-eeee-ffff-gggg02)

lvm_tool() { # COMMAND ARGUMENT...: on the two loop devices only, without a device mapper
    local name=$1
    shift
    "$name" --driverloaded n --config "devices{filter=[\"a|^${loops[0]}\$|\",\"a|^${loops[1]}\$|\",\"r|.*|\"] use_devicesfile=0
        obtain_device_list_from_udev=0 external_device_info_source=\"none\"} activation{udev_sync=0 udev_rules=0 monitoring=0}
        global{locking_dir=\"$work/lock\" use_lvmpolld=0 notify_dbus=0 event_activation=0} backup{backup=0 archive=0}" "$@" \
        >>"$work/lvm.log" 2>&1 || { cat "$work/lvm.log" >&2; return 1; }
}

move_to() { # FOLDER PART: takes a folder of the root out, to become a file system of its own
    mkdir "$2"
    mv "$root$1"/* "$2/"
}

assemble() {
    local pv_start=$((257 * mib)) extent=$((4 * mib)) data
    data=${image%.raw}-data.raw
    copy_grub_modules i386-pc
    truncate -s "$data_bytes" "$data"
    sfdisk -q "$image" <<-END
	label: dos
	label-id: 0x5ec2b106
	start=$((mib / 512)), size=$((256 * mib / 512)), type=83, bootable
	start=$((pv_start / 512)), size=$(((disk_bytes - pv_start) / 512)), type=8e
	END
    bios_grub '(hd0,msdos1)/grub' biosdisk part_msdos ext2
    for part in boot usr var; do move_to "/$part" "$work/$part"; done
    make_ext4 "$work/boot" "$boot_uuid" "$image" "$mib" $((256 * mib))

    loops=("$(losetup --find --show --offset $pv_start "$image")" "$(losetup --find --show "$data")")
    attached+=("${loops[@]}")
    for i in 0 1; do lvm_tool pvcreate -ff -y --norestorefile --uuid "${pv_uuids[i]}" "${loops[i]}"; done
    lvm_tool vgcreate debian "${loops[@]}"
    lvm_tool lvcreate -an -Zn -Wn -y -n root -L 256M debian "${loops[0]}"
    lvm_tool lvcreate -an -Zn -Wn -y -n usr -L 1280M debian "${loops[0]}"
    lvm_tool lvcreate -an -Zn -Wn -y -n var -L 256M -i 2 -I 64k debian "${loops[@]}"
    # By default a physical volume's extents begin at 1 MiB; these are laid out one after the other.
    make_ext4 "$root" "$root_uuid" "$image" $((pv_start + mib)) $((256 * mib))
    make_ext4 "$work/usr" "$usr_uuid" "$image" $((pv_start + mib + 64 * extent)) $((1280 * mib))
    make_ext4 "$work/var" "$var_uuid" "$work/var.img" 0 $((256 * mib))
    stripe "$work/var.img" "$image" $((pv_start + mib + 384 * extent)) "$data" "$mib"
    for i in 0 1; do losetup -d "${loops[i]}"; done
}

stripe() { # FILE FIRST OFFSET SECOND OFFSET: 64 KiB to each in turn
    python3 - "$@" <<-'END'
	import sys
	source, first, at, second, other = sys.argv[1:]
	whole = open(source, "rb").read()
	for name, offset, turn in ((first, int(at), 0), (second, int(other), 1)):
	    with open(name, "r+b") as target:
	        target.seek(offset)
	        target.write(b"".join(whole[i : i + 65536] for i in range(turn * 65536, len(whole), 131072)))
	END
}

gather() { # FIRST OFFSET SECOND OFFSET FILE: the striped volume of 256 MiB
    python3 - "$@" <<-'END'
	import sys
	first, at, second, other, target = sys.argv[1:]
	halves = []
	for name, offset in ((first, int(at)), (second, int(other))):
	    with open(name, "rb") as half:
	        half.seek(offset)
	        halves.append(half.read(128 << 20))
	with open(target, "wb") as whole:
	    for i in range(0, 128 << 20, 65536):
	        whole.write(halves[0][i : i + 65536] + halves[1][i : i + 65536])
	END
}

file_systems() { # IMAGE.raw DATA.raw
    local pv_start=$((257 * mib)) extent=$((4 * mib))
    echo "ext4 $1 $mib"
    echo "ext4 $1 $((pv_start + mib))"
    echo "ext4 $1 $((pv_start + mib + 64 * extent))"
    gather "$1" $((pv_start + mib + 384 * extent)) "$2" "$mib" "$1.var"
    echo "ext4 $1.var 0"
}
