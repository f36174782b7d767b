//! The laws of fixups, on phony guests of four distributions.

#![allow(clippy::unwrap_used)]

mod phony;

use driver_core::{Action, Context, Guest, GuestTree, MemFs, Plan, Status, Target, apply, make_plan};
use driver_linux::fixups;
use driver_targets::{GENERATION_1, GENERATION_2};
use phony::*;

fn planned(tree: &GuestTree, facts: &Guest, target: &Target) -> Plan {
    let context = Context::new(facts, target);
    make_plan(&context, tree, fixups()).unwrap()
}

#[test]
fn a_second_plan_is_empty() {
    for (name, fs) in all() {
        for target in [&GENERATION_1, &GENERATION_2] {
            let mut tree = tree(fs.clone());
            let before = inspected(&tree);
            let plan = planned(&tree, &before, target);
            assert_eq!(plan.obstacles().count(), 0, "{name}: {:#?}", plan.fixups);
            assert!(!plan.edits.is_empty());
            apply(&mut tree, &plan.edits).unwrap();
            for facts in [&before, &inspected(&tree)] {
                let again = planned(&tree, facts, target);
                assert!(again.edits.is_empty(), "{name}: {:#?}", again.edits);
                assert_eq!(again.obstacles().count(), 0);
            }
        }
    }
}

#[test]
fn after_the_plan_every_kernel_has_the_drivers() {
    for (name, fs) in all() {
        let mut tree = tree(fs);
        let plan = planned(&tree, &inspected(&tree), &GENERATION_1);
        apply(&mut tree, &plan.edits).unwrap();
        for kernel in inspected(&tree).kernels {
            for driver in &kernel.drivers {
                assert!(driver.in_initramfs, "{name} {}: {driver:?}", kernel.version);
            }
        }
    }
}

#[test]
fn only_planned_paths_change() {
    for (name, fs) in all() {
        let mut tree = tree(fs.clone());
        let plan = planned(&tree, &inspected(&tree), &GENERATION_1);
        let mut files = Vec::new();
        collect(&tree, "/", &mut files);
        apply(&mut tree, &plan.edits).unwrap();
        let old = phony::tree(fs);
        let planned: Vec<&str> = plan.edits.iter().map(|edit| edit.path.as_str()).collect();
        for path in &files {
            let same = old.read_file(path, u64::MAX).unwrap() == tree.read_file(path, u64::MAX).unwrap();
            assert_eq!(!same, planned.contains(&path.as_str()), "{name}: {path}");
        }
        let mut now = Vec::new();
        collect(&tree, "/", &mut now);
        for path in now.iter().filter(|path| !files.contains(path)) {
            assert!(planned.contains(&path.as_str()), "{name}: {path} is new");
        }
    }
}

fn collect(tree: &GuestTree, folder: &str, files: &mut Vec<String>) {
    for entry in tree.read_dir(folder).unwrap() {
        let path = format!("{}/{}", folder.trim_end_matches('/'), entry.name);
        match entry.kind {
            driver_core::FileKind::Folder => collect(tree, &path, files),
            driver_core::FileKind::File => files.push(path),
            _ => {}
        }
    }
}

/// Text that no distribution ships.
fn hostile_texts() -> Vec<Vec<u8>> {
    let line = |piece: &[u8]| piece.repeat((3 << 20) / piece.len());
    let lines = |piece: &[u8]| piece.repeat((256 << 10) / piece.len());
    vec![
        Vec::new(),
        b"\xff\xfe\x00\x80".to_vec(),
        b"\r\n\r\r\n\n".to_vec(),
        line(b"a"),
        line(b"\""),
        line(b" "),
        line(b"root=/dev/xvda1 "),
        lines(b"{\n"),
        lines(b"      - a:\n"),
        lines(b"[Match]\n"),
        b"'\"\\$(`{[}])#&*!|>%@".to_vec(),
        b"/dev/xvda1 / ext4 defaults 0 1 \xff\n/dev/xvda2 none swap sw\r\n".to_vec(),
        b"network:\n\tethernets:\n  ens5: &a\n    match: *a\n  ens6: {match: {macaddress: x}}\n".to_vec(),
        b"iface ens5\niface\nauto\nmapping ens5\n".to_vec(),
        b"linux\nlinux /vmlinuz\nlinux /vmlinuz root=\noptions\noptions root=\nkernelopts=".to_vec(),
        vec![b'x'; 5 << 20],
    ]
}

