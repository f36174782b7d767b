//! Random configuration made of the words that fixups look for: no panic, and a second plan is empty.
#![allow(clippy::unwrap_used)]

mod phony;

use driver_core::{Context, apply, make_plan};
use driver_linux::{fixups, read_fstab};
use driver_targets::{GENERATION_1, GENERATION_2};
use phony::distributions::{ALL_MODULES, AZURE, KVM, wishes};
use phony::*;
use proptest::prelude::*;

const WORDS: [&str; 104] = [
    "DEVICE",
    "ARRAY",
    "devices=/dev/xvda1",
    "name=a",
    "What=",
    "(hd0)",
    "/dev/xvda1",
    "/dev/nvme0n1p2",
    "/dev/sdf",
    "/dev/disk/by-id/x",
    "UUID=gone",
    "LABEL=a",
    "/",
    "/var",
    "/data",
    "none",
    "swap",
    "ext4",
    "xfs",
    "auto",
    "defaults",
    "noauto,nofail",
    "0",
    "#",
    "linux",
    "/boot/vmlinuz",
    "root=",
    "root=/dev/xvda1",
    "resume=/dev/xvda2",
    "resume=/dev/xvdf",
    "console=ttyS0",
    "console=hvc0",
    "console=tty0",
    "\"",
    "'",
    "\\",
    "=",
    ":",
    "GRUB_CMDLINE_LINUX",
    "GRUB_CMDLINE_LINUX=\"",
    "GRUB_FORCE_PARTUUID=x",
    "export ",
    "options ",
    "kernelopts=",
    "menuentry 'a' {",
    "}",
    "if [ \"${initrdfail}\" = 1 ]; then",
    "set default=\"0\"",
    "network:",
    "ethernets:",
    "ens5",
    "ens6",
    "eth0",
    "ens5:",
    "eth0:",
    "match:",
    "macaddress: x",
    "name: \"en*\"",
    "set-name: ens5",
    "{",
    "- ",
    "iface ens5 inet dhcp",
    "auto ens5",
    "[Match]",
    "[Link]",
    "Name=ens5",
    "Driver=ena",
    "MACAddress=x",
    "HWADDR=x",
    "DEVICE=ens5",
    "datasource: Ec2",
    "hv_vmbus",
    "ATTR{address}==\"x\", NAME=\"a\"",
    "mac-address=x",
    "interface-name=ens5",
    "type=ethernet",
    "06:3f:9a:52:c4:1d",
    "06:3F:9A:52:C4:2E",
    "macaddress: 06:3f:9a:52:c4:1d",
    "HWADDR=06:3f:9a:52:c4:2e",
    "MACAddress=06:3f:9a:52:c4:1d",
    "mac-address=06:3f:9a:52:c4:2e",
    "driver: hv_netvsc",
    "Driver=hv_netvsc",
    "Path=pci-0000:00:05.0",
    "name: ens*",
    "eth1",
    "iface eth1 inet static",
    "address 10.0.0.5",
    "mtu 9001",
    "[connection]",
    "[Network]",
    "parent=ens5",
    "PHYSDEV=ens5",
    "alias eth0 xennet",
    "alias scsi_hostadapter mptspi",
    "co:2345:respawn:/sbin/agetty xvc0",
    "#1:2345:respawn:/sbin/mingetty tty1",
    "Section \"Device\"",
    "Driver \"vmware\"",
    "server 169.254.169.123",
    "refclock PHC /dev/ptp_hyperv",
    "\u{fffd}",
    "\u{1b}[31m",
];

