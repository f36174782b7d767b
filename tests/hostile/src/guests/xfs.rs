//! XFS: superblock, allocation groups, inodes and folders. Checksums of version 5 are always right.

use super::disk::{Disk, crc32c, extremes, put_be, put_le};
use super::tools::{Node, Tree, UUID, Workshop};
use super::{Field, SEEN, all_of, case, looked, read};
use crate::Case;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const SIZE: u64 = 24 << 20;

/// A folder of the guest while the list for mkfs.xfs is written.
#[derive(Default)]
struct Folder<'a> {
    folders: BTreeMap<&'a str, Folder<'a>>,
    others: BTreeMap<&'a str, &'a Node>,
}

/// The list from which mkfs.xfs fills a volume; content of files is put beside it.
fn list(shop: &Workshop, tree: &Tree) -> String {
    let mut root = Folder::default();
    for (path, node) in &tree.0 {
        let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let name = parts.pop().unwrap_or_default();
        let folder =
            parts.into_iter().fold(&mut root, |folder, part| folder.folders.entry(part).or_default());
        if matches!(node, Node::Folder) {
            folder.folders.entry(name).or_default();
        } else {
            folder.others.insert(name, node);
        }
    }
    let mut text = "boot\n0 0\nd--755 0 0\n".to_owned();
    let mut number = 0;
    write_list(shop, &root, &mut text, &mut number);
    text + "$\n"
}

fn write_list(shop: &Workshop, folder: &Folder<'_>, text: &mut String, number: &mut u32) {
    for (name, inner) in &folder.folders {
        let _ = writeln!(text, "{name} d--755 0 0");
        write_list(shop, inner, text, number);
        text.push_str("$\n");
    }
    for (name, node) in &folder.others {
        let _ = match node {
            Node::Link(target) => writeln!(text, "{name} l--777 0 0 {target}"),
            Node::Pipe => writeln!(text, "{name} p--644 0 0"),
            Node::File(content) => {
                *number += 1;
                let file = format!("content{number}");
                shop.write(&file, content);
                writeln!(text, "{name} ---644 0 0 {}", shop.path(&file).display())
            }
            Node::Folder => Ok(()),
        };
    }
}

fn guest() -> Tree {
    let tree = Tree::debian().file("/etc/fstab", b"/dev/xvda1 / xfs defaults 0 0\n");
    (0..200)
        .fold(tree, |tree, number| tree.file(&format!("/etc/many/a-name-that-takes-room-{number:08}"), b""))
}

fn volume(options: &[&str]) -> Disk {
    let shop = Workshop::new();
    let text = list(&shop, &guest());
    shop.write("list", text.as_bytes());
    shop.blank("volume", SIZE);
    let uuid = format!("uuid={UUID}");
    let fixed = ["-q", "--unsupported", "-m", &uuid, "-p", "list"];
    shop.run("xfsprogs", "mkfs.xfs", &[&fixed[..], options, &["volume"]].concat());
    shop.disk("volume")
}

