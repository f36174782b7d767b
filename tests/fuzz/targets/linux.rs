//! Fixups of Linux guests, with one configuration file of a phony guest replaced by the input. The law: after the plan
//! is applied, a second plan is empty.
#![no_main]

use driver_core::{Context, GuestFs, apply, make_plan};
use driver_linux::fixups;
use driver_targets::{GENERATION_1, GENERATION_2};
use libfuzzer_sys::fuzz_target;

#[path = "../../../drivers/linux/tests/phony/mod.rs"]
#[allow(missing_docs)]
mod phony;

const FILES: [&str; 16] = [
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
];

/// The files as the phony guests have them.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (guest, (name, fs)) in (0..).zip(phony::all()) {
        for (number, path) in (0..).zip(FILES) {
            if let Ok(content) = fs.read_file(path, 1 << 16) {
                let mut bytes = vec![guest << 1, number];
                bytes.extend(content);
                seeds.push((format!("{name}-{number}"), bytes));
            }
        }
    }
    seeds
}

fuzz_target!(init: fuzz::write_seeds(seeds), |input: &[u8]| {
    let Some((&[guest, file], content)) = input.split_first_chunk() else { return };
    let (_, fs) = phony::all().swap_remove(usize::from(guest >> 1) % 4);
    let target = if guest & 1 == 0 { &GENERATION_1 } else { &GENERATION_2 };
    let mut tree = phony::tree(fs.with_file(FILES[usize::from(file) % FILES.len()], content));
    let mut facts = phony::facts();
    if driver_linux::inspect(&tree, &mut facts, &phony::MODULES).is_err() {
        return;
    }
    let context = Context::new(&facts, target);
    let Ok(plan) = make_plan(&context, &tree, fixups()) else { return };
    apply(&mut tree, &plan.edits).expect("the plan was made for this guest");
    let again = make_plan(&context, &tree, fixups()).expect("the guest can still be planned");
    assert!(again.edits.is_empty(), "a second plan is not empty: {:#?}", again.edits);
});
