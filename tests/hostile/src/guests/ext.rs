//! ext2, ext3 and ext4: superblocks, groups, inodes, folders, attributes.

use super::disk::{Disk, MIB, crc32c, extremes, put_le};
use super::ext_inodes;
use super::tools::{Tree, Workshop};
use super::{SEEN, all_of, case, inspect, looked, moved, plan};
use crate::Case;

/// Where the superblock begins, on the volume.
const SUPER: u64 = 1024;
pub(super) const PLAIN: &[&str] = &["-b", "1024", "-O", "^metadata_csum,^64bit,^has_journal"];
pub(super) const SUMMED: &[&str] = &["-b", "1024", "-O", "metadata_csum,64bit", "-J", "size=1"];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = fields();
    cases.extend(groups());
    cases.extend(ext_inodes::cases());
    cases.extend(large());
    cases
}

/// Fields of the superblock: name, place, width.
const FIELDS: &[(&str, usize, usize)] = &[
    ("inodes", 0, 4),
    ("blocks", 4, 4),
    ("reserved", 8, 4),
    ("free-blocks", 12, 4),
    ("free-inodes", 16, 4),
    ("first-block", 20, 4),
    ("log-block-size", 24, 4),
    ("log-cluster-size", 28, 4),
    ("blocks-per-group", 32, 4),
    ("clusters-per-group", 36, 4),
    ("inodes-per-group", 40, 4),
    ("magic", 56, 2),
    ("state", 58, 2),
    ("errors", 60, 2),
    ("revision", 76, 4),
    ("first-inode", 84, 4),
    ("inode-size", 88, 2),
    ("compat", 92, 4),
    ("incompat", 96, 4),
    ("ro-compat", 100, 4),
    ("reserved-gdt", 206, 2),
    ("journal-inode", 224, 4),
    ("journal-device", 228, 4),
    ("last-orphan", 232, 4),
    ("hash-version", 252, 1),
    ("journal-backup-kind", 253, 1),
    ("descriptor-size", 254, 2),
    ("first-meta-bg", 260, 4),
    ("blocks-high", 336, 4),
    ("extra-isize", 348, 2),
    ("flags", 352, 4),
    ("raid-stride", 356, 2),
    ("mmp-block", 360, 8),
    ("log-groups-per-flex", 372, 1),
    ("checksum-type", 373, 1),
    ("quota-inode", 576, 4),
    ("backup-groups", 588, 4),
    ("project-quota", 620, 4),
    ("orphan-file", 640, 4),
];

/// Makes the superblock's checksum right.
fn seal(bytes: &mut [u8]) {
    let sum = crc32c(!0, &bytes[..1020]);
    put_le(bytes, 1020, 4, u64::from(sum));
}

fn fields() -> Vec<Case> {
    let shop = Workshop::new();
    let (plain, summed) =
        (shop.ext(&Tree::debian(), PLAIN, "8M", ""), shop.ext(&Tree::debian(), SUMMED, "8M", ""));
    let mut found = Vec::new();
    for (base, name) in [(&plain, "plain"), (&summed, "summed")] {
        for (field, at, width) in FIELDS {
            for (what, value) in extremes(*width) {
                let disk = base.clone().change(SUPER, 1024, |bytes| {
                    put_le(bytes, *at, *width, value);
                    if name == "summed" {
                        seal(bytes);
                    }
                });
                found.push(case(
                    &format!("ext/{name}-{field}-{what}"),
                    "a field of the superblock",
                    disk.in_partition(0x83),
                    looked(),
                ));
            }
        }
    }
    let label = summed.clone().change(SUPER, 1024, |bytes| {
        bytes[120..134].copy_from_slice(b"\x1b[2J\x1b]0;x\x07\n\r\xff\xff");
        bytes[136..200].fill(b'\x1b');
        seal(bytes);
    });
    found.push(case("ext/label", "a label that steers the terminal", label.in_partition(0x83), all_of(SEEN)));
    for kib in [2u64, 3, 9, 100, 1000] {
        let cut = summed.clone().resized(kib * 1024).in_partition(0x83);
        found.push(case(&format!("ext/cut-{kib}"), "a volume that ends early", cut, looked()));
    }
    found.push(case(
        "ext/whole",
        "the guest itself, of which nothing is wrong",
        summed.in_partition(0x83),
        all_of(&[0]),
    ));
    found.push(case("ext/whole-plain", "the same without checksums", plain.in_partition(0x83), all_of(&[0])));
    found
}

/// Descriptors of the first group.
fn groups() -> Vec<Case> {
    let shop = Workshop::new();
    let base = shop.ext(&Tree::debian(), PLAIN, "8M", "");
    let fields = [
        ("block-bitmap", 0, 4),
        ("inode-bitmap", 4, 4),
        ("inode-table", 8, 4),
        ("free-blocks", 12, 2),
        ("free-inodes", 14, 2),
        ("folders", 16, 2),
        ("flags", 18, 2),
        ("unused", 28, 2),
    ];
    let mut found = Vec::new();
    for (name, at, width) in fields {
        let others = if width == 4 {
            vec![("super", 1), ("own", 2), ("end", 8191), ("after", 8192)]
        } else {
            Vec::new()
        };
        for (what, value) in extremes(width).into_iter().chain(others) {
            let disk =
                base.clone().change(2048, 32, |bytes| put_le(bytes, at, width, value)).in_partition(0x83);
            found.push(case(
                &format!("ext/group-{name}-{what}"),
                "a field of the first group",
                disk,
                moved(SEEN),
            ));
        }
    }
    // Every group says that its table lies where the first one's does.
    let same = base.change(2048, 1024, |bytes| (0..32).for_each(|group| put_le(bytes, 32 * group + 8, 4, 5)));
    found.push(case(
        "ext/group-same-tables",
        "groups that share a table of inodes",
        same.in_partition(0x83),
        moved(SEEN),
    ));
    found
}

fn large() -> Vec<Case> {
    let shop = Workshop::new();
    shop.blank("volume", 8 * MIB);
    let options = ["-q", "-F", "-b", "4096", "-O", "^has_journal,^resize_inode", "volume"];
    shop.run("e2fsprogs", "mkfs.ext4", &options);
    let size: u64 = 15 << 40;
    let volume = shop.disk("volume").change(SUPER, 1024, |bytes| {
        put_le(bytes, 4, 4, size / 4096);
        seal(bytes);
    });
    let about = "a superblock of 15 TiB on a volume that has nothing more";
    vec![case(
        "ext/15-tib",
        about,
        Disk { len: size, ..volume },
        vec![inspect(SEEN), plan("kvm", &[65, 69, 78])],
    )]
}
