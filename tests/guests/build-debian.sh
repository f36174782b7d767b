#!/usr/bin/env bash
# Builds a real Debian 12 guest as EC2 would export it: device names of EC2 in fstab and on the kernel line, a static
# address bound to EC2's adapter, and an initramfs that holds EC2's storage drivers only. Needs root (debootstrap,
# chroot; loop devices for some recipes). The output is sparse.
#
#   build-debian.sh RECIPE[-dirty] OUT.raw      RECIPE: a file of the folder recipes; one with two disks also makes
#                                               OUT-data.raw; OUT.json describes the machine. -dirty: as a power cut
#                                               leaves it while it writes; OUT.rounds says what must not be lost then
#
# The bootstrapped system is kept in $REHOME_GUESTS (default: target/guests) and shared by all; built guests are kept
# there, too, until what they are made by changes.
# shellcheck disable=SC2154  # recipes say firmware and kernel_root
set -euo pipefail

suite=bookworm
# dbus, libpam-systemd, polkitd: what NetworkManager needs, and debootstrap does not find by itself.
include=(dbus dracut-core e2fsprogs grub2-common ifupdown initramfs-tools iproute2 kmod libpam-systemd linux-image-amd64 lvm2 nano netbase
    netplan.io network-manager polkitd systemd-sysv udev xfsprogs zstd)
# Further, for guests whose layers of storage this machine's kernel may not know: those are assembled in a machine (vm.sh).
layers=(btrfs-progs cryptsetup-initramfs dosfstools grub-efi-amd64-bin grub-pc-bin mdadm)

disk_bytes=$((2 << 30))
mib=1048576
esp_id=8A3C51D7
hostname=ip-10-0-1-23
mac=06:3f:9a:52:c4:1d
# Addresses of the network that qemu makes up for a guest.
# shellcheck disable=SC2034  # recipes use them
address=10.0.2.77/24
# shellcheck disable=SC2034
gateway=10.0.2.2

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${REHOME_GUESTS:-$here/../../target/guests}
# shellcheck source=vm.sh
source "$here/vm.sh"

# The archive this machine itself installs from; none: debootstrap's own choice.
archive_of_this_machine() {
    # shellcheck disable=SC2016  # apt-get expands these
    apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' | sed -n "s/^$suite main //p" | sed -n 1p
}

# The bare system with kernel, without initramfs: made once, kept as an archive named by what it was made from.
bootstrap() {
    local key archive tree
    local layered=''
    if [[ " ${include[*]} " == *" ${layers[0]} "* ]]; then layered=$(declare -f trim); fi
    key=$(echo "3 $suite ${include[*]}${layered:+ $layered}" | sha256sum | cut -c 1-12)
    bootstrap_archive=$cache/debian-$suite-$key.tar.zst
    exec 9>"$cache/bootstrap.lock"
    flock 9
    if [[ ! -e $bootstrap_archive ]]; then
        archive=$(archive_of_this_machine)
        tree=$(mktemp -d "$cache/bootstrap.XXXXXX")
        scratch+=("$tree")
        # INITRD=No keeps the kernel's installation from making an initramfs with every driver.
        INITRD=No debootstrap --variant=minbase --include="$(IFS=, && echo "${include[*]}")" \
            "$suite" "$tree" ${archive:+"$archive"} >"$cache/bootstrap.log" 2>&1 ||
            { tail -n 20 "$cache/bootstrap.log" >&2; exit 1; }
        rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree"/usr/share/{doc,locale,man}/*
        if [[ -n $layered ]]; then trim "$tree"; fi
        tar -C "$tree" --xattrs -I 'zstd -1 -T0' -cf "$bootstrap_archive.partial" .
        mv "$bootstrap_archive.partial" "$bootstrap_archive"
        rm -rf "$tree"
    fi
    exec 9>&-
}