const PATHS: [&str; 39] = [
    "/etc/mdadm.conf",
    "/etc/kdump.conf",
    "/etc/systemd/system/data.mount",
    "/boot/grub/device.map",
    "/boot/efi/loader/loader.conf",
    "/etc/fstab",
    "/etc/crypttab",
    "/etc/default/grub",
    "/etc/default/grub.d/50-x.cfg",
    "/boot/grub/grub.cfg",
    "/boot/grub2/grubenv",
    "/boot/loader/entries/a.conf",
    "/etc/kernel/cmdline",
    "/etc/initramfs-tools/modules",
    "/etc/cloud/ds-identify.cfg",
    "/etc/netplan/50-cloud-init.yaml",
    "/etc/netplan/60-x.yaml",
    "/etc/network/interfaces",
    "/etc/systemd/network/a.network",
    "/etc/systemd/network/b.link",
    "/etc/sysconfig/network-scripts/ifcfg-ens5",
    "/etc/NetworkManager/system-connections/a.nmconnection",
    "/etc/udev/rules.d/70-persistent-net.rules",
    "/etc/sysconfig/network-scripts/ifcfg-eth0",
    "/etc/sysconfig/network-scripts/ifcfg-a",
    "/etc/sysconfig/network-scripts/route-ens5",
    "/etc/sysconfig/network/ifcfg-ens5",
    "/etc/sysconfig/network/ifcfg-eth1",
    "/etc/sysconfig/network/ifroute-ens5",
    "/etc/NetworkManager/system-connections/b",
    "/etc/modprobe.conf",
    "/etc/inittab",
    "/etc/securetty",
    "/etc/X11/xorg.conf",
    "/etc/chrony.conf",
    "/etc/hosts",
    "/etc/mkinitcpio.conf",
    "/etc/mkinitfs/mkinitfs.conf",
    "/etc/udev/rules.d/70-rehome-net.rules",
];

fn soup() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        8 => prop::sample::select(&WORDS[..]).prop_map(|word| word.as_bytes().to_vec()),
        4 => prop::sample::select(&["\n", " ", "\t", "\n  ", "\n    ", "\n      ", "\r\n"][..])
            .prop_map(|blank| blank.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_second_plan_is_empty(files in prop::collection::btree_map(prop::sample::select(&PATHS[..]), soup(), 1..4)) {
        let fs = files.iter().fold(debian(), |fs, (path, content)| fs.with_file(path, content));
        let mut tree = tree(fs);
        let facts = inspected(&tree);
        for target in [&GENERATION_1, &GENERATION_2] {
            let context = Context::new(&facts, target);
            let plan = make_plan(&context, &tree, fixups()).unwrap();
            apply(&mut tree, &plan.edits).unwrap();
            let again = make_plan(&context, &tree, fixups()).unwrap();
            prop_assert!(again.edits.is_empty(), "{:#?}", again.edits);
        }
    }

    #[test]
    fn a_second_plan_is_empty_whatever_is_wished(
        files in prop::collection::btree_map(prop::sample::select(&PATHS[..]), soup(), 1..4),
        adapters in 0..3_usize,
        kept in any::<bool>(),
        fixed in any::<bool>(),
    ) {
        let mut wished = wishes(kept);
        wished.network.adapters.truncate(adapters);
        if fixed {
            wished.network.static_addresses = vec!["ens5=192.0.2.10/24,192.0.2.1,192.0.2.53".parse().unwrap()];
        }
        let fs = files.iter().fold(debian(), |fs, (path, content)| fs.with_file(path, content));
        let fs = with_modules(fs, DEBIAN_KERNEL, &ALL_MODULES);
        for target in [&KVM, &AZURE, &GENERATION_1] {
            let mut tree = tree(fs.clone());
            let facts = inspected(&tree);
            let context = Context { wishes: &wished, ..Context::new(&facts, target) };
            let plan = make_plan(&context, &tree, fixups()).unwrap();
            apply(&mut tree, &plan.edits).unwrap();
            let again = make_plan(&context, &tree, fixups()).unwrap();
            prop_assert!(again.edits.is_empty(), "{:#?}", again.edits);
        }
    }

    #[test]
    fn fstab_is_read_without_panic(content in soup()) {
        let text = String::from_utf8_lossy(&content);
        prop_assert!(read_fstab(&text).len() <= text.lines().count());
    }
}
