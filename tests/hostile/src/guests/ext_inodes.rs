//! Inodes of ext file systems, their trees of extents, and folders.

use super::disk::{extremes, put_le};
use super::ext::{PLAIN, SUMMED};
use super::tools::{Tree, Workshop};
use super::{SEEN, all_of, case, moved};
use crate::Case;
use std::process::Command;

/// A block that no file has, to point to.
const FREE: u32 = 7000;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = inodes();
    cases.extend(trees());
    cases.extend(folders());
    cases
}

/// The root of an extent tree in an inode's block map, as words.
fn root(entries: u32, max: u32, depth: u32, first: [u32; 3]) -> [u32; 6] {
    [0xf30a | entries << 16, max | depth << 16, 0, first[0], first[1], first[2]]
}

/// Requests that put words into an inode's block map.
fn map(path: &str, words: &[u32]) -> String {
    words.iter().enumerate().map(|(at, word)| format!("sif {path} block[{at}] {word:#x}\n")).collect()
}

/// What is done to inodes, as requests of debugfs. It makes checksums right itself.
fn requests() -> Vec<(&'static str, &'static str, String)> {
    let file = "/etc/fstab";
    let map = |words: &[u32]| map(file, words);
    vec![
        ("depth-9", "a tree that is deeper than it can be", map(&root(1, 4, 9, [0, FREE, 0]))),
        ("depth-max", "a tree of 65,535 levels", map(&root(1, 4, 0xffff, [0, FREE, 0]))),
        ("entries-more", "more entries than fit", map(&root(0xffff, 0xffff, 0, [0, 1, 1000]))),
        ("entries-none", "an index without entries", map(&root(0, 4, 2, [0, 0, 0]))),
        ("extent-beyond", "an extent behind the volume", map(&root(1, 4, 0, [0, 1, u32::MAX]))),
        ("extent-high", "an extent at 2^47", map(&root(1, 4, 0, [0, 0xffff_0001, 0]))),
        ("extent-wraps", "an extent at the end of 32 bits", map(&root(1, 4, 0, [u32::MAX, 0x8000, 100]))),
        ("extent-length-0", "an extent of no blocks", map(&root(1, 4, 0, [0, 0, 100]))),
        ("extent-super", "an extent over the superblock", map(&root(1, 4, 0, [0, 1, 1]))),
        ("extent-table", "an extent over all structures", map(&root(1, 4, 0, [0, 60, 1]))),
        ("index-super", "an index that is the superblock", map(&root(1, 4, 1, [0, 1, 0]))),
        ("index-beyond", "an index behind the volume", map(&root(1, 4, 1, [0, u32::MAX, 0xffff]))),
        ("size-max", "a file of 8 EiB", format!("sif {file} size 0x7fffffffffffffff\n")),
        ("size-all", "a file of 16 EiB", format!("sif {file} size 0xffffffffffffffff\n")),
        ("size-1g", "a file of 1 GiB of holes", format!("sif {file} size 0x40000000\n")),
        (
            "kernel-1g",
            "a kernel of 1 GiB of holes",
            "sif /boot/vmlinuz-6.1.0-28-amd64 size 0x40000000\n".into(),
        ),
        (
            "initramfs-200m",
            "an initramfs of 200 MiB of holes",
            "sif /boot/initrd.img-6.1.0-28-amd64 size 0xc800000\n".into(),
        ),
        (
            "initramfs-max",
            "an initramfs of 8 EiB",
            "sif /boot/initrd.img-6.1.0-28-amd64 size 0x7fffffffffffffff\n".into(),
        ),
        ("menu-1g", "a boot menu of 1 GiB of holes", "sif /boot/grub/grub.cfg size 0x40000000\n".into()),
        ("shell-1g", "a program of 1 GiB of holes", "sif /usr/bin/dash size 0x40000000\n".into()),
        (
            "modules-1g",
            "a list of modules of 1 GiB of holes",
            "sif /usr/lib/modules/6.1.0-28-amd64/modules.dep size 0x40000000\n".into(),
        ),
        ("folder-max", "a folder of 8 EiB", "sif /etc size 0x7fffffffffffffff\n".into()),
        ("folder-1g", "a folder of 1 GiB", "sif /etc size 0x40000000\n".into()),
        ("root-max", "a root folder of 8 EiB", "sif <2> size 0x7fffffffffffffff\n".into()),
        ("root-file", "a root that is a file", "sif <2> mode 0100644\n".into()),
        ("root-link", "a root that is a link", "sif <2> mode 0120777\n".into()),
        ("root-free", "a root that is not in use", "sif <2> links_count 0\n".into()),
        ("folder-file", "a folder that says that it is a file", "sif /etc mode 0100644\n".into()),
        ("file-folder", "a file that says that it is a folder", format!("sif {file} mode 040755\n")),
        (
            "file-device",
            "a file that is a device",
            format!("sif {file} mode 020644\nsif {file} block[0] 0x0105\n"),
        ),
        ("file-pipe", "a file that is a pipe", format!("sif {file} mode 010644\n")),
        ("file-socket", "a file that is a socket", format!("sif {file} mode 0140644\n")),
        ("file-no-kind", "a file of no kind", format!("sif {file} mode 0\n")),
        ("file-all-kinds", "a file of all kinds", format!("sif {file} mode 0177777\n")),
        ("link-long", "a link of 4 GiB", "sif /bin size 0xffffffff\n".into()),
        ("link-empty", "a link of nothing", "sif /bin size 0\n".into()),
        ("link-59", "a link without an end", "sif /bin size 59\n".into()),
        ("link-negative", "a link of 16 EiB", "sif /bin size 0xffffffffffffffff\n".into()),
        ("flags-all", "a file with all flags", format!("sif {file} flags 0xffffffff\n")),
        ("flags-inline", "a file with inline data that are a map", format!("sif {file} flags 0x10000000\n")),
        ("flags-encrypted", "an encrypted file", format!("sif {file} flags 0x80800\n")),
        ("flags-verity", "a sealed file", format!("sif {file} flags 0x180000\n")),
        ("flags-ea", "a file that is an attribute", format!("sif {file} flags 0x280000\n")),
        ("flags-index", "a plain folder that says that it has an index", "sif /etc flags 0x81000\n".into()),
        ("flags-blocks", "extents that are taken for a block map", format!("sif {file} flags 0\n")),
        ("acl-super", "attributes in the superblock", format!("sif {file} file_acl 1\n")),
        ("acl-beyond", "attributes behind the volume", format!("sif {file} file_acl 0xffffffff\n")),
        ("acl-etc", "attributes of a folder in the superblock", "sif /etc file_acl 1\n".into()),
        ("links-max", "a file with 65,535 names", format!("sif {file} links_count 65535\n")),
        ("links-0", "a file without names", format!("sif {file} links_count 0\n")),
        (
            "orphan-self",
            "a list of orphans that is its own next",
            "ssv last_orphan 20\nsif <20> dtime 20\n".to_owned(),
        ),
        ("orphan-root", "a root that is an orphan", "ssv last_orphan 2\n".into()),
        ("orphan-max", "an orphan that cannot be", "ssv last_orphan 0xffffffff\n".into()),
        (
            "orphan-reserved",
            "an orphan that is the journal",
            "ssv last_orphan 8\nsif <8> links_count 0\n".into(),
        ),
        (
            "dir-in-itself",
            "a folder that lies in itself",
            "ln /etc /etc/loop\nln /boot /boot/grub/boot\n".into(),
        ),
        (
            "root-in-etc",
            "a root that lies in a folder",
            "ln <2> /etc/root\nln <2> /boot/root\nln <2> /usr/lib/root\n".into(),
        ),
        (
            "modules-loop",
            "a folder of modules that lies in itself",
            "ln /usr/lib/modules /usr/lib/modules/6.1.0-28-amd64/kernel/loop\n".into(),
        ),
        (
            "names-of-super",
            "names that lead to inodes of the file system",
            "ln <7> /etc/seven\nln <8> /etc/eight\nln <1> /etc/one\n".into(),
        ),
        (
            "name-of-none",
            "names that lead to inodes that are free",
            "ln <200> /etc/free\nln <250> /boot/free\n".into(),
        ),
        (
            "fstab-is-etc",
            "a file that is the folder it lies in",
            "unlink /etc/fstab\nln /etc /etc/fstab\n".into(),
        ),
        (
            "errors",
            "a file system with errors on record",
            "ssv state 2\nssv error_count 7\nssv first_error_func \u{1b}[2J\n".into(),
        ),
        ("mount-point", "a last mount point that steers the terminal", "ssv last_mounted \u{1b}[2J\n".into()),
    ]
}

