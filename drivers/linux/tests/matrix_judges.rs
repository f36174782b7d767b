//! Every phony guest of the table after its migration, judged by the programs that read the files: GRUB, netplan, ifupdown, the
//! shell, mount's reader of fstab. The tools are those of `tests/packages.sh test`; without them the test fails.
#![allow(clippy::unwrap_used)]

mod phony;

use driver_core::{Context, FileKind, Firmware, GuestTree, Platform, apply, make_plan};
use driver_linux::fixups;
use driver_targets::targets;
use phony::distributions::wishes;
use phony::matrix::guests::{GUESTS, guests};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Copies the files below `folder` of the guest to `root`.
fn put(tree: &GuestTree, folder: &str, root: &Path) {
    for entry in tree.read_dir(folder).unwrap() {
        let path = format!("{folder}/{}", entry.name);
        match entry.kind {
            FileKind::Folder => put(tree, &path, root),
            FileKind::File => {
                let to = root.join(path.trim_start_matches('/'));
                std::fs::create_dir_all(to.parent().unwrap()).unwrap();
                std::fs::write(&to, tree.read_file(&path, u64::MAX).unwrap().unwrap()).unwrap();
            }
            FileKind::Link | FileKind::Other => {}
        }
    }
}

/// What the tool says when it does not take the file.
fn refused(tool: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new("timeout").arg("20").arg(tool).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (!output.status.success())
        .then(|| format!("{tool} {arguments:?}:\n{}{}", text(&output.stdout), text(&output.stderr)))
}

/// What the judges do not take of the files below `root`; how many they saw.
fn judged(root: &Path, wrong: &mut Vec<String>) -> usize {
    let at = |path: &str| root.join(path).to_str().unwrap().to_owned();
    let mut verdicts = Vec::new();
    for path in ["boot/grub/grub.cfg", "boot/grub2/grub.cfg"] {
        if Path::new(&at(path)).is_file() {
            verdicts.push(refused("grub-script-check", &[&at(path)]));
        }
    }
    if Path::new(&at("etc/netplan")).exists() {
        verdicts.push(refused("netplan", &["generate", "--root-dir", root.to_str().unwrap()]));
    }
    if Path::new(&at("etc/network/interfaces")).exists() {
        let file = format!("--interfaces={}", at("etc/network/interfaces"));
        verdicts.push(refused("ifquery", &[&file, "--list", "--all"]));
    }
    for path in
        ["etc/default/grub", "etc/sysconfig/grub", "etc/sysconfig/network", "etc/sysconfig/bootloader"]
    {
        if Path::new(&at(path)).is_file() {
            verdicts.push(refused("bash", &["-n", &at(path)]));
        }
    }
    // Nothing but complaints about the text: that the devices are not on this machine is no fault of the file.
    verdicts
        .push(refused("findmnt", &["--tab-file", &at("etc/fstab"), "--noheadings", "--output", "SOURCE"]));
    let seen = verdicts.len();
    wrong.extend(verdicts.into_iter().flatten());
    seen
}

#[test]
fn programs_take_what_was_written() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (recipe, phony) in GUESTS.iter().zip(guests()) {
        let firmware = if recipe.loader.esp().is_some() { Firmware::Uefi } else { Firmware::Bios };
        for platform in [Platform::Kvm, Platform::HyperV] {
            let mut fitting = targets().filter(|target| target.platform == platform && target.is_default);
            let target = fitting.find(|target| target.firmware == firmware).unwrap();
            let mut wishes = wishes(platform == Platform::Kvm);
            wishes.network.adapters.truncate(phony.adapters);
            let mut tree = phony.tree(false);
            let guest = phony.inspected(&tree, target.boot_modules);
            let context = Context { wishes: &wishes, ..Context::new(&guest, target) };
            let plan = make_plan(&context, &tree, fixups()).unwrap();
            if plan.obstacles().count() > 0 {
                continue;
            }
            apply(&mut tree, &plan.edits).unwrap();
            let root = TempDir::new().unwrap();
            for folder in ["/etc", "/boot"] {
                put(&tree, folder, root.path());
            }
            let mut found = Vec::new();
            seen += judged(root.path(), &mut found);
            wrong.extend(found.into_iter().map(|what| format!("{} to {}: {what}", phony.name, target.id)));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(seen > 4 * GUESTS.len(), "the judges saw {seen} files only");
}