# Drivers that no machine of these tests has: unpacking is slow where it is emulated.
trim() { # TREE
    local modules folder kernel
    modules=$(echo "$1"/lib/modules/*)
    kernel=${modules##*/}
    for folder in sound drivers/{accel,bluetooth,gpu,hwmon,iio,infiniband,isdn,leds,media,mfd,mmc,mtd,platform,staging,usb} \
        drivers/{soundwire,thunderbolt,w1,net/wireless,net/can,net/usb,comedi,gnss,power,regulator,video} \
        net/{bluetooth,wireless,mac80211,ceph,tipc,batman-adv,can} \
        fs/{ocfs2,ceph,smb,cifs,nfs,nfsd,f2fs,gfs2,jfs,reiserfs,ubifs,orangefs,coda,afs,nilfs2}; do
        rm -rf "${modules:?}/kernel/$folder"
    done
    # Of adapters, those of EC2 and of the hypervisors.
    find "$modules/kernel/drivers/net/ethernet" -mindepth 1 -maxdepth 1 ! -name amazon ! -name intel ! -name dec ! -name microsoft \
        -exec rm -rf {} +
    chroot "$1" depmod "$kernel"
}

put() { # PATH: writes standard input to that file of the guest
    mkdir -p "$root$(dirname "$1")"
    cat >"$root$1"
}

name_it() {
    echo "$hostname" | put /etc/hostname
    echo ec2f0c3b7a5d4e1f9a8b7c6d5e4f3a2b | put /etc/machine-id
    printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$hostname" | put /etc/hosts
}

