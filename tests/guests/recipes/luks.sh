# shellcheck shell=bash disable=SC2034,SC2154  # what build-debian.sh gives and takes
# An encrypted root: MBR; /boot (ext4) on a partition; a volume of LVM that is a LUKS2 container with ext4 inside, whose
# passphrase is asked for on the console; initramfs-tools; a static address by netplan, bound to the hardware address.

firmware=bios
root_uuid=6c4f3977-8baa-4035-9cb4-e5f6b57a3a66
boot_uuid=7d302866-9cbb-4146-8dc5-f607c68b4b77
container_uuid=8e211755-adcc-4257-8ed6-0718d79c5c88
kernel_root=/dev/mapper/unlocked
passphrase=rehome
pv_uuid=Lu1111-bbbb-cccc-dddd-eeee-ffff-gggg01
include+=("${layers[@]}")

configure() {
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
	/dev/mapper/unlocked / ext4 errors=remount-ro 0 1
	/dev/nvme0n1p1 /boot ext4 defaults 0 2
	END
    # The option makes it a matter of the initramfs: its hook cannot see here what the root lies on.
    echo 'unlocked /dev/mapper/debian-locked none luks,discard,initramfs' | put /etc/crypttab
    initramfs_tools ena ext4 nvme xen-blkfront xen-netfront dm-mod
    grub_default
}

assemble() {
    sfdisk -q "$image" <<-END
	label: dos
	label-id: 0x5ec2b109
	start=$((mib / 512)), size=$((256 * mib / 512)), type=83, bootable
	start=$((257 * mib / 512)), type=8e
	END
    assemble_in_vm "disk=$image"
}

in_vm() {
    local lvm
    lvm=$(part disk 2)
    pvcreate -q -ff -y --norestorefile --uuid "$pv_uuid" "$lvm"
    vgcreate -q debian "$lvm"
    lvcreate -q -y -n locked -l 100%FREE debian
    # Little memory and few rounds: an emulated machine unlocks it, too.
    printf %s "$passphrase" | cryptsetup luksFormat -q --type luks2 --uuid "$container_uuid" --pbkdf argon2id --pbkdf-memory 32768 \
        --pbkdf-force-iterations 4 --pbkdf-parallel 1 --key-file - /dev/mapper/debian-locked
    unlock
    mkfs.ext4 -q -U "$boot_uuid" "$(part disk 1)"
    mkfs.ext4 -q -U "$root_uuid" /dev/mapper/unlocked
    mount /dev/mapper/unlocked /target
    mkdir /target/boot
    mount "$(part disk 1)" /target/boot
    unpack
    in_target grub-install --target=i386-pc "$(readlink -f /dev/disk/disk)"
    in_target grub-mkconfig -o /boot/grub/grub.cfg
    umount -R /target
    cryptsetup close unlocked
    vgchange -q -an debian
}

unlock() {
    printf %s "$passphrase" | cryptsetup open --allow-discards --key-file - /dev/mapper/debian-locked unlocked
}

layers() {
    vgchange -q -ay debian >&2
    unlock
    echo "ext4 /dev/mapper/unlocked"
    echo "ext4 $(part disk 1)"
}