/// A structure: its place, length, where its checksum is, and its fields.
type Structure = (&'static str, u64, usize, usize, &'static [(&'static str, usize, usize)]);

const STRUCTURES: &[Structure] = &[
    (
        "super",
        0,
        512,
        224,
        &[
            ("block-size", 4, 4),
            ("blocks", 8, 8),
            ("realtime-blocks", 16, 8),
            ("log-start", 48, 8),
            ("root", 56, 8),
            ("ag-blocks", 84, 4),
            ("ag-count", 88, 4),
            ("log-blocks", 96, 4),
            ("version", 100, 2),
            ("sector-size", 102, 2),
            ("inode-size", 104, 2),
            ("inodes-per-block", 106, 2),
            ("log-block", 120, 1),
            ("log-sector", 121, 1),
            ("log-inode", 122, 1),
            ("log-inodes-per-block", 123, 1),
            ("log-ag-blocks", 124, 1),
            ("in-progress", 126, 1),
            ("inodes", 128, 8),
            ("free-blocks", 144, 8),
            ("log-unit", 188, 4),
            ("log-folder-block", 192, 1),
            ("features-2", 200, 4),
            ("compat", 208, 4),
            ("ro-compat", 212, 4),
            ("incompat", 216, 4),
            ("log-incompat", 220, 4),
        ],
    ),
    (
        "agf",
        512,
        512,
        216,
        &[
            ("number", 8, 4),
            ("length", 12, 4),
            ("root-by-block", 16, 4),
            ("root-by-size", 20, 4),
            ("levels-by-block", 28, 4),
            ("levels-by-size", 32, 4),
            ("free-first", 40, 4),
            ("free-last", 44, 4),
            ("free-count", 48, 4),
            ("free-blocks", 52, 4),
            ("longest", 56, 4),
        ],
    ),
    (
        "agi",
        1024,
        512,
        312,
        &[
            ("number", 8, 4),
            ("length", 12, 4),
            ("count", 16, 4),
            ("root", 20, 4),
            ("levels", 24, 4),
            ("free", 28, 4),
            ("unlinked", 40, 4),
        ],
    ),
];

/// Fields of an inode.
const INODE: &[(&str, usize, usize)] = &[
    ("mode", 2, 2),
    ("version", 4, 1),
    ("format", 5, 1),
    ("links", 16, 4),
    ("size", 56, 8),
    ("blocks", 64, 8),
    ("extents", 76, 4),
    ("attribute-extents", 80, 2),
    ("fork", 82, 1),
    ("attribute-format", 83, 1),
    ("flags", 90, 2),
    ("unlinked", 96, 4),
    ("flags-2", 120, 8),
    ("own-number", 152, 8),
    ("data-0", 176, 8),
    ("data-1", 184, 8),
];

/// A disk with a structure changed and its checksum made right.
fn changed(base: &Disk, at: u64, len: usize, crc: usize, change: impl FnOnce(&mut [u8])) -> Disk {
    let disk = base.clone().change(at, len, |bytes| {
        change(bytes);
        put_le(bytes, crc, 4, 0);
        let sum = !crc32c(!0, bytes);
        put_le(bytes, crc, 4, u64::from(sum));
    });
    disk.in_partition(0x83)
}

pub(super) fn cases() -> Vec<Case> {
    let base = volume(&["-b", "size=4096"]);
    let mut found = Vec::new();
    for (structure, at, len, crc, fields) in STRUCTURES {
        for (field, place, width) in *fields {
            for (what, value) in extremes(*width) {
                let disk = changed(&base, *at, *len, *crc, |bytes| put_be(bytes, *place, *width, value));
                found.push(case(
                    &format!("xfs/{structure}-{field}-{what}"),
                    "a field of a structure",
                    disk,
                    looked(),
                ));
            }
        }
    }
    found.extend(inodes(&base));
    found.extend(blocks(&base));
    let name = changed(&base, 0, 512, 224, |bytes| bytes[108..119].copy_from_slice(b"\x1b[2J\x1b]0;x\x07\n"));
    found.push(case("xfs/label", "a label that steers the terminal", name, all_of(SEEN)));
    found.push(case(
        "xfs/whole",
        "the guest itself, of which nothing is wrong",
        base.clone().in_partition(0x83),
        all_of(SEEN),
    ));
    for kib in [1, 5, 100, 4000] {
        let cut = base.clone().resized(kib * 1024).in_partition(0x83);
        found.push(case(&format!("xfs/cut-{kib}"), "a volume that ends early", cut, looked()));
    }
    found
}

/// The inodes in the first chunk: the root, and what it holds first.
fn inodes(base: &Disk) -> Vec<Case> {
    let mut found = Vec::new();
    let first = base.find(b"IN", 4096, 512).expect("an inode");
    let places: Vec<u64> =
        (0..64u64).map(|number| first + 512 * number).filter(|at| base.read(*at, 2) == b"IN").collect();
    let by_mode = |wanted: u16, skip: usize| {
        places.iter().copied().filter(|at| base.read(at + 2, 2) == wanted.to_be_bytes()).nth(skip)
    };
    let named = [
        ("root", places.first().copied()),
        ("folder", by_mode(0o040_755, 1)),
        ("file", by_mode(0o100_644, 0)),
        ("link", by_mode(0o120_777, 0)),
    ];
    for (name, at) in named.into_iter().filter_map(|(name, at)| Some((name, at?))) {
        for (field, place, width) in INODE {
            for (what, value) in extremes(*width) {
                let disk = changed(base, at, 512, 100, |bytes| put_be(bytes, *place, *width, value));
                found.push(case(
                    &format!("xfs/{name}-{field}-{what}"),
                    "a field of an inode",
                    disk,
                    read("/etc"),
                ));
            }
        }
    }
    // A root of a tree of extents in the inode that leads to a block that leads to itself.
    let at = places.first().copied().expect("the root");
    let free = SIZE - (64 << 12);
    let looped = changed(base, at, 512, 100, |bytes| {
        put_be(bytes, 5, 1, 3);
        put_be(bytes, 176, 2, 2);
        put_be(bytes, 178, 2, 1);
        bytes[180..512].fill(0);
        (0..20).for_each(|number| put_be(bytes, 184 + 8 * number, 8, free >> 12));
    });
    let node = [&b"BMA3"[..], &[0, 1, 0, 250], &[0xff; 16]].concat();
    let looped = looped.put((1 << 20) + free, &node);
    found.push(case("xfs/tree-loop", "a tree of extents that leads to itself", looped, read("/etc")));
    found
}

/// Blocks of folders and of trees, by their signatures.
fn blocks(base: &Disk) -> Vec<Case> {
    let kinds: [(&str, &[u8; 4], usize, &[Field]); 6] = [
        (
            "folder-block",
            b"XDB3",
            4,
            &[
                ("own-block", 8, 8),
                ("owner", 40, 8),
                ("free-0", 48, 2),
                ("first-inode", 64, 8),
                ("first-length", 72, 1),
                ("third-inode", 96, 8),
                ("third-length", 104, 1),
                ("tail-count", 4088, 4),
                ("tail-stale", 4092, 4),
            ],
        ),
        (
            "folder-data",
            b"XDD3",
            4,
            &[
                ("own-block", 8, 8),
                ("owner", 40, 8),
                ("free-0", 48, 2),
                ("first-length", 72, 1),
                ("third-inode", 96, 8),
                ("third-length", 104, 1),
            ],
        ),
        (
            "by-block",
            b"AB3B",
            52,
            &[
                ("level", 4, 2),
                ("records", 6, 2),
                ("left", 8, 4),
                ("right", 12, 4),
                ("first-start", 56, 4),
                ("first-length", 60, 4),
            ],
        ),
        (
            "by-size",
            b"AB3C",
            52,
            &[("level", 4, 2), ("records", 6, 2), ("right", 12, 4), ("first-start", 56, 4)],
        ),
        (
            "inode-tree",
            b"IAB3",
            52,
            &[
                ("level", 4, 2),
                ("records", 6, 2),
                ("right", 12, 4),
                ("first-inode", 56, 4),
                ("first-free", 60, 4),
            ],
        ),
        ("link-block", b"XSLM", 12, &[("offset", 4, 4), ("bytes", 8, 4), ("owner", 32, 8)]),
    ];
    let mut found = Vec::new();
    for (name, magic, crc, fields) in kinds {
        let Some(at) = base.find(magic, 0, 4096) else { continue };
        for (field, place, width) in fields {
            for (what, value) in extremes(*width) {
                let disk = changed(base, at, 4096, crc, |bytes| put_be(bytes, *place, *width, value));
                found.push(case(
                    &format!("xfs/{name}-{field}-{what}"),
                    "a field of a block",
                    disk,
                    read("/etc"),
                ));
            }
        }
    }
    found
}
