#!/usr/bin/env bash
# Makes samples/ec2-debian.vmdk: a Debian guest as EC2 exports it, built from nothing but what is written here.
# It has everything that rehome looks at and nothing that runs: kernels and modules are a few bytes of our own.
# Needs no root, no mounts, no network. The disk inside is the same byte for byte at every run (same versions of
# the tools); the VMDK around it is not, because qemu-img gives each a content id of its own.
#
#   make-ec2-debian.sh [OUT.vmdk]
set -euo pipefail

disk_mib=1024                    # the smallest volume that EBS sells
root_uuid=0b7c0f4e-52c1-4d0a-9a55-ec2de61a0001
hash_seed=0b7c0f4e-52c1-4d0a-9a55-ec2de61a0002
disk_id=0x5ec2de61
mac=06:5a:3e:91:c0:de
hostname=ip-10-20-0-15
now=1767225600                   # 2026-01-01T00:00:00Z

kernel_new=6.12.57+deb12-amd64   # from backports: its image made by dracut, modules compressed
kernel_old=6.1.0-42-amd64        # of the release: its image made by initramfs-tools, modules plain

put() { # PATH [MODE]: writes standard input to that file of the guest
    install -D -m "${2:-644}" /dev/stdin "$root$1"
}

# ---- what stands in for programs and modules -------------------------------------------------------------------

# An x86-64 program that ends at once: /bin/sh and kmod, so that the guest has an architecture.
make_program() { # OUT
    # shellcheck disable=SC2016  # the dollar is the assembler's
    printf '.globl _start\n_start: mov $60,%%eax\n xor %%edi,%%edi\n syscall\n' | as --64 -o "$work/program.o" -
    ld -m elf_x86_64 -s -n --build-id=none -o "$1" "$work/program.o"
}

