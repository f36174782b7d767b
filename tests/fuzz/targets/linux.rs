//! Fixups of Linux guests for several targets and wishes, with one configuration file of a phony guest replaced by the input. The law: after the plan
//! is applied, a second plan is empty.
#![no_main]

use driver_core::{Context, GuestFs, apply, make_plan};
use driver_linux::fixups;
use driver_targets::{GENERATION_1, GENERATION_2};
use libfuzzer_sys::fuzz_target;
use phony::distributions::{AZURE, KVM, every, wishes};

#[path = "../../../drivers/linux/tests/phony/mod.rs"]
#[allow(missing_docs)]
mod phony;

const FILES: [&str; 26] = [
    "/etc/fstab",
    "/etc/crypttab",
    "/etc/default/grub",
    "/etc/default/grub.d/50-cloudimg-settings.cfg",
    "/boot/grub/grub.cfg",
    "/boot/grub2/grubenv",
    "/boot/loader/entries/m.conf",
    "/etc/netplan/50-cloud-init.yaml",
    "/etc/network/interfaces",
    "/etc/systemd/network/10-ec2.network",
    "/etc/sysconfig/network-scripts/ifcfg-eth0",
    "/etc/udev/rules.d/70-persistent-net.rules",
    "/etc/cloud/cloud.cfg.d/90_dpkg.cfg",
    "/etc/initramfs-tools/modules",
    "/etc/dracut.conf.d/ec2.conf",
    "/usr/lib/os-release",
    "/etc/NetworkManager/system-connections/ens192.nmconnection",
    "/etc/sysconfig/network-scripts/ifcfg-ens3",
    "/etc/sysconfig/network/ifcfg-ens3",
    "/etc/systemd/network/10-lan.network",
    "/etc/systemd/network/10-name.link",
    "/etc/inittab",
    "/etc/modprobe.conf",
    "/etc/X11/xorg.conf",
    "/etc/chrony/chrony.conf",
    "/etc/mkinitfs/mkinitfs.conf",
];

/// Every phony guest.
fn guests() -> Vec<(&'static str, driver_core::MemFs)> {
    phony::all().into_iter().chain(every()).collect()
}

/// The files as the phony guests have them.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (guest, (name, fs)) in (0..).zip(guests()) {
        for (number, path) in (0..).zip(FILES) {
            if let Ok(content) = fs.read_file(path, 1 << 16) {
                let mut bytes = vec![guest, number, guest];
                bytes.extend(content);
                seeds.push((format!("{name}-{number}"), bytes));
            }
        }
    }
    seeds
}

fuzz_target!(init: fuzz::write_seeds(seeds), |input: &[u8]| {
    let Some((&[guest, file, options], content)) = input.split_first_chunk() else { return };
    let mut guests = guests();
    let (_, fs) = guests.swap_remove(usize::from(guest) % guests.len());
    let target = [&GENERATION_1, &GENERATION_2, &KVM, &AZURE][usize::from(options & 3)];
    let mut wished = wishes(options & 4 != 0);
    wished.network.adapters.truncate(usize::from(options >> 3 & 3));
    if options & 0x20 != 0 {
        wished.network.static_addresses = vec!["ens3=192.0.2.10/24,192.0.2.1,192.0.2.53".parse().expect("an address")];
    }
    let mut tree = phony::tree(fs.with_file(FILES[usize::from(file) % FILES.len()], content));
    let mut facts = phony::facts();
    if driver_linux::inspect(&tree, &mut facts, &phony::MODULES).is_err() {
        return;
    }
    let context = Context { wishes: &wished, ..Context::new(&facts, target) };
    let Ok(plan) = make_plan(&context, &tree, fixups()) else { return };
    apply(&mut tree, &plan.edits).expect("the plan was made for this guest");
    let again = make_plan(&context, &tree, fixups()).expect("the guest can still be planned");
    assert!(again.edits.is_empty(), "a second plan is not empty: {:#?}", again.edits);
});
