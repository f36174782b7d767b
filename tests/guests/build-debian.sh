#!/usr/bin/env bash
# Builds a real Debian 12 guest of 2 GiB as EC2 would export it: device names of EC2 in fstab and on the kernel
# line, network pinned to EC2's interface, EC2's agents, and an initramfs that holds EC2's storage drivers only.
# Needs root (debootstrap, chroot), but neither mounts nor loop devices nor qemu. The output is sparse.
#
#   build-debian.sh {bios|uefi} OUT.raw
#
# bios: MBR, root = partition 1 at 1 MiB, GRUB in the boot sector and the gap.
# uefi: GPT, root = partition 1, ESP = partition 15 at 1 MiB, GRUB as \EFI\BOOT\BOOTX64.EFI.
# The bootstrapped system is kept in $REHOME_GUESTS (default: target/guests) and shared by both.
set -euo pipefail

suite=bookworm
include=(e2fsprogs grub2-common initramfs-tools iproute2 kmod linux-image-amd64 nano netbase systemd-sysv udev zstd)

disk_bytes=$((2 << 30))
mib=1048576
root_uuid=5f1c0c1e-6d3a-4b0e-9b57-2f6c5d0c7a11
esp_id=8A3C51D7
hostname=ip-10-0-1-23
mac=06:3f:9a:52:c4:1d

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${REHOME_GUESTS:-$here/../../target/guests}

# The archive this machine itself installs from; none: debootstrap's own choice.
archive_of_this_machine() {
    # shellcheck disable=SC2016  # apt-get expands these
    apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' | sed -n "s/^$suite main //p" | sed -n 1p
}