# A relocatable object as depmod reads it: its aliases in .modinfo, an exported symbol in __ksymtab_strings, and an
# undefined symbol for each module that it needs.
make_module() { # OUT VERSION ALIAS,... DEPENDENCY,...
    local name word
    name=$(basename "$1" .ko)
    {
        echo '.section .modinfo,"a"'
        echo ".asciz \"license=MIT\"; .asciz \"description=sample without code\"; .asciz \"name=${name//-/_}\""
        echo ".asciz \"vermagic=$2 SMP preempt mod_unload modversions\"; .asciz \"depends=${4//-/_}\""
        for word in ${3//,/ }; do echo ".asciz \"alias=$word\""; done
        echo ".section __ksymtab_strings,\"a\"; .asciz \"${name//-/_}_sample\""
        echo '.data'
        for word in ${4//,/ }; do echo ".quad ${word//-/_}_sample"; done
    } | as --64 -o "$1" -
}

# Folder below kernel/, file, aliases, dependencies. The names, aliases and dependencies are those of Debian's kernels.
modules() {
    sed 's/ *| */|/g; /^#/d' <<'END'
# the disk and the network of Nitro and of Xen instances
drivers/nvme/host       | nvme             | pci:v*d*sv*sd*bc01sc08i02*             | nvme-core
drivers/nvme/host       | nvme-core        |                                        |
drivers/net/ethernet/amazon/ena | ena      | pci:v00001D0Fd0000EC20sv*sd*bc*sc*i*   |
drivers/block           | xen-blkfront     | xen:vbd                                |
drivers/net             | xen-netfront     | xen:vif                                |
# the root file system
fs/ext4                 | ext4             | fs-ext4                                | mbcache,jbd2,crc16
fs                      | mbcache          |                                        |
fs/jbd2                 | jbd2             |                                        |
lib                     | crc16            |                                        |
# disks behind SCSI and ATA
drivers/scsi            | scsi_common      |                                        |
drivers/scsi            | scsi_mod         |                                        | scsi_common
drivers/scsi            | sd_mod           | scsi:t-0x00*                           | scsi_mod,scsi_common
drivers/scsi            | scsi_transport_fc|                                        | scsi_mod
drivers/ata             | libata           |                                        | scsi_mod,scsi_common
drivers/ata             | ata_generic      |                                        | libata
drivers/ata             | ata_piix         | pci:v00008086d00007111sv*sd*bc*sc*i*   | libata
# Hyper-V
drivers/hv              | hv_vmbus         | acpi*:VMBUS:*,acpi*:VMBus:*            |
drivers/scsi            | hv_storvsc       | vmbus:d96361baa104294db60572e2ffb1dc7f,vmbus:32264132cb86a2449b5c50d1417354f5 | hv_vmbus,scsi_mod,scsi_common,scsi_transport_fc
drivers/net/hyperv      | hv_netvsc        | vmbus:635161f83edfc546913ff2d2f965ed0e | hv_vmbus
drivers/input/serio     | serio            |                                        |
drivers/input/serio     | hyperv-keyboard  | vmbus:6dad12f9172bea48bd65f927a61c7684 | hv_vmbus,serio
drivers/hid             | hid              |                                        |
drivers/hid             | hid-hyperv       | vmbus:9eb6a8cf4a5bc04cb98b8ba1a1f3f95a | hv_vmbus,hid
drivers/gpu/drm/hyperv  | hyperv_drm       | vmbus:02780ada77e3ac4a8e770558eb1073f8 | hv_vmbus
drivers/video/fbdev     | hyperv_fb        | vmbus:02780ada77e3ac4a8e770558eb1073f8 | hv_vmbus
drivers/pci/controller  | pci-hyperv       | vmbus:1df6c444444400449d52802e27ede19f | hv_vmbus
END
}

# What both makers put into an image on an EC2 instance when they may choose: no driver of any other hypervisor.
on_ec2=(nvme nvme-core ena xen-blkfront xen-netfront ext4 mbcache jbd2 crc16)

add_kernel() { # VERSION ko|ko.xz
    local version=$1 suffix=$2 folder name aliases needs tree
    tree=$root/lib/modules/$version
    mkdir -p "$tree"
    while IFS='|' read -r folder name aliases needs; do
        mkdir -p "$tree/kernel/$folder"
        make_module "$tree/kernel/$folder/$name.ko" "$version" "$aliases" "$needs"
        if [[ $suffix == ko.xz ]]; then xz --check=crc32 "$tree/kernel/$folder/$name.ko"; fi
        echo "kernel/$folder/$name.$suffix" >>"$tree/modules.order"
    done < <(modules)
    printf '%s\n' kernel/drivers/tty/serial/8250/8250.ko kernel/drivers/acpi/button.ko >"$tree/modules.builtin"
    printf '%s\0' 8250.license=GPL button.license=GPL 'button.alias=acpi*:PNP0C0C:*' >"$tree/modules.builtin.modinfo"
    depmod -b "$root" "$version"
    echo "rehome sample: a kernel $version would be here" | put "/boot/vmlinuz-$version"
    echo 'CONFIG_HYPERV=m' | put "/boot/config-$version"
}

# ---- the two kinds of initramfs ----------------------------------------------------------------------------------

# The parts that are alike in both: programs, and EC2's modules with their indexes.
start_initramfs() { # TREE VERSION
    local name file
    mkdir -p "$1"/{dev,proc,run,sys,usr/bin,usr/sbin,"usr/lib/modules/$2"}
    ln -s usr/bin "$1/bin"
    ln -s usr/sbin "$1/sbin"
    ln -s usr/lib "$1/lib"
    install -m 755 "$work/program" "$1/usr/bin/kmod"
    ln -s ../bin/kmod "$1/usr/sbin/modprobe"
    for name in "${on_ec2[@]}"; do
        file=$(cd "$root/lib/modules/$2" && find kernel -name "$name.ko*")
        install -D -m 644 "$root/lib/modules/$2/$file" "$1/usr/lib/modules/$2/$file"
    done
    cp "$root/lib/modules/$2"/modules.{order,builtin,builtin.modinfo} "$1/usr/lib/modules/$2/"
    depmod -b "$1" "$2"
}

pack() { # TREE: a cpio archive, the same at every run
    find "$1" -exec touch -hd "@$now" {} +
    (cd "$1" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 --reproducible)
}

add_image_of_initramfs_tools() { # VERSION
    local tree=$work/initramfs-tools
    start_initramfs "$tree" "$1"
    mkdir -p "$tree"/{conf,scripts/init-top}
    printf '#!/bin/sh\n# rehome sample: initramfs-tools has its init here\n' >"$tree/init"
    chmod 755 "$tree/init"
    printf 'MODULES=dep\nBUSYBOX=auto\nCOMPRESS=gzip\nBOOT=local\n' >"$tree/conf/initramfs.conf"
    echo 'DPKG_ARCH=amd64' >"$tree/conf/arch.conf"
    printf '%s\n' ena nvme >"$tree/conf/modules"
    echo '# rehome sample: initramfs-tools has its functions here' >"$tree/scripts/functions"
    : >"$tree/scripts/init-top/ORDER"
    pack "$tree" | gzip -9n | put "/boot/initrd.img-$1"
}

add_image_of_dracut() { # VERSION
    local tree=$work/dracut
    start_initramfs "$tree" "$1"
    mkdir -p "$tree"/{etc/cmdline.d,usr/lib/dracut/hooks/cmdline}
    ln -s usr/lib/systemd/systemd "$tree/init"
    install -D -m 755 "$work/program" "$tree/usr/lib/systemd/systemd"
    printf 'NAME=dracut\nID=dracut\nPRETTY_NAME="dracut (rehome sample)"\n' >"$tree/usr/lib/initrd-release"
    ln -s ../usr/lib/initrd-release "$tree/etc/initrd-release"
    echo '--hostonly --no-hostonly-cmdline' >"$tree/usr/lib/dracut/build-parameter.txt"
    echo '# rehome sample: dracut has its functions here' >"$tree/usr/lib/dracut-lib.sh"
    pack "$tree" | zstd -q -19 | put "/boot/initrd.img-$1"
}

# ---- the guest ---------------------------------------------------------------------------------------------------

add_system() {
    mkdir -p "$root"/{dev,home,proc,root,run,sys,tmp,usr/bin,usr/lib,usr/sbin,var/log,var/tmp}
    chmod 700 "$root/root"
    chmod 1777 "$root/tmp" "$root/var/tmp"
    ln -s usr/bin "$root/bin"
    ln -s usr/sbin "$root/sbin"
    ln -s usr/lib "$root/lib"
    make_program "$work/program"
    install -m 755 "$work/program" "$root/usr/bin/sh"
    put /usr/lib/os-release <<'END'
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
END
    mkdir -p "$root/etc"
    ln -s ../usr/lib/os-release "$root/etc/os-release"
    echo 12.12 | put /etc/debian_version
    echo "$hostname" | put /etc/hostname
    echo 0ec2de61a0c14b0e9d5576a2f3c81b4d | put /etc/machine-id
    printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$hostname" | put /etc/hosts
    put /etc/fstab <<'END'
# /etc/fstab: static file system information
/dev/xvda1  /     ext4   rw,discard,errors=remount-ro  0  1
tmpfs       /tmp  tmpfs  nosuid,nodev                  0  0
END
    put /etc/initramfs-tools/initramfs.conf <<'END'
# Only the drivers of the machine that this runs on
MODULES=dep
BUSYBOX=auto
COMPRESS=gzip
END
    echo 'hostonly="yes"' | put /etc/dracut.conf.d/10-hostonly.conf
    echo 'It reads the same after the migration.' | put /home/admin/notes.txt
}

add_network() {
    put /etc/netplan/50-cloud-init.yaml 600 <<END
# This file is generated from information provided by the datasource.
network:
    version: 2
    ethernets:
        ens5:
            dhcp4: true
            dhcp6: false
            match:
                macaddress: $mac
            set-name: ens5
END
    put /etc/udev/rules.d/70-persistent-net.rules <<END
SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="$mac", NAME="ens5"
END
}

add_cloud() {
    echo 'datasource_list: [ Ec2 ]' | put /etc/cloud/cloud.cfg.d/90_dpkg.cfg
    put /etc/cloud/cloud.cfg <<'END'
disable_root: true
preserve_hostname: false
cloud_init_modules:
 - growpart
 - resizefs
 - set_hostname
system_info:
  distro: debian
END
    put /lib/systemd/system/amazon-ssm-agent.service <<'END'
[Unit]
Description=amazon-ssm-agent
After=network-online.target

[Service]
ExecStart=/usr/bin/amazon-ssm-agent
Restart=on-failure

[Install]
WantedBy=multi-user.target
END
    install -m 755 "$work/program" "$root/usr/bin/amazon-ssm-agent"
    mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
    ln -s /lib/systemd/system/amazon-ssm-agent.service "$root/etc/systemd/system/multi-user.target.wants/"
}

add_grub() {
    local version
    put /etc/default/grub <<'END'
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX_DEFAULT="quiet"
GRUB_CMDLINE_LINUX="root=/dev/nvme0n1p1 console=tty0 console=ttyS0,115200 nvme_core.io_timeout=4294967295"
END
    {
        printf '%s\n' 'set default="0"' 'set timeout=0' 'insmod part_msdos' 'insmod ext2'
        echo "search --no-floppy --fs-uuid --set=root $root_uuid"
        for version in "$kernel_new" "$kernel_old"; do
            echo "menuentry 'Debian GNU/Linux, with Linux $version' --class debian {"
            printf '\tlinux\t/boot/vmlinuz-%s root=/dev/nvme0n1p1 ro console=tty0 console=ttyS0,115200 %s quiet\n' \
                "$version" nvme_core.io_timeout=4294967295
            printf '\tinitrd\t/boot/initrd.img-%s\n}\n' "$version"
        done
    } | put /boot/grub/grub.cfg
}

# ---- the disk ----------------------------------------------------------------------------------------------------

# Jump over the word, halt for ever: what an inspector looks for, none of GRUB's code.
boot_sector() { printf '\xeb\x05GRUB\x00\xf4\xeb\xfd'; }

# Owner root everywhere and one change time: mkfs.ext4 copies both from the files of whoever runs this.
settle_inodes() { # FS
    (cd "$root" && find . -printf '/%P\n' && echo /lost+found) | LC_ALL=C sort | while read -r path; do
        printf "sif \"$path\" %s\n" 'uid 0' 'gid 0' "ctime @$now" 'ctime_extra 0' "atime @$now" "mtime @$now" "crtime @$now" \
            'atime_extra 0' 'mtime_extra 0' 'crtime_extra 0'
    done >"$work/settle"
    debugfs -w -f "$work/settle" "$1" >"$work/settle.out" 2>&1
    # debugfs ends with 0 whatever happens; anything but the echo of the commands is a complaint.
    ! grep -v '^debugfs' "$work/settle.out"
}

make_disk() { # OUT.raw
    local fs=$work/fs.raw blocks=$(((disk_mib - 1) * 256))
    find "$root" -exec touch -hd "@$now" {} +
    # Everything is said here, nothing comes from this machine's /etc/mke2fs.conf.
    printf '[fs_types]\n ext4 = {\n inode_size = 256\n }\n' >"$work/mke2fs.conf"
    truncate -s "$((disk_mib - 1))M" "$fs"
    MKE2FS_CONFIG=$work/mke2fs.conf E2FSPROGS_FAKE_TIME=$now mkfs.ext4 -q -F -b 4096 -N 1024 -m 1 -L cloudimg \
        -U "$root_uuid" -O none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum \
        -E "hash_seed=$hash_seed,lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0" -J size=4 -d "$root" "$fs" "$blocks"
    E2FSPROGS_FAKE_TIME=$now settle_inodes "$fs"
    e2fsck -fn "$fs" >"$work/fsck.out" 2>&1 || { cat "$work/fsck.out" >&2; exit 1; }
    truncate -s "${disk_mib}M" "$1"
    sfdisk -q "$1" <<END
label: dos
label-id: $disk_id
start=2048, type=83, bootable
END
    boot_sector | dd of="$1" conv=notrunc status=none
    dd if="$fs" of="$1" bs=1M seek=1 conv=notrunc,sparse status=none
}

main() {
    local out=${1:-$(dirname "${BASH_SOURCE[0]}")/ec2-debian.vmdk}
    export LC_ALL=C TZ=UTC SOURCE_DATE_EPOCH=$now PATH=/usr/sbin:/usr/bin:/sbin:/bin
    umask 022
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    root=$work/root
    mkdir "$root"
    add_system
    add_network
    add_cloud
    add_kernel "$kernel_old" ko
    add_kernel "$kernel_new" ko.xz
    add_image_of_initramfs_tools "$kernel_old"
    add_image_of_dracut "$kernel_new"
    add_grub
    make_disk "$work/disk.raw"
    qemu-img convert -f raw -O vmdk -o subformat=streamOptimized "$work/disk.raw" "$work/ec2-debian.vmdk"
    sha256sum "$work/disk.raw" | cut -d ' ' -f 1
    cp "$work/ec2-debian.vmdk" "$out"
}

main "$@"
