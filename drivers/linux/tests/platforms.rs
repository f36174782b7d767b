//! Thirteen hand-written guests to three kinds of targets, with and without known addresses and with every wish: the laws, and what
//! wishes do. Every combination of the field is in `matrix.rs`.
#![allow(clippy::unwrap_used)]

mod phony;

use driver_core::{Context, Guest, GuestTree, Plan, Status, Target, Wishes, apply, make_plan};
use driver_linux::fixups;
use driver_targets::GENERATION_2;
use phony::distributions::{ALL_MODULES, AZURE, KVM, every, wishes};
use phony::tree;

fn inspected(tree: &GuestTree) -> Guest {
    let mut facts = phony::facts();
    driver_linux::inspect(tree, &mut facts, &ALL_MODULES).unwrap();
    facts
}

fn planned(tree: &GuestTree, facts: &Guest, target: &Target, wishes: &Wishes) -> Plan {
    make_plan(&Context { wishes, ..Context::new(facts, target) }, tree, fixups()).unwrap()
}

#[test]
fn a_second_plan_is_empty_and_only_planned_paths_change() {
    let everything = |kept| {
        let mut wishes = wishes(kept);
        wishes.identity.machine_id = true;
        wishes.identity.ssh_host_keys = true;
        wishes.rebuild_initramfs = true;
        wishes
    };
    for (name, fs) in every() {
        for target in [&GENERATION_2, &KVM, &AZURE] {
            for wishes in [Wishes::NONE, wishes(true), wishes(false), everything(true)] {
                let mut tree = tree(fs.clone());
                let before = inspected(&tree);
                let plan = planned(&tree, &before, target, &wishes);
                let mut files = Vec::new();
                collect(&tree, "/", &mut files);
                let old: Vec<_> = files.iter().map(|path| tree.read_file(path, u64::MAX).unwrap()).collect();
                apply(&mut tree, &plan.edits).unwrap();
                for (path, old) in files.iter().zip(&old) {
                    let same = tree.read_file(path, u64::MAX).unwrap() == *old;
                    assert!(same || plan.edits.iter().any(|edit| edit.path == *path), "{name}: {path}");
                }
                let mut now = Vec::new();
                collect(&tree, "/", &mut now);
                for path in now.iter().filter(|path| !files.contains(path)) {
                    assert!(plan.edits.iter().any(|edit| edit.path == *path), "{name}: {path} is new");
                }
                for facts in [&before, &inspected(&tree)] {
                    let again = planned(&tree, facts, target, &wishes);
                    assert!(again.edits.is_empty(), "{name} {}: {:#?}", target.id, again.edits);
                }
            }
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

#[test]
fn wishes_are_carried_out_and_nothing_else() {
    let everything = {
        let mut wishes = wishes(true);
        wishes.identity.machine_id = true;
        wishes.identity.ssh_host_keys = true;
        wishes.rebuild_initramfs = true;
        wishes.network.static_addresses = vec!["ens4=192.0.2.10/24,192.0.2.1".parse().unwrap()];
        wishes
    };
    let guest = |name: &str| every().into_iter().find(|(other, _)| *other == name).unwrap().1;
    let migrated = |name: &str, wishes: &Wishes| {
        let mut tree = tree(guest(name));
        let facts = inspected(&tree);
        let plan = planned(&tree, &facts, &KVM, wishes);
        apply(&mut tree, &plan.edits).unwrap();
        (tree, plan)
    };
    let text = |tree: &GuestTree, path: &str| {
        String::from_utf8(tree.read_file(path, 1 << 20).unwrap().unwrap()).unwrap()
    };

    let (tree, plan) = migrated("debian-networkd-gcp", &everything);
    assert_eq!(plan.obstacles().count(), 0, "{:#?}", plan.fixups);
    assert_eq!(text(&tree, "/etc/machine-id"), "");
    assert_eq!(tree.read_link("/var/lib/dbus/machine-id").unwrap(), "/etc/machine-id");
    for key in ["ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"] {
        assert!(tree.metadata(&format!("/etc/ssh/{key}")).unwrap().is_none(), "{key}");
    }
    let script = text(&tree, "/usr/local/sbin/rehome-firstboot");
    assert!(
        script.contains("ssh-keygen -A ||") && script.contains("update-initramfs -u -k all ||"),
        "{script}"
    );
    assert_eq!(tree.metadata("/usr/local/sbin/rehome-firstboot").unwrap().unwrap().mode, 0o755);
    let enabled = "/etc/systemd/system/multi-user.target.wants/rehome-firstboot.service";
    assert_eq!(tree.read_link(enabled).unwrap(), "/etc/systemd/system/rehome-firstboot.service");
    let network = text(&tree, "/etc/systemd/network/10-lan.network");
    assert!(
        network.contains("Address=192.0.2.10/24\nGateway=192.0.2.1\n") && !network.contains("10.1.2"),
        "{network}"
    );

    // RHEL makes missing keys itself, and Alpine's script too: no unit, which Alpine could not run.
    let mut keys = Wishes::NONE;
    keys.identity.ssh_host_keys = true;
    for (name, key) in
        [("rhel-9-keyfile-vmware", "ssh_host_rsa_key"), ("alpine-ifupdown-vmware", "ssh_host_rsa_key")]
    {
        let (tree, plan) = migrated(name, &keys);
        assert_eq!(plan.obstacles().count(), 0, "{:#?}", plan.fixups);
        assert!(tree.metadata(&format!("/etc/ssh/{key}")).unwrap().is_none(), "{name}");
        assert!(tree.metadata("/usr/local/sbin/rehome-firstboot").unwrap().is_none(), "{name}");
    }
    let (tree, plan) = migrated("debian-networkd-gcp", &Wishes::NONE);
    assert_eq!(text(&tree, "/etc/machine-id").len(), 33, "kept unless asked for");
    assert!(tree.metadata("/etc/ssh/ssh_host_ed25519_key").unwrap().is_some());
    assert_eq!(plan.fixups.iter().find(|f| f.id == "linux-firstboot").unwrap().status, Status::NotApplicable);
}

#[test]
fn static_addresses_for_interfaces_that_nobody_configures_need_a_person() {
    let mut wishes = Wishes::NONE;
    wishes.network.static_addresses = vec!["ens99=192.0.2.10/24".parse().unwrap()];
    for (name, fs) in every() {
        let tree = tree(fs);
        let plan = planned(&tree, &inspected(&tree), &KVM, &wishes);
        assert!(plan.obstacles().any(|fixup| fixup.id == "linux-static-ip"), "{name}");
    }
}

#[test]
fn static_addresses_reach_every_network_stack_and_a_second_plan_is_empty() {
    for (name, interface) in [
        ("debian-networkd-gcp", "ens4"),
        ("ubuntu-netplan-azure", "eth0"),
        ("ubuntu-1404-ifupdown-vmware", "eth0"),
        ("rhel-9-keyfile-vmware", "ens192"),
        ("centos-7-ifcfg-xen", "ens4"),
        ("sles-wicked", "ens3"),
        ("alpine-ifupdown-vmware", "eth0"),
    ] {
        for target in [&GENERATION_2, &KVM, &AZURE] {
            let mut wishes = wishes(target.id == "kvm");
            wishes.network.static_addresses =
                vec![format!("{interface}=192.0.2.10/24,192.0.2.1,192.0.2.53").parse().unwrap()];
            let fs = every().into_iter().find(|(other, _)| *other == name).unwrap().1;
            let mut tree = tree(fs);
            let facts = inspected(&tree);
            let plan = planned(&tree, &facts, target, &wishes);
            let fixup = plan.fixups.iter().find(|fixup| fixup.id == "linux-static-ip").unwrap();
            assert_eq!(fixup.status, Status::Planned, "{name}: {fixup:?}");
            apply(&mut tree, &plan.edits).unwrap();
            let mut files = Vec::new();
            collect(&tree, "/etc", &mut files);
            let given = |path: &&String| {
                tree.read_file(path, 1 << 20)
                    .unwrap()
                    .is_some_and(|bytes| bytes.windows(10).any(|w| w == b"192.0.2.10"))
            };
            assert_eq!(files.iter().filter(given).count(), 1, "{name}");
            let again = planned(&tree, &facts, target, &wishes);
            assert!(again.edits.is_empty(), "{name} {}: {:#?}", target.id, again.edits);
        }
    }
}
