//! A guest on XFS, which rehome itself edits in place only.

use crate::bench::{Bench, MIB, Run, is_root};
use crate::guest::{self, KERNEL, ROOT_UUID};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

fn migrate(bench: &Bench, more: &[&str]) -> Run {
    let args =
        ["migrate", "server.raw", "--to", "hyperv", "--out", "vm", "--editor", "native", "--output", "json"];
    bench.rehome(&[&args, more].concat())
}

fn image(tree: &Path) -> std::path::PathBuf {
    tree.join(format!("boot/initrd.img-{KERNEL}"))
}

/// Without the rule that would have to be removed, and with an initramfs that fills its blocks to the last byte.
fn prepare(tree: &Path, config: &str) {
    std::fs::remove_file(tree.join("etc/udev/rules.d/70-persistent-net.rules")).unwrap();
    std::fs::write(tree.join(format!("boot/config-{KERNEL}")), config).unwrap();
    let mut initramfs = std::fs::read(image(tree)).unwrap();
    initramfs.resize(5 * 4096, 0);
    std::fs::write(image(tree), initramfs).unwrap();
}

fn strings(list: &serde_json::Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_fits_is_edited_and_what_only_helps_is_left_to_the_guest() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    guest::build_xfs(&bench, "server.raw", |tree| prepare(tree, "CONFIG_RD_XZ=y\nCONFIG_RD_ZSTD=y\n"));
    let before = guest::xfs_content(&bench, "server.raw");
    let inspected =
        bench.rehome(&["inspect", "server.raw", "--editor", "native", "--output", "json"]).ends(0).json();
    assert_eq!(inspected["guest"]["os"]["id"], "debian");
    let partition = &inspected["guest"]["disks"][0]["partitions"][0]["file_system"];
    assert_eq!(partition["kind"], "xfs");
    assert_eq!(partition["uuid"], ROOT_UUID);
    assert_eq!(partition["state"], "clean");
    assert_eq!(inspected["readiness"][0]["verdict"], "fixable", "{inspected}");

    let report = migrate(&bench, &[]).ends(0).json();
    assert_eq!(report["outcome"], "done");
    let left: BTreeSet<&str> = report["fixups"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|fixup| fixup["status"] == "left-out")
        .map(|fixup| {
            assert!(fixup["reason"].as_str().unwrap().contains("XFS is edited in place only"), "{fixup}");
            assert!(fixup["next_step"].is_string() && fixup["edits"] == 0, "{fixup}");
            fixup["id"].as_str().unwrap()
        })
        .collect();
    assert_eq!(left, BTreeSet::from(["linux-cloud-init", "linux-ec2-agents"]));
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("datasource_list") && warnings.contains("systemctl disable"), "{warnings}");

    bench.qemu_img(&["convert", "-f", "vhdx", "-O", "raw", "vm/web01.vhdx", "result.raw"]);
    let after = guest::xfs_content(&bench, "result.raw");
    let planned: BTreeSet<String> = report["edits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edit| edit["path"].as_str().unwrap().to_owned())
        .collect();
    let all: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let differing: BTreeSet<_> =
        all.into_iter().filter(|path| before.get(*path) != after.get(*path)).cloned().collect();
    assert_eq!(differing, planned);
    assert!(after["/etc/fstab"].1.starts_with(format!("UUID={ROOT_UUID} / xfs ").as_bytes()));
    let packed = &after[&format!("/boot/initrd.img-{KERNEL}")].1;
    assert!(packed.starts_with(b"\x28\xb5\x2f\xfd"), "packed with zstd");
    bench.write("packed", packed);
    let listed = bench.bash("zstd -dc packed >plain; { cpio -it; cpio -it; } <plain").ends(0).stdout;
    for name in ["init", "kernel/nvme.ko", "kernel/hv_vmbus.ko", "kernel/hv_storvsc.ko"] {
        assert!(listed.contains(name), "{name}: {listed}");
    }
}

#[test]
fn what_has_to_be_created_or_removed_stops_before_anything_is_written() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    guest::build_xfs(&bench, "server.raw", |_| {});
    let report = migrate(&bench, &[]).ends(78).json();
    let obstacles = strings(&report["obstacles"]);
    let rule = obstacles.iter().find(|text| text.starts_with("linux-udev-net: ")).unwrap();
    assert!(rule.contains("remove /etc/udev/rules.d/70-persistent-net.rules"), "{rule}");
    assert!(rule.contains("XFS is edited in place only"), "{rule}");
    assert_eq!(bench.names(), ["server.raw"]);
}

#[test]
fn an_initramfs_that_cannot_be_packed_stops_it() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    guest::build_xfs(&bench, "server.raw", |tree| prepare(tree, "# CONFIG_RD_XZ is not set\n"));
    let report = migrate(&bench, &[]).ends(78).json();
    let obstacles = strings(&report["obstacles"]);
    assert!(
        obstacles.iter().any(|text| text.starts_with("linux-initramfs: ") && text.contains("allocated")),
        "{obstacles:?}"
    );
}

#[test]
fn a_dirty_log_is_told_with_the_next_step() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    guest::build_xfs(&bench, "server.raw", |tree| prepare(tree, ""));
    guest::cut_out(&bench, "server.raw", "part.img");
    let line = "mkdir mnt && mount -o loop,nouuid part.img mnt && touch mnt/new && xfs_io -x -c 'shutdown -f' mnt && umount mnt && rmdir mnt";
    bench.bash(line).ends(0);
    guest::put_on_disk(&bench, "part.img", "server.raw");
    let inspected =
        bench.rehome(&["inspect", "server.raw", "--editor", "native", "--output", "json"]).ends(0).json();
    let found = &inspected["guest"]["disks"][0]["partitions"][0]["file_system"];
    assert_eq!(found["state"], "log to be replayed by the guest");
    assert!(found["not_editable"].as_str().unwrap().contains("mount and unmount"), "{found}");
    let report = migrate(&bench, &[]).ends(78).json();
    let why = report["obstacles"].to_string() + &report["error"].to_string();
    assert!(why.contains("the log is dirty"), "{report}");
}

#[test]
fn inspection_of_an_xfs_guest_is_quick() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    guest::build_xfs(&bench, "server.raw", |tree| {
        let many = tree.join("usr/share/many");
        std::fs::create_dir_all(&many).unwrap();
        (0..2000).for_each(|number| std::fs::write(many.join(format!("{number:050}")), "x").unwrap());
        std::fs::write(tree.join("srv/big"), vec![7; 4 * MIB as usize]).unwrap();
    });
    let quickest = (0..5).map(|_| {
        let start = std::time::Instant::now();
        bench.rehome(&["inspect", "server.raw"]).ends(0);
        start.elapsed()
    });
    let quickest = quickest.min().unwrap();
    assert!(quickest < Duration::from_millis(300), "{quickest:?}");
}
