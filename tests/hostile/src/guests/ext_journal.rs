//! Journals that have to be replayed: the log is changed so that a replay would write where it must not, or never end.

use super::disk::{Disk, extremes, put_be};
use super::tools::{Tree, Workshop};
use super::{Field, SEEN, case, moved};
use crate::Case;

const MAGIC: u32 = 0xc03b_3998;
const BLOCK: u64 = 1024;

/// Kinds of blocks.
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const SUPERBLOCK: u32 = 4;
const REVOKE: u32 = 5;

/// A volume whose journal holds new content of some blocks, and a revoke; and where the journal's blocks are.
struct Dirty {
    disk: Disk,
}

impl Dirty {
    fn new(options: &[&str]) -> Self {
        let shop = Workshop::new();
        let tree = Tree::debian().file("/etc/long", &[b'o'; 20_000]).file("/etc/other", &[b'p'; 20_000]);
        shop.ext(&tree, options, "8M", "");
        shop.write("new", &[b'n'; 4096]);
        let blocks = |path: &str| {
            let text = shop.debugfs(&format!("blocks {path}\n"));
            let line = text.lines().rev().find(|line| line.starts_with(|c: char| c.is_ascii_digit()));
            line.expect("a list of blocks").split_whitespace().take(4).collect::<Vec<_>>().join(",")
        };
        let (long, other) = (blocks("/etc/long"), blocks("/etc/other"));
        shop.debugfs(&format!(
            "jo\njw -b {long} new\njw -b {other} new\njw -r {other}\njw -b {long} new\njc\n"
        ));
        Self { disk: shop.disk("volume") }
    }

    /// The first block of the journal's of a kind.
    fn find(&self, kind: u32) -> u64 {
        let magic = [MAGIC.to_be_bytes(), kind.to_be_bytes()].concat();
        self.disk.find(&magic, 0, BLOCK).unwrap_or_else(|| panic!("a block of kind {kind} in the journal"))
    }

    fn with(&self, at: u64, change: impl FnOnce(&mut [u8])) -> Disk {
        self.disk.clone().change(at, BLOCK as usize, change).in_partition(0x83)
    }
}

fn one(name: &str, about: &str, disk: Disk) -> Case {
    case(&format!("ext-journal/{name}"), about, disk, moved(SEEN))
}

pub(super) fn cases() -> Vec<Case> {
    let dirty = Dirty::new(&["-b", "1024", "-O", "^metadata_csum,^64bit", "-J", "size=1"]);
    let mut cases = fields(&dirty);
    cases.extend(loops(&dirty));
    cases.push(one("whole", "a journal of which nothing is wrong", dirty.disk.in_partition(0x83)));
    cases
}

/// Every field of the journal's superblock and of the blocks of its log at its extremes.
fn fields(dirty: &Dirty) -> Vec<Case> {
    let superblock = [
        ("kind", 4, 4),
        ("block-size", 12, 4),
        ("length", 16, 4),
        ("first", 20, 4),
        ("sequence", 24, 4),
        ("start", 28, 4),
        ("errno", 32, 4),
        ("compat", 36, 4),
        ("incompat", 40, 4),
        ("ro-compat", 44, 4),
        ("users", 64, 4),
        ("checksum-type", 80, 1),
        ("fast-blocks", 84, 4),
        ("head", 88, 4),
    ];
    let tables: [(&str, u32, &[Field]); 4] = [
        ("super", SUPERBLOCK, &superblock),
        (
            "tag",
            DESCRIPTOR,
            &[("sequence", 8, 4), ("block", 12, 4), ("checksum", 16, 2), ("flags", 18, 2), ("second", 36, 4)],
        ),
        ("commit", COMMIT, &[("kind", 4, 4), ("sequence", 8, 4), ("checksum-kind", 12, 1)]),
        ("revoke", REVOKE, &[("sequence", 8, 4), ("count", 12, 4), ("block", 16, 4)]),
    ];
    let mut found = Vec::new();
    for (name, kind, fields) in tables {
        let place = dirty.find(kind);
        for (field, at, width) in fields {
            for (what, value) in extremes(*width) {
                let disk = dirty.with(place, |bytes| put_be(bytes, *at, *width, value));
                found.push(one(&format!("{name}-{field}-{what}"), "a field of a journal", disk));
            }
        }
    }
    found
}

fn loops(dirty: &Dirty) -> Vec<Case> {
    let descriptor = dirty.find(DESCRIPTOR);
    // Places of the volume that nothing in a log may be written to: superblock, descriptors, tables, the journal itself.
    let journal = dirty.find(SUPERBLOCK) / BLOCK;
    let mut found: Vec<Case> = [
        ("super", 1),
        ("groups", 2),
        ("bitmap", 34),
        ("boot", 0),
        ("journal", journal),
        ("end", 8191),
        ("after", 8192),
    ]
    .into_iter()
    .map(|(name, block)| {
        let disk = dirty.with(descriptor, |bytes| put_be(bytes, 12, 4, block));
        one(&format!("to-{name}"), "a log that writes where the file system itself lies", disk)
    })
    .collect();
    // As many tags as fit, none the last: the data would be longer than the log.
    let endless = dirty.with(descriptor, |bytes| {
        (12..1016).step_by(8).for_each(|at| {
            put_be(bytes, at, 4, 500);
            put_be(bytes, at + 4, 4, 2);
        });
    });
    found.push(one("endless-tags", "a descriptor whose tags do not end", endless));
    // Every block of the log is a descriptor of the next transaction.
    let first = dirty.find(SUPERBLOCK) + BLOCK;
    let chain = (0..1000).fold(dirty.disk.clone(), |disk, number: u64| {
        let mut block = vec![0; BLOCK as usize];
        put_be(&mut block, 0, 4, u64::from(MAGIC));
        put_be(&mut block, 4, 4, u64::from(if number.is_multiple_of(2) { REVOKE } else { COMMIT }));
        put_be(&mut block, 8, 4, 1 + number / 2);
        put_be(&mut block, 12, 4, 1024);
        disk.put(first + number * BLOCK, &block)
    });
    found.push(one("all-revokes", "a log of nothing but revokes and commits", chain.in_partition(0x83)));
    let same = dirty.with(dirty.find(SUPERBLOCK), |bytes| put_be(bytes, 40, 4, 0x7f));
    found.push(one("all-features", "a journal with all features", same));
    found
}