fn inodes() -> Vec<Case> {
    let mut found = Vec::new();
    for (options, base) in [(PLAIN, "plain"), (SUMMED, "summed")] {
        let shop = Workshop::new();
        shop.ext(&Tree::debian(), options, "8M", "");
        let good = shop.read("volume");
        for (name, about, requests) in requests() {
            shop.write("volume", &good);
            shop.debugfs(&requests);
            let disk = shop.disk("volume").in_partition(0x83);
            // Files of exbibytes are not copied out.
            let runs = if base == "summed" || name.starts_with("size-") { moved } else { all_of };
            found.push(case(&format!("ext/inode-{base}-{name}"), about, disk, runs(SEEN)));
        }
    }
    found
}

/// Blocks of extent trees and of attributes that lead to themselves.
fn trees() -> Vec<Case> {
    let shop = Workshop::new();
    let at = u64::from(FREE) * 1024;
    let block = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let header = |entries: u32, depth: u32| [0xf30a | entries << 16, 84 | depth << 16, 0];
    let to_self = |depth: u32| block(&[&header(1, depth)[..], &[0, FREE, 0]].concat());
    let many = block(
        &[&header(84, 3)[..], &(0..84).flat_map(|entry| [entry, FREE, 0]).collect::<Vec<_>>()].concat(),
    );
    // An attribute block (magic, references, blocks, hash, checksum) with an entry that leads on for ever.
    let attributes = |entry: [u32; 4]| block(&[&[0xea02_0000, 1, 1, 0, 0, 0, 0, 0][..], &entry].concat());
    let list = [
        ("own-index", "an index block that leads to itself", root(1, 4, 5, [0, FREE, 0]), to_self(4)),
        (
            "own-index-depth",
            "the same with the depth that is wanted below",
            root(1, 4, 1, [0, FREE, 0]),
            to_self(1),
        ),
        ("fan-out", "an index of 84 entries that all lead to itself", root(4, 4, 4, [0, FREE, 0]), many),
        ("leaf-noise", "a leaf that is noise", root(1, 4, 1, [0, FREE, 0]), vec![0xff; 1024]),
    ];
    let mut found = Vec::new();
    for (name, about, words, content) in list {
        for path in ["/etc/fstab", "/etc", "/boot/grub/grub.cfg"] {
            let disk = shop
                .ext(&Tree::debian(), PLAIN, "8M", &map(path, &words))
                .put(at, &content)
                .in_partition(0x83);
            let name = format!("ext/tree-{name}-{}", path.rsplit('/').next().unwrap_or_default());
            found.push(case(&name, about, disk, all_of(SEEN)));
        }
    }
    for (name, entry) in [
        ("name-len", [0x0000_00ff, 0, 4, 0]),
        ("offset", [0x0401_0601, 0, 0xffff_ffff, 0]),
        ("size-max", [0x0008_0601, 0, u32::MAX, 0]),
        ("inode", [0x0008_0601, 12, 8, 0]),
    ] {
        let request = format!("sif /etc file_acl {FREE}\nsif /etc/fstab file_acl {FREE}\n");
        let disk =
            shop.ext(&Tree::debian(), PLAIN, "8M", &request).put(at, &attributes(entry)).in_partition(0x83);
        found.push(case(
            &format!("ext/attribute-{name}"),
            "an attribute that leads out of its block",
            disk,
            all_of(SEEN),
        ));
    }
    found
}

