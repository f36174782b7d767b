//! The combinations that exist in the field.

use super::distributions::*;
use super::loaders::Loader::*;
use super::networks::{Addresses::*, Network::*};
use super::sources::Source::*;
use super::{Phony, Recipe, Root};

/// One row: distribution, loader, network, addresses, source, names of disks.
macro_rules! table {
    ($($distribution:ident $loader:ident $network:ident $addresses:ident $source:ident $root:ident;)*) => {
        &[$(Recipe {
            distribution: &$distribution, loader: $loader, network: $network, addresses: $addresses, source: $source, root: Root::$root,
        },)*]
    };
}

#[rustfmt::skip]
pub static GUESTS: &[Recipe] = table! {
    // Debian: GRUB 2 since 6, extlinux by choice, systemd-boot since 12 by choice; ifupdown, in clouds networkd and netplan.
    DEBIAN_12 Grub2 Ifupdown Fixed Vmware Device;
    DEBIAN_12 Grub2Efi Ifupdown Fixed Kvm Uuid;
    DEBIAN_12 Grub2Efi Networkd Fixed Physical PartUuid;
    DEBIAN_12 Grub2 Keyfiles Fixed VirtualBox Uuid;
    DEBIAN_12 Grub2 Netplan Dhcp AwsNitro PartUuid;
    DEBIAN_12 Extlinux Ifupdown Fixed XenPv Device;
    DEBIAN_12 SystemdBoot Networkd Pinned HyperV Uuid;
    DEBIAN_12_CLOUD Grub2Efi Netplan Dhcp Gcp Uuid;
    DEBIAN_12_CLOUD Grub2 Ifupdown Fixed AwsXen Device;
    DEBIAN_7 Grub2 Ifupdown Fixed XenPv Device;
    DEBIAN_7 Grub1 Ifupdown Fixed Physical Device;
    DEBIAN_7 Extlinux Ifupdown Fixed Vmware Uuid;
    // Ubuntu: ifupdown and Upstart until 14.04, netplan after; EC2's paravirtual images with GRUB legacy's menu.
    UBUNTU_14 Grub2 Ifupdown Fixed Vmware Uuid;
    UBUNTU_14 PvGrub Ifupdown Dhcp XenPv Label;
    UBUNTU_14 Grub2 Ifupdown Dhcp AwsXen Label;
    UBUNTU_22 Grub2 Netplan Pinned Vmware Uuid;
    UBUNTU_22 Grub2Efi Netplan Pinned Azure Uuid;
    UBUNTU_22 Grub2Efi Networkd Fixed Kvm Lvm;
    UBUNTU_22 Grub2 Ifupdown Fixed Physical Device;
    UBUNTU_24 Grub2Efi Netplan Dhcp AwsNitro PartUuid;
    UBUNTU_24 Grub2Efi Keyfiles Fixed VirtualBox Uuid;
    // RHEL and its like: GRUB legacy until 6, GRUB 2 with menus in 7, with loader entries since 8; ifcfg until 8, keyfiles since 9.
    CENTOS_5 Grub1 Ifcfg Pinned Vmware Label;
    CENTOS_5 Grub1 Ifcfg Fixed Kvm Lvm;
    CENTOS_5_XEN Grub1 Ifcfg Fixed XenPv Device;
    CENTOS_5 Grub1 Ifcfg Fixed SmartArray Device;
    CENTOS_6 Grub1 Ifcfg Pinned Vmware Lvm;
    CENTOS_6 Grub1 Ifcfg Pinned SmartArray Device;
    CENTOS_6 Grub1 Ifcfg Dhcp AwsXen Label;
    CENTOS_7 Grub2 Ifcfg Pinned Vmware Lvm;
    CENTOS_7 Grub2Efi Ifcfg Fixed HyperV Uuid;
    CENTOS_7 Grub2 Keyfiles Fixed Kvm Device;
    CENTOS_7 Grub2 Ifcfg Fixed Azure Uuid;
    RHEL_8 Bls Ifcfg Pinned Kvm Lvm;
    RHEL_8 BlsEfi Keyfiles Fixed Vmware Uuid;
    RHEL_8 BlsEfi Ifcfg Dhcp Azure Uuid;
    RHEL_9 BlsEfi Keyfiles Fixed Vmware Lvm;
    RHEL_9 Bls Keyfiles Pinned Kvm Uuid;
    RHEL_9 Bls Keyfiles Dhcp AwsNitro Uuid;
    RHEL_9 BlsEfi Networkd Fixed Gcp Uuid;
    ALMA_9 BlsEfi Keyfiles Fixed HyperV Uuid;
    ALMA_9 Bls Keyfiles Dhcp Gcp Uuid;
    ROCKY_8 Bls Ifcfg Fixed Physical Device;
    ROCKY_8 BlsEfi Keyfiles Pinned VirtualBox Lvm;
    ORACLE_8 Bls Ifcfg Fixed VirtualBox Uuid;
    ORACLE_8 BlsEfi Ifcfg Pinned Kvm Lvm;
    FEDORA BlsEfi Keyfiles Fixed Physical Uuid;
    FEDORA Bls Keyfiles Dhcp VirtualBox Uuid;
    FEDORA SystemdBoot Networkd Fixed Kvm Uuid;
    // Amazon Linux: 2 with initscripts, 2023 with networkd.
    AMAZON_2 Grub2 Ifcfg Dhcp AwsXen Uuid;
    AMAZON_2 Grub2 Networkd Fixed AwsNitro Device;
    AMAZON_2 Grub2 Ifcfg Fixed Vmware Uuid;
    AMAZON_2023 BlsEfi Networkd Dhcp AwsNitro Uuid;
    AMAZON_2023 BlsEfi Networkd Pinned Kvm Device;
    AMAZON_2023 BlsEfi None Dhcp AwsNitro Device;
    // SUSE: GRUB legacy and ifup in 11, GRUB 2 and wicked since 12, NetworkManager by choice.
    SLES_11 Grub1 Wicked Fixed Vmware ById;
    SLES_11 Grub1 Wicked Fixed Physical Uuid;
    SLES_11 Grub1 Wicked Dhcp XenPv Device;
    SLES_12 Grub2 Wicked Fixed Vmware Device;
    SLES_12 Grub2Efi Wicked Fixed HyperV Uuid;
    SLES_12 Grub2 Wicked Dhcp AwsXen Uuid;
    SLES_15 Grub2 Wicked Fixed Kvm Uuid;
    SLES_15 Grub2Efi Wicked Fixed Vmware Lvm;
    SLES_15 Grub2Efi Keyfiles Fixed Azure Uuid;
    OPENSUSE Grub2 Wicked Fixed VirtualBox Uuid;
    OPENSUSE Grub2Efi Keyfiles Dhcp Physical Uuid;
    // Arch: every loader by choice; networkd or NetworkManager.
    ARCH Grub2 Networkd Dhcp Kvm Uuid;
    ARCH SystemdBoot Networkd Fixed Vmware PartUuid;
    ARCH Syslinux Networkd Pinned Physical Device;
    ARCH SystemdBoot Keyfiles Fixed VirtualBox Uuid;
    ARCH Unified Networkd Dhcp HyperV Uuid;
    // Alpine: extlinux for BIOS, GRUB for UEFI; its own ifup.
    ALPINE Extlinux Ifupdown Fixed Vmware Uuid;
    ALPINE Extlinux Ifupdown Dhcp Kvm Device;
    ALPINE Grub2Efi Ifupdown Fixed Physical Uuid;
    ALPINE Grub2Efi Ifupdown Dhcp AwsNitro Label;
    // One that nobody knows.
    UNKNOWN Grub2 Networkd Pinned Kvm Device;
    UNKNOWN Bls None Dhcp Physical Uuid;
};

/// All of them, made.
pub fn guests() -> impl Iterator<Item = Phony> {
    GUESTS.iter().map(Recipe::make)
}