#[test]
fn hostile_contents_never_panic_and_never_change_twice() {
    let mut paths = Vec::new();
    for (_, fs) in all() {
        collect(&tree(fs.clone()), "/etc", &mut paths);
        collect(&tree(fs), "/boot", &mut paths);
    }
    paths.retain(|path| !path.contains("vmlinuz"));
    for text in hostile_texts() {
        let start = text.get(..text.len().min(8)).map(String::from_utf8_lossy);
        let broken = paths.iter().fold(debian(), |fs: MemFs, path| fs.with_file(path, &text));
        let mut tree = tree(broken);
        let started = std::time::Instant::now();
        let facts = inspected(&tree);
        let plan = planned(&tree, &facts, &GENERATION_1);
        assert!(started.elapsed().as_secs() < 20, "{start:?}");
        apply(&mut tree, &plan.edits).unwrap();
        let again = planned(&tree, &facts, &GENERATION_1);
        let paths: Vec<_> = again.edits.iter().map(|edit| &edit.path).collect();
        assert!(paths.is_empty(), "{start:?}: {paths:?}");
    }
}

#[test]
fn files_too_large_to_be_configuration_do_not_stop_the_plan() {
    let huge = vec![b'x'; 5 << 20];
    let fs = amazon()
        .with_file("/usr/lib/systemd/network/80-ec2.network", &huge)
        .with_file("/etc/systemd/network/a.link", &huge)
        .with_file("/var/lib/cloud/data/instance-id", &huge)
        .with_file("/etc/fstab", &huge);
    let tree = tree(fs);
    let plan = planned(&tree, &inspected(&tree), &GENERATION_1);
    assert_eq!(plan.obstacles().map(|o| o.id).collect::<Vec<_>>(), ["linux-fstab"]);
}

#[test]
fn loops_of_links_are_no_obstacle_to_planning() {
    for (_, fs) in all() {
        let looped =
            ["/etc/fstab", "/etc/default/grub", "/etc/netplan/a.yaml", "/boot/grub/grub.cfg", "/etc/cloud/x"]
                .iter()
                .fold(fs, |fs, path| fs.with_link(path, path));
        let tree = tree(looped);
        planned(&tree, &inspected(&tree), &GENERATION_1);
    }
}

#[test]
fn a_guest_without_anything_is_reported_not_broken() {
    let tree = tree(base("x", "1"));
    let plan = planned(&tree, &inspected(&tree), &GENERATION_1);
    assert!(plan.edits.is_empty());
    assert_eq!(plan.obstacles().map(|o| o.id).collect::<Vec<_>>(), ["linux-grub-cfg", "linux-initramfs"]);
    for fixup in &plan.fixups {
        assert!(fixup.reason.is_some(), "{}", fixup.id);
    }
}

#[test]
fn a_kernel_without_the_driver_needs_a_person() {
    let fs = with_modules(debian(), DEBIAN_KERNEL, &["ext4", "nvme", "sd_mod"]);
    let tree = tree(fs);
    let plan = planned(&tree, &inspected(&tree), &GENERATION_1);
    let fixup = plan.obstacles().next().unwrap();
    assert_eq!(fixup.status, Status::Cannot);
    assert!(fixup.reason.as_ref().unwrap().contains("hv_vmbus, hv_storvsc, hv_netvsc"));
    assert!(!plan.edits.iter().any(|edit| matches!(edit.action, Action::Append { .. })));
}