# The bare system with kernel, without initramfs: made once, kept as an archive named by what it was made from.
bootstrap() {
    local key archive work
    key=$(echo "2 $suite ${include[*]}" | sha256sum | cut -c 1-12)
    bootstrap_archive=$cache/debian-$suite-$key.tar.zst
    exec 9>"$cache/bootstrap.lock"
    flock 9
    if [[ ! -e $bootstrap_archive ]]; then
        archive=$(archive_of_this_machine)
        work=$(mktemp -d "$cache/bootstrap.XXXXXX")
        scratch+=("$work")
        # INITRD=No keeps the kernel's installation from making an initramfs with every driver.
        INITRD=No debootstrap --variant=minbase --include="$(IFS=, && echo "${include[*]}")" \
            "$suite" "$work" ${archive:+"$archive"} >"$cache/bootstrap.log" 2>&1 ||
            { tail -n 20 "$cache/bootstrap.log" >&2; exit 1; }
        rm -rf "$work"/var/cache/apt/* "$work"/var/lib/apt/lists/* "$work"/usr/share/{doc,locale,man}/*
        tar -C "$work" --xattrs -I 'zstd -1 -T0' -cf "$bootstrap_archive.partial" .
        mv "$bootstrap_archive.partial" "$bootstrap_archive"
        rm -rf "$work"
    fi
    exec 9>&-
}

put() { # PATH: writes standard input to that file of the guest
    mkdir -p "$root$(dirname "$1")"
    cat >"$root$1"
}

# What an instance carries that was launched from a cloud image and lived on EC2.
add_ec2_marks() {
    echo "$hostname" | put /etc/hostname
    echo ec2f0c3b7a5d4e1f9a8b7c6d5e4f3a2b | put /etc/machine-id
    printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$hostname" | put /etc/hosts
    echo 'datasource_list: [ Ec2 ]' | put /etc/cloud/cloud.cfg.d/90_dpkg.cfg
    put /etc/cloud/cloud.cfg <<-'END'
	disable_root: true
	preserve_hostname: false
	cloud_init_modules:
	 - seed_random
	 - growpart
	 - resizefs
	 - set_hostname
	system_info:
	  distro: debian
	END
    put /etc/netplan/50-cloud-init.yaml <<-END
	# This file is generated from information provided by the datasource.
	network:
	    version: 2
	    ethernets:
	        ens5:
	            dhcp4: true
	            match:
	                macaddress: $mac
	            set-name: ens5
	END
    put /etc/network/interfaces <<-'END'
	auto lo
	iface lo inet loopback
	END
    put /etc/udev/rules.d/70-persistent-net.rules <<-END
	SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="$mac", NAME="ens5"
	END
    # The names that fstab uses exist on EC2's NVMe instances through such a rule of amazon-ec2-utils.
    put /usr/lib/udev/rules.d/51-ec2-xvda.rules <<-'END'
	KERNEL=="nvme0n1", ENV{DEVTYPE}=="disk", SYMLINK+="xvda"
	KERNEL=="nvme0n1p*", ENV{DEVTYPE}=="partition", SYMLINK+="xvda%n"
	END
    put /lib/systemd/system/amazon-ssm-agent.service <<-'END'
	[Unit]
	Description=amazon-ssm-agent
	After=network-online.target

	[Service]
	Type=simple
	WorkingDirectory=/usr/bin/
	ExecStart=/usr/bin/amazon-ssm-agent
	KillMode=process
	Restart=on-failure
	RestartSec=15min

	[Install]
	WantedBy=multi-user.target
	END
    printf '#!/bin/sh\nexec sleep infinity\n' | put /usr/bin/amazon-ssm-agent
    chmod 755 "$root/usr/bin/amazon-ssm-agent"
    mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
    ln -s /lib/systemd/system/amazon-ssm-agent.service "$root/etc/systemd/system/multi-user.target.wants/"
}

# A root password, and nothing that only costs time when the boot is emulated.
make_it_quick_to_boot() {
    local unit
    chroot "$root" chpasswd <<<root:rehome
    for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
        fstrim.timer getty-static.service systemd-pstore.service systemd-journal-flush.service; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    printf '[Journal]\nStorage=volatile\n' | put /etc/systemd/journald.conf.d/volatile.conf
}

write_fstab() {
    {
        echo '# /etc/fstab: static file system information'
        echo '/dev/xvda1 / ext4 rw,discard,errors=remount-ro 0 1'
        if [[ $firmware == uefi ]]; then echo '/dev/xvda15 /boot/efi vfat umask=0077,nofail 0 1'; fi
    } | put /etc/fstab
    if [[ $firmware == uefi ]]; then mkdir -p "$root/boot/efi"; fi
}

# What `MODULES=dep` gives on an EC2 instance, said openly: nothing of any other hypervisor.
make_initramfs() {
    echo MODULES=list | put /etc/initramfs-tools/conf.d/ec2
    printf '%s\n' ena ext4 nvme xen-blkfront xen-netfront | put /etc/initramfs-tools/modules
    kernel=$(basename "$root"/boot/vmlinuz-*)
    kernel=${kernel#vmlinuz-}
    chroot "$root" update-initramfs -c -k "$kernel" >"$work/initramfs.log" 2>&1 || { cat "$work/initramfs.log" >&2; exit 1; }
}

# Debian's own grub-mkconfig writes grub.cfg. What it would ask the disk, which is not there yet, is answered here.
write_grub_cfg() {
    local partmap=msdos
    if [[ $firmware == uefi ]]; then partmap=gpt; fi
    put /etc/default/grub <<-'END'
	GRUB_DEFAULT=0
	GRUB_TIMEOUT=0
	GRUB_DISTRIBUTOR=`lsb_release -i -s 2> /dev/null || echo Debian`
	GRUB_CMDLINE_LINUX_DEFAULT="quiet"
	GRUB_CMDLINE_LINUX="root=/dev/nvme0n1p1 console=tty0 console=ttyS0,115200n8 nvme_core.io_timeout=4294967295"
	GRUB_TERMINAL="console serial"
	GRUB_SERIAL_COMMAND="serial --speed=115200"
	GRUB_DISABLE_OS_PROBER=true
	END
    mv "$root/usr/sbin/grub-probe" "$work/grub-probe"
    put /usr/sbin/grub-probe <<-END
	#!/bin/sh
	case "\$*" in
	*fs_uuid*) echo $root_uuid ;;
	*partmap*) echo $partmap ;;
	*compatibility_hint*) echo hd0,${partmap}1 ;;
	*hints_string*) echo --hint-bios=hd0,${partmap}1 --hint-efi=hd0,${partmap}1 ;;
	*abstraction*) ;;
	*"-t fs "* | *=fs) echo ext2 ;;
	*=device*) echo /dev/nvme0n1p1 ;;
	*) exit 1 ;;
	esac
	END
    chmod 755 "$root/usr/sbin/grub-probe"
    mkdir -p "$root/boot/grub"
    chroot "$root" grub-mkconfig -o /boot/grub/grub.cfg >"$work/grub.log" 2>&1 || { cat "$work/grub.log" >&2; exit 1; }
    mv "$work/grub-probe" "$root/usr/sbin/grub-probe"
}

copy_grub_modules() { # PLATFORM
    mkdir -p "$root/boot/grub/$1"
    cp /usr/lib/grub/"$1"/*.{mod,lst} "$root/boot/grub/$1/"
}

make_root_fs() { # OFFSET BYTES: ext4 as Debian 12 makes it, filled from the folder without mounting
    mkfs.ext4 -q -F -U "$root_uuid" -O '^metadata_csum_seed,^orphan_file' -d "$root" \
        -E "offset=$1" "$image" "$(($2 / 1024))k"
}

assemble_bios() {
    local start=$mib
    copy_grub_modules i386-pc
    grub-mkimage -O i386-pc -p '(hd0,msdos1)/boot/grub' -o "$work/core.img" biosdisk part_msdos ext2
    sfdisk -q "$image" <<-END
	label: dos
	label-id: 0x5ec2b105
	start=$((start / 512)), size=$(((disk_bytes - start) / 512)), type=83, bootable
	END
    # The defaults of both fit this place: boot.img loads sector 1, grub-mkimage has written core.img's length.
    dd if=/usr/lib/grub/i386-pc/boot.img of="$image" bs=440 count=1 conv=notrunc status=none
    dd if="$work/core.img" of="$image" bs=512 seek=1 conv=notrunc status=none
    make_root_fs "$start" $((disk_bytes - start))
}

assemble_uefi() {
    local esp_start=$mib esp_bytes=$((127 * mib)) start=$((128 * mib)) bytes
    bytes=$((disk_bytes - start - mib))
    copy_grub_modules x86_64-efi
    grub-mkimage -O x86_64-efi -p /EFI/debian -o "$work/BOOTX64.EFI" \
        part_gpt part_msdos fat ext2 search search_fs_uuid normal configfile linux echo test all_video
    sfdisk -q "$image" <<-END
	label: gpt
	label-id: 2A2D9B9C-3F0E-4C5B-8F3E-5EC20000EF01
	${image}1 : start=$((start / 512)), size=$((bytes / 512)), type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709
	${image}15 : start=$((esp_start / 512)), size=$((esp_bytes / 512)), type=uefi
	END
    truncate -s "$esp_bytes" "$work/esp"
    mkfs.fat -F 32 -i "$esp_id" "$work/esp" >/dev/null
    printf '%s\n' "search.fs_uuid $root_uuid root" "set prefix=(\$root)'/boot/grub'" "configfile \$prefix/grub.cfg" >"$work/grub.cfg"
    mmd -i "$work/esp" ::/EFI ::/EFI/BOOT ::/EFI/debian
    mcopy -i "$work/esp" "$work/BOOTX64.EFI" ::/EFI/BOOT/BOOTX64.EFI
    mcopy -i "$work/esp" "$work/grub.cfg" ::/EFI/debian/grub.cfg
    dd if="$work/esp" of="$image" bs=1M seek=$((esp_start / mib)) conv=notrunc,sparse status=none
    make_root_fs "$start" "$bytes"
}

main() {
    [[ $# -eq 2 && $1 =~ ^(bios|uefi)$ ]] || { echo "usage: ${0##*/} {bios|uefi} OUT.raw" >&2; exit 2; }
    [[ $EUID -eq 0 ]] || { echo "${0##*/}: needs root for debootstrap and chroot" >&2; exit 77; }
    firmware=$1
    scratch=()
    trap 'rm -rf "${scratch[@]}"' EXIT
    export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
    umask 022
    mkdir -p "$cache"
    bootstrap

    work=$(mktemp -d "$cache/guest-$firmware.XXXXXX")
    scratch+=("$work")
    root=$work/root
    image=$work/disk.raw
    mkdir "$root"
    tar -C "$root" --xattrs -xf "$bootstrap_archive"
    add_ec2_marks
    make_it_quick_to_boot
    write_fstab
    make_initramfs
    write_grub_cfg
    truncate -s "$disk_bytes" "$image"
    "assemble_$firmware"
    mv -f "$image" "$2"
}

main "$@"