/// Entries of the folder `/etc`, and its index.
fn folders() -> Vec<Case> {
    let shop = Workshop::new();
    let many = (0..400).fold(Tree::debian(), |tree, number| {
        tree.file(&format!("/etc/a-name-that-takes-room-{number:08}"), b"")
    });
    let plain = shop.ext(&Tree::debian(), PLAIN, "8M", "");
    let first = block_of(&shop, "/etc");
    shop.ext(&many, &[PLAIN, &["-N", "1024"]].concat(), "8M", "");
    // mkfs makes no index: e2fsck does.
    let made = Command::new("timeout").args(["60", "e2fsck", "-fyD"]).arg(shop.path("volume")).output();
    assert!(
        made.is_ok_and(|output| output.status.code().is_some_and(|code| code < 2)),
        "e2fsck (package e2fsprogs)"
    );
    let (index, dx) = (shop.disk("volume"), block_of(&shop, "/etc"));
    assert_eq!(index.read(dx * 1024 + 0x1d, 1), [8], "the length of an index's head");
    let at = first * 1024;
    let mut found = Vec::new();
    // The third entry is the first real one.
    let entry = at + 24;
    for (name, offset, width) in
        [("inode", 0usize, 4usize), ("length", 4, 2), ("name-length", 6, 1), ("kind", 7, 1)]
    {
        let mut values = extremes(width);
        values.extend([("three", 3), ("four", 4), ("two", 2), ("twelve", 12)]);
        for (what, value) in values {
            let disk = plain.clone().change(entry, 16, |bytes| put_le(bytes, offset, width, value));
            found.push(case(
                &format!("ext/entry-{name}-{what}"),
                "a field of an entry of a folder",
                disk.in_partition(0x83),
                moved(SEEN),
            ));
        }
    }
    for (number, name) in
        [&b"a/b"[..], b"../", b"\0\0\0", b"\x1b[2", b"\n\r\x07", b"\xff\xfe\xfd", b"..\0", b".\0\0"]
            .into_iter()
            .enumerate()
    {
        let disk = plain.clone().put(entry + 8, name).change(entry + 6, 1, |bytes| bytes[0] = 3);
        found.push(case(
            &format!("ext/name-{number}"),
            "a name that no file can have",
            disk.in_partition(0x83),
            moved(SEEN),
        ));
    }
    let dots = plain.clone().change(at, 24, |bytes| {
        put_le(bytes, 0, 4, 0xffff_ffff);
        put_le(bytes, 12, 4, 0xffff_ffff);
    });
    found.push(case(
        "ext/dots",
        "a folder whose dots lead to inodes that cannot be",
        dots.in_partition(0x83),
        moved(SEEN),
    ));
    for (name, offset, width) in [
        ("hash", 0x1c_usize, 1_usize),
        ("levels", 0x1e, 1),
        ("limit", 0x20, 2),
        ("count", 0x22, 2),
        ("block-0", 0x24, 4),
        ("block-1", 0x2c, 4),
    ] {
        for (what, value) in extremes(width) {
            let disk = index.clone().change(dx * 1024, 64, |bytes| put_le(bytes, offset, width, value));
            found.push(case(
                &format!("ext/index-{name}-{what}"),
                "a field of a folder's index",
                disk.in_partition(0x83),
                moved(SEEN),
            ));
        }
    }
    found
}

/// The first block of a file of the volume that was made.
fn block_of(shop: &Workshop, path: &str) -> u64 {
    let text = shop.debugfs(&format!("blocks {path}\n"));
    let first = |line: &str| line.split_whitespace().next()?.parse().ok();
    text.lines().rev().find_map(first).expect("a list of blocks")
}
