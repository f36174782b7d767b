//! The guest's own programs, and free space that is given back.

use super::{EXT4, Recipe, cut_out_result, differs_as_planned, migrate, plant_programs, plant_tool, tree};
use crate::bench::{Bench, MIB, is_root};
use crate::guest::{KERNEL, initramfs};

#[test]
fn deleted_files_are_not_copied_with_trim() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let fill =
        "cp -a tree/. mnt/ && dd if=/dev/urandom of=mnt/big bs=1M count=16 status=none && sync && rm mnt/big";
    Recipe { fill, ..EXT4 }.build(&bench, |tree| plant_programs(tree, &["/sbin/e2fsck"]));
    let source = bench.fingerprint("server.raw");
    let before = tree(&bench, "part.img", "noload");
    let size = || std::fs::metadata(bench.path("vm/web01.qcow2")).unwrap().len();
    migrate(&bench, &[]).ends(0);
    let plain = size();
    let report = migrate(&bench, &["--trim", "--force"]).ends(0).json();
    let editor = &report["editor"];
    assert_eq!(editor["editor"], "microvm");
    assert!(super::strings(&editor["reasons"]).contains("--trim"), "{editor}");
    assert!(editor["trimmed_bytes"].as_u64().unwrap() >= 16 * MIB, "{editor}");
    assert_eq!((&editor["checks"][0]["clean"], &editor["checks"][0]["kind"]), (&true.into(), &"ext4".into()));
    assert!(size() + 15 * MIB < plain, "{} and {plain}", size());
    let changed = report["disks"][0]["changed"].as_array().unwrap();
    let bytes: u64 = changed.iter().map(|range| range[1].as_u64().unwrap()).sum();
    assert!(bytes >= 16 * MIB, "what is given back is among what was changed: {bytes}");
    cut_out_result(&bench, "part.img", "after.img");
    bench.tool("e2fsprogs", "e2fsck", &["-fn", "after.img"]);
    differs_as_planned(&before, &tree(&bench, "after.img", "noload"), &report, str::to_owned);
    bench.rehome(&["verify", "vm/web01.qcow2"]).ends(0);
    assert_eq!(bench.fingerprint("server.raw"), source);
}

#[test]
fn the_guests_own_tool_makes_its_initramfs() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let modules = ["ext4", "nvme", "virtio_pci", "virtio_blk", "virtio_net"];
    EXT4.build(&bench, |tree| {
        plant_tool(tree, "echo made for $3; cat /srv/more >>/boot/initrd.img-$3");
        std::fs::write(tree.join("srv/more"), initramfs(&modules)).unwrap();
    });
    let before = tree(&bench, "part.img", "noload");
    let report = migrate(&bench, &["--editor", "microvm", "--rebuild-initramfs"]).ends(0).json();
    let commands = report["editor"]["commands"].as_array().unwrap();
    assert_eq!(commands.len(), 1, "{commands:?}");
    assert!(commands[0].to_string().contains(&format!("made for {KERNEL}")), "{commands:?}");
    cut_out_result(&bench, "part.img", "after.img");
    bench.tool("e2fsprogs", "e2fsck", &["-fn", "after.img"]);
    differs_as_planned(&before, &tree(&bench, "after.img", "noload"), &report, str::to_owned);
    let image = format!("/boot/initrd.img-{KERNEL}");
    bench.tool("e2fsprogs", "debugfs", &["-R", &format!("dump {image} image"), "after.img"]);
    let old = initramfs(&["ext4", "nvme"]);
    assert_eq!(bench.read("image"), [old, initramfs(&modules)].concat(), "what it wrote, and nothing more");
}

#[test]
fn a_tool_that_fails_or_does_too_little_stops_it() {
    if !is_root() {
        return;
    }
    for (script, expected) in
        [("echo the last words >&2; exit 3", "the last words"), ("true", "something was left to do")]
    {
        let bench = Bench::new();
        EXT4.build(&bench, |tree| plant_tool(tree, script));
        let source = bench.fingerprint("server.raw");
        let run = migrate(&bench, &["--editor", "microvm", "--rebuild-initramfs"]).ends(78);
        assert_eq!(run.json()["outcome"], "blocked");
        let found = super::why(&run);
        assert!(found.contains(expected), "{found}");
        assert_eq!(bench.fingerprint("server.raw"), source);
        assert_eq!(bench.bash("find vm -type f 2>/dev/null").stdout, "");
    }
}
