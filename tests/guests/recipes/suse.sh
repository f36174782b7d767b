# shellcheck shell=bash disable=SC2034,SC2154  # what build-debian.sh gives and takes
# As SUSE's installer lays a machine out: GPT with a BIOS boot partition; btrfs, compressed, whose default subvolume is
# the root and lies below another one's name, with subvolumes for /home and /var, and a read-only snapshot of the root;
# dracut for this host only; a static address by systemd-networkd, bound to the hardware address.

firmware=bios
root_uuid=3f7c6e66-5e77-4d02-8f81-b2c3e24d0733
kernel_root=UUID=$root_uuid
include+=("${layers[@]}")

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
    # The root is whatever the default subvolume is, as with snapper.
    put /etc/fstab <<-'END'
	/dev/nvme0n1p2 / btrfs compress=zstd 0 0
	/dev/nvme0n1p2 /home btrfs subvol=/@/home,compress=zstd 0 0
	/dev/nvme0n1p2 /var btrfs subvol=/@/var,compress=zstd 0 0
	/dev/nvme0n1p2 /.snapshots btrfs subvol=/@/.snapshots 0 0
	END
    mkdir -p "$root/.snapshots"
    dracut_hostonly btrfs "root=$kernel_root rootfstype=btrfs rootflags=subvol=@" btrfs
    grub_default rd.retry=20
}

assemble() {
    sfdisk -q "$image" <<-END
	label: gpt
	label-id: 2A2D9B9C-3F0E-4C5B-8F3E-5EC20000EF05
	start=2048, size=$((7 * mib / 512)), type=21686148-6449-6E6F-744E-656564454649
	start=$((8 * mib / 512)), type=linux
	END
    assemble_in_vm "disk=$image"
}

in_vm() {
    local device id
    device=$(part disk 2)
    modprobe -a btrfs zstd
    mkfs.btrfs -q -f -U "$root_uuid" "$device"
    mount -o compress=zstd "$device" /target
    btrfs -q subvolume create /target/@
    btrfs -q subvolume create /target/@/home
    btrfs -q subvolume create /target/@/var
    btrfs -q subvolume create /target/@/.snapshots
    id=$(btrfs inspect-internal rootid /target/@)
    btrfs subvolume set-default "$id" /target
    umount /target
    mount -o compress=zstd "$device" /target
    unpack
    in_target grub-install --target=i386-pc "$(readlink -f /dev/disk/disk)"
    in_target grub-mkconfig -o /boot/grub/grub.cfg
    mkdir /target/.snapshots/1
    btrfs -q subvolume snapshot -r /target /target/.snapshots/1/snapshot
    umount /target
}

layers() {
    echo "btrfs $(part disk 2)"
}