# What an instance carries that was launched from a cloud image and lived on EC2.
add_ec2_marks() {
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

# A root password, and nothing that only costs time when the boot is emulated. Recipes switch their own network on.
make_it_quick_to_boot() {
    local unit
    chroot "$root" chpasswd <<<root:rehome
    for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
        fstrim.timer getty-static.service systemd-pstore.service systemd-journal-flush.service \
        NetworkManager-wait-online.service systemd-networkd-wait-online.service; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    chroot "$root" systemctl -q disable NetworkManager
    printf '[Journal]\nStorage=volatile\n' | put /etc/systemd/journald.conf.d/volatile.conf
}

kernel_version() {
    local file
    file=$(basename "$root"/boot/vmlinuz-*)
    echo "${file#vmlinuz-}"
}

# What `MODULES=dep` gives on an EC2 instance, said openly: nothing of any other hypervisor.
initramfs_tools() { # MODULE...
    rm -rf "$root"/usr/bin/dracut "$root"/usr/lib/dracut "$root"/etc/dracut.conf*
    echo MODULES=list | put /etc/initramfs-tools/conf.d/ec2
    printf '%s\n' "$@" | put /etc/initramfs-tools/modules
    chroot "$root" update-initramfs -c -k "$(kernel_version)" >"$work/initramfs.log" 2>&1 || { cat "$work/initramfs.log" >&2; exit 1; }
}

# What dracut makes on an EC2 instance with hostonly="yes". A chroot has no such host: its drivers, and only those, its
# file system and its root, which dracut writes into the image (etc/cmdline.d), are said here.
dracut_hostonly() { # FILE_SYSTEM KERNEL_LINE [DRACUT_MODULE DRIVER...]
    local kind=$1 line=$2 module=${3:-}
    shift $(($# > 3 ? 3 : $#))
    chroot "$root" dpkg --remove --force-depends cryptsetup-initramfs initramfs-tools initramfs-tools-core >"$work/initramfs.log" 2>&1
    rm -rf "$root/etc/initramfs-tools"
    printf 'hostonly="yes"\nfilesystems+=" %s "\n' "$kind" | put /etc/dracut.conf.d/ec2.conf
    chroot "$root" dracut --kernel-cmdline "$line" --drivers "nvme xen-blkfront ena $kind $*" --omit 'plymouth network qemu' ${module:+--add "$module"} \
        "/boot/initrd.img-$(kernel_version)" "$(kernel_version)" >>"$work/initramfs.log" 2>&1 || { cat "$work/initramfs.log" >&2; exit 1; }
}

# no_timer_check, as in many images for clouds: under emulation on a busy machine the kernel may take its timer for a broken
# one, and gives up.
grub_default() { # KERNEL_ARGUMENT...
    put /etc/default/grub <<-END
	GRUB_DEFAULT=0
	GRUB_TIMEOUT=0
	GRUB_DISTRIBUTOR=\`lsb_release -i -s 2> /dev/null || echo Debian\`
	GRUB_CMDLINE_LINUX_DEFAULT="quiet"
	GRUB_CMDLINE_LINUX="$* console=tty0 console=ttyS0,115200n8 no_timer_check nvme_core.io_timeout=4294967295"
	GRUB_TERMINAL="console serial"
	GRUB_SERIAL_COMMAND="serial --speed=115200"
	GRUB_DISABLE_OS_PROBER=true
	END
}

# Debian's own grub-mkconfig writes grub.cfg. What it would ask the disk, which is not there yet, is answered here.
grub_cfg() { # GRUB_FILE_SYSTEM PARTITION_TABLE
    grub_default "root=$kernel_root"
    mv "$root/usr/sbin/grub-probe" "$work/grub-probe"
    put /usr/sbin/grub-probe <<-END
	#!/bin/sh
	case "\$*" in
	*fs_uuid*) echo ${boot_uuid:-$root_uuid} ;;
	*partmap*) echo $2 ;;
	*compatibility_hint*) echo hd0,${2}1 ;;
	*hints_string*) echo --hint-bios=hd0,${2}1 --hint-efi=hd0,${2}1 ;;
	*abstraction*) ;;
	*"-t fs "* | *=fs) echo $1 ;;
	*=device*) echo $kernel_root ;;
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

# GRUB in the boot sector and the gap. The defaults of both fit this place: boot.img loads sector 1, grub-mkimage has
# written core.img's length.
bios_grub() { # PREFIX MODULE...
    local prefix=$1
    shift
    grub-mkimage -O i386-pc -p "$prefix" -o "$work/core.img" "$@"
    dd if=/usr/lib/grub/i386-pc/boot.img of="$image" bs=440 count=1 conv=notrunc status=none
    dd if="$work/core.img" of="$image" bs=512 seek=1 conv=notrunc status=none
}

# An EFI system partition with GRUB as the fallback loader and Debian's stub, which looks for the root by its UUID.
esp() { # OFFSET BYTES GRUB_FILE_SYSTEM
    grub-mkimage -O x86_64-efi -p /EFI/debian -o "$work/BOOTX64.EFI" \
        part_gpt part_msdos fat "$3" search search_fs_uuid normal configfile linux echo test all_video
    truncate -s "$2" "$work/esp"
    mkfs.fat -F 32 -i "$esp_id" "$work/esp" >/dev/null
    printf '%s\n' "search.fs_uuid $root_uuid root" "set prefix=(\$root)'/boot/grub'" "configfile \$prefix/grub.cfg" >"$work/grub.cfg"
    mmd -i "$work/esp" ::/EFI ::/EFI/BOOT ::/EFI/debian
    mcopy -i "$work/esp" "$work/BOOTX64.EFI" ::/EFI/BOOT/BOOTX64.EFI
    mcopy -i "$work/esp" "$work/grub.cfg" ::/EFI/debian/grub.cfg
    dd if="$work/esp" of="$image" bs=1M seek=$(($1 / mib)) conv=notrunc,sparse status=none
}

# Root = partition 1 behind the EFI system partition, which is number 15.
gpt_with_esp() { # DISK_GUID ROOT_OFFSET ROOT_BYTES GRUB_FILE_SYSTEM
    sfdisk -q "$image" <<-END
	label: gpt
	label-id: $1
	${image}1 : start=$(($2 / 512)), size=$(($3 / 512)), type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709
	${image}15 : start=$((mib / 512)), size=$((($2 - mib) / 512)), type=uefi
	END
    esp "$mib" $(($2 - mib)) "$4"
}

make_ext4() { # FOLDER UUID FILE OFFSET BYTES: ext4 as Debian 12 makes it, filled from the folder without mounting
    mkfs.ext4 -q -F -U "$2" -O '^metadata_csum_seed,^orphan_file' -d "$1" -E "offset=$4" "$3" "$(($5 / 1024))k" >/dev/null
}

# What the recipe's `in_vm` does with the disks and the tree, in a machine with the tools of the guest.
assemble_in_vm() { # NAME=FILE...: the disks
    vm_make "$bootstrap_archive"
    tar -C "$root" --xattrs -cf "$work/tree" .
    cat "$here/in-vm.sh" "$recipe" - <<<in_vm >"$work/script"
    vm_run "$work/vm.log" 300 "$work/script" "tree=$work/tree" "$@"
    rm "$work/tree"
}

# The kernel's name for the disk that boot.py makes with this number.
nvme_wwid() { # NUMBER
    printf 'nvme.1b36-%s-%s-00000001' "$(printf 'vol0123456789abcde%d' "$1" | od -An -v -tx1 | tr -d ' \n')" \
        "$(printf 'QEMU NVMe Ctrl' | od -An -v -tx1 | tr -d ' \n')"
}

# What EC2 would say of the machine, in rehome's own words.
describe() { # DISK...
    local disk disks=()
    for disk in "$@"; do
        disks+=("$(printf '{"id": "disk%d", "source": {"file": "%s"}, "bus": "nvme", "order": %d, "boot": %s}' \
            "${#disks[@]}" "${disk##*/}" "${#disks[@]}" "$([[ ${#disks[@]} -eq 0 ]] && echo true || echo false)")")
    done
    cat <<-END
	{
	  "rehome_machine": 1, "name": "$recipe_name", "firmware": {"kind": "$firmware"}, "cpu": {"count": 1}, "memory_mib": 768,
	  "disks": [$(IFS=, && echo "${disks[*]}")],
	  "nics": [{"mac": "$mac"}]
	}
	END
}

clean_up() {
    local item
    for item in "${mounts[@]}"; do umount "$item" 2>/dev/null || true; done
    for item in "${attached[@]}"; do losetup -d "$item" 2>/dev/null || true; done
    rm -rf "${scratch[@]}"
}

# Whatever a guest is made from: what this is of stays valid.
key_of() { # RECIPE
    cat "$here"/{build-debian.sh,vm.sh,in-vm.sh,boot.py} "$here/recipes/$1.sh" | sha256sum | cut -c 1-12
}

build() { # leaves its disks in `work`
    bootstrap
    root=$work/root
    image=$work/disk.raw
    mkdir "$root"
    tar -C "$root" --xattrs -xf "$bootstrap_archive"
    # The archive holds the mode of the temporary folder it was made in.
    chmod 755 "$root"
    name_it
    make_it_quick_to_boot
    configure
    truncate -s "$disk_bytes" "$image"
    assemble
}

# The guest as a power cut leaves it: it runs on EC2's controller, writes, and is ended.
build_dirty() { # RECIPE: leaves its disks in `work`, and how many rounds of writing were durable
    local images=("$work/disk.raw")
    "$here/build-debian.sh" "$1" "$work/disk.raw"
    if [[ -e $work/disk-data.raw ]]; then images+=("$work/disk-data.raw"); fi
    "$here/boot.py" "${images[@]}" --format raw --controller nvme --firmware "$firmware" ${passphrase:+--passphrase "$passphrase"} \
        --power-cut --mac "$mac" --log "$work/boot.log" >"$work/boot" || { cat "$work/boot" >&2; return 1; }
    sed -n 's/^rounds //p' "$work/boot" >"$work/disk.rounds"
}

copy() { # FROM TO
    cp --reflink=auto --sparse=always "$1" "$2.partial"
    mv -f "$2.partial" "$2"
}

main() {
    local recipe_name=${1:-} guest=${1%-dirty} out recipe kept disks=("${2:-}")
    recipe=$here/recipes/$guest.sh
    [[ $# -eq 2 && -f $recipe ]] ||
        { echo "usage: ${0##*/} RECIPE[-dirty] OUT.raw; recipes: $(cd "$here/recipes" && echo *.sh)" >&2; exit 2; }
    out=${2%.raw}
    [[ $EUID -eq 0 ]] || { echo "${0##*/}: needs root for debootstrap and chroot" >&2; exit 77; }
    scratch=() mounts=() attached=()
    trap clean_up EXIT
    export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
    umask 022
    mkdir -p "$cache/built"
    cache=$(cd "$cache" && pwd)
    # shellcheck source=/dev/null
    source "$recipe"

    kept=$cache/built/$1-$(key_of "$guest")
    exec 7>"$cache/built/$1.lock"
    flock 7
    if [[ ! -e $kept ]]; then
        rm -rf "$cache/built/$1"-????????????
        work=$(mktemp -d "$cache/guest-$1.XXXXXX")
        scratch+=("$work")
        if [[ $1 == "$guest" ]]; then build; else build_dirty "$guest"; fi
        mkdir "$work/kept"
        mv "$work"/disk*.r* "$work/kept/"
        mv "$work/kept" "$kept"
    fi
    copy "$kept/disk.raw" "$2"
    if [[ -e $kept/disk-data.raw ]]; then
        disks+=("$out-data.raw")
        copy "$kept/disk-data.raw" "${disks[1]}"
    fi
    if [[ -e $kept/disk.rounds ]]; then copy "$kept/disk.rounds" "$out.rounds"; fi
    describe "${disks[@]}" >"$out.json"
}

main "$@"
