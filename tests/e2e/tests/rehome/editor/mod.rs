//! Who edits a guest: rehome itself, or the micro-VM with a kernel's drivers. The host's kernel makes the guests' file systems and
//! reads the results, which needs root.

mod btrfs;
mod ended;
mod hostile;
mod luks;
mod missing;
mod programs;
mod xfs;

use crate::bench::{Bench, MIB, Run};
use crate::guest;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// What a guest needs for KVM, as module names.
const KVM_MODULES: [&str; 3] = ["virtio_pci", "virtio_blk", "virtio_net"];

/// How a guest's file system is made.
struct Recipe<'a> {
    mib: u64,
    fstab: &'a str,
    /// Makes the file system in `part.img`.
    mkfs: &'a str,
    /// Options of `mount`.
    options: &'a str,
    /// Fills `mnt` from `tree`.
    fill: &'a str,
}

const EXT4: Recipe<'static> = Recipe {
    mib: 48,
    fstab: "/dev/xvda1 / ext4 defaults 0 1\n",
    mkfs: "mkfs.ext4 -q -F part.img",
    options: "rw",
    fill: "cp -a tree/. mnt/",
};

const XFS: Recipe<'static> = Recipe {
    mib: 64,
    fstab: "/dev/xvda1 / xfs defaults 0 0\n",
    mkfs: "mkfs.xfs -q --unsupported part.img",
    options: "nouuid",
    ..EXT4
};

impl Recipe<'_> {
    /// Makes `part.img`, which holds the guest's files.
    fn make_part(&self, bench: &Bench, change: impl FnOnce(&Path)) {
        let tree = bench.path("tree");
        std::fs::create_dir(&tree).unwrap();
        guest::plant(&tree, &KVM_MODULES);
        std::fs::write(tree.join("etc/fstab"), self.fstab).unwrap();
        // Where programs of the guest find what every system has.
        for folder in ["dev", "proc", "sys", "run", "tmp"] {
            std::fs::create_dir(tree.join(folder)).unwrap();
        }
        change(&tree);
        let Self { mib, mkfs, options, fill, .. } = self;
        bench
            .bash(&format!(
                "set -e; truncate -s {mib}M part.img; {mkfs}; mkdir mnt; mount -o loop,{options} part.img mnt
                 trap 'umount mnt; rmdir mnt' EXIT; {fill}"
            ))
            .ends(0);
        std::fs::remove_dir_all(&tree).unwrap();
    }

    /// Writes the guest's disk as `server.raw` and keeps its partition as `part.img`.
    fn build(&self, bench: &Bench, change: impl FnOnce(&Path)) {
        self.make_part(bench, change);
        on_disk(bench, "part.img", "server.raw");
    }
}

/// Makes a sparse disk with the file `part` as its first partition.
fn on_disk(bench: &Bench, part: &str, disk: &str) {
    let size = std::fs::metadata(bench.path(part)).unwrap().len();
    let file = std::fs::File::create(bench.path(disk)).unwrap();
    file.write_all_at(&guest::boot_sector(size), 0).unwrap();
    file.set_len(size + 2 * MIB).unwrap();
    bench.bash(&format!("dd if={part} of={disk} bs=1M seek=1 conv=notrunc,sparse status=none")).ends(0);
}

/// Migrates `server.raw` to KVM.
fn migrate(bench: &Bench, more: &[&str]) -> Run {
    let args = ["migrate", "server.raw", "--to", "kvm", "--out", "vm", "--output", "json"];
    bench.rehome(&[&args, more].concat())
}

/// The first partition of the migrated disk as `name`, which is as large as the file `like`, read by qemu-img.
fn cut_out_result(bench: &Bench, like: &str, name: &str) {
    let size = std::fs::metadata(bench.path(like)).unwrap().len();
    bench.qemu_img(&["check", "-q", "-f", "qcow2", "vm/web01.qcow2"]);
    bench.qemu_img(&["convert", "-f", "qcow2", "-O", "raw", "vm/web01.qcow2", "result.raw"]);
    let cut = format!("iflag=skip_bytes,count_bytes skip=1M count={size} bs=1M conv=sparse status=none");
    bench
        .bash(&format!("dd if=result.raw of={name} {cut}; truncate -s {size} {name}; rm result.raw"))
        .ends(0);
}

type Tree = BTreeMap<String, Value>;

/// All that is in a file system, read by the host's kernel.
fn tree(bench: &Bench, part: &str, options: &str) -> Tree {
    bench.write("tree.py", include_str!("tree.py"));
    let line = format!(
        "mkdir look && mount -o loop,ro,{options} {part} look && {{ python3 tree.py look; end=$?; umount look; \
         rmdir look; rm tree.py; exit $end; }}"
    );
    serde_json::from_str(&bench.bash(&line).ends(0).stdout).unwrap()
}

/// Checks that exactly the report's edits differ. `place` says where in the trees a path of the guest is.
#[track_caller]
fn differs_as_planned(before: &Tree, after: &Tree, report: &Value, place: impl Fn(&str) -> String) {
    let edits = report["edits"].as_array().unwrap();
    let planned: BTreeSet<String> = edits.iter().map(|edit| place(edit["path"].as_str().unwrap())).collect();
    let all: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let differing: BTreeSet<String> =
        all.into_iter().filter(|path| before.get(*path) != after.get(*path)).cloned().collect();
    assert!(!planned.is_empty());
    assert_eq!(differing, planned);
}

/// Puts programs of this machine into the guest, with the libraries that they need.
fn plant_programs(tree: &Path, programs: &[&str]) {
    for (link, target) in [("sbin", "usr/sbin"), ("lib64", "usr/lib64")] {
        std::os::unix::fs::symlink(target, tree.join(link)).unwrap();
    }
    for program in programs {
        let listed = std::process::Command::new("ldd").arg(program).output().expect("ldd is missing");
        let listed = String::from_utf8(listed.stdout).unwrap();
        let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
        for path in libraries.chain([*program]) {
            let inside = path.trim_start_matches('/').trim_start_matches("usr/");
            let target = tree.join("usr").join(inside);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::copy(path, target).unwrap();
        }
    }
}

/// Puts a script in the place of the tool that makes an initramfs, with the shell for it.
fn plant_tool(tree: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    plant_programs(tree, &["/bin/dash", "/bin/cat", "/bin/ls", "/bin/sleep"]);
    std::fs::create_dir_all(tree.join("usr/sbin")).unwrap();
    let tool = tree.join("usr/sbin/update-initramfs");
    std::fs::write(&tool, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(tool, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn strings(list: &Value) -> String {
    let items = list.as_array().into_iter().flatten();
    items.map(|item| item.as_str().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// What stands in the way, whether it is in a report or an error.
fn why(run: &Run) -> String {
    let json = run.json();
    let part = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    [strings(&json["obstacles"]), part(&json["error"]["message"]), part(&json["error"]["hint"])].join("\n")
}

/// Waits until this becomes true.
#[track_caller]
fn until(limit: Duration, what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < limit, "{what} took longer than {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
