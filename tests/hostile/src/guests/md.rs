//! Superblocks of md arrays, whose checksums are always right.

use super::disk::{Disk, Entry, MIB, SECTOR, extremes, mbr, put_le};
use super::{case, inspect, inspect_json, plan};
use crate::Case;

const SIZE: u64 = 4 * MIB;
const SECTORS: u64 = SIZE / SECTOR;

/// A superblock of version 1.2 of member `number`, with `change` done before its checksum is made.
fn version_1(number: u64, level: i32, change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let level = u64::from(level.cast_unsigned());
    let fields = [
        (0, 4, 0xa92b_4efc),
        (4, 4, 1),
        (72, 4, level),
        (80, 8, SECTORS - 256),
        (88, 4, 128),
        (92, 4, 2),
        (128, 8, 256),
        (136, 8, SECTORS - 256),
        (144, 8, 8),
        (160, 4, number),
        (200, 8, 20),
        (208, 8, u64::MAX),
        (220, 4, 2),
        (256, 2, 0),
        (258, 2, 1),
    ];
    fields.iter().for_each(|(at, width, value)| put_le(&mut bytes, *at, *width, *value));
    bytes[16..32].copy_from_slice(b"0123456789abcdef");
    bytes[32..38].copy_from_slice(b"host:7");
    bytes[168..184].fill(number as u8 + 1);
    change(&mut bytes);
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let end = (256 + 2 * (word(220) as usize)).min(4096);
    let mut sum: u64 = (0..end / 4).filter(|at| *at != 54).map(|at| u64::from(word(4 * at))).sum();
    if !end.is_multiple_of(4) {
        sum += u64::from(u16::from_le_bytes([bytes[end - 2], bytes[end - 1]]));
    }
    put_le(&mut bytes, 216, 4, (sum & 0xffff_ffff) + (sum >> 32));
    bytes
}

/// Version 0.90.
fn version_0(number: u64, change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let mut put = |word: usize, value: u64| put_le(&mut bytes, 4 * word, 4, value);
    for (word, value) in [
        (0, 0xa92b_4efc),
        (2, 90),
        (5, 1),
        (7, 1),
        (8, SECTORS / 2 - 128),
        (9, 2),
        (10, 2),
        (11, 7),
        (13, 2),
        (14, 3),
        (15, 4),
    ] {
        put(word, value);
    }
    for (word, value) in [(32, 1_700_000_000), (33, 1), (34, 2), (35, 2), (39, 20), (64, 0), (65, 128)] {
        put(word, value);
    }
    for device in 0..2 {
        let at = 128 + 32 * device;
        put(at, device as u64);
        put(at + 3, device as u64);
        put(at + 4, 6);
    }
    put(992, number);
    put(995, number);
    put(996, 6);
    change(&mut bytes);
    put_le(&mut bytes, 152, 4, 0);
    let words =
        bytes.chunks_exact(4).map(|word| u64::from(u32::from_le_bytes([word[0], word[1], word[2], word[3]])));
    let sum: u64 = words.sum();
    put_le(&mut bytes, 152, 4, (sum & 0xffff_ffff) + (sum >> 32));
    bytes
}

/// A disk of members, one in each partition.
fn disk(superblocks: &[(u64, Vec<u8>)]) -> Disk {
    let entries: Vec<Entry> = (0..superblocks.len() as u32)
        .map(|at| Entry { flag: 0, kind: 0xfd, start: 2048 + at * SECTORS as u32, sectors: SECTORS as u32 })
        .collect();
    let len = MIB + SIZE * superblocks.len() as u64 + MIB;
    let blank = Disk::empty(len).put(0, &mbr(&entries));
    (0..).zip(superblocks).fold(blank, |disk, (at, (place, bytes))| disk.put(MIB + SIZE * at + place, bytes))
}

fn both(level: i32, change: impl Fn(&mut [u8])) -> Disk {
    disk(&[(4096, version_1(0, level, &change)), (4096, version_1(1, level, &change))])
}

fn both_0(change: impl Fn(&mut [u8])) -> Disk {
    let place = SIZE - 65_536;
    disk(&[(place, version_0(0, &change)), (place, version_0(1, &change))])
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = fields();
    cases.extend(shapes());
    cases
}

/// Every field of both versions at its extremes, for each level that is mapped.
fn fields() -> Vec<Case> {
    let fields_1 = [
        ("features", 8, 4),
        ("level", 72, 4),
        ("layout", 76, 4),
        ("size", 80, 8),
        ("chunk", 88, 4),
        ("raid-disks", 92, 4),
        ("bitmap", 96, 4),
        ("data-offset", 128, 8),
        ("data-size", 136, 8),
        ("super-offset", 144, 8),
        ("recovery", 152, 8),
        ("number", 160, 4),
        ("bad-blocks", 188, 4),
        ("events", 200, 8),
        ("resync", 208, 8),
        ("max-dev", 220, 4),
        ("role", 256, 2),
    ];
    let mut found = Vec::new();
    for (name, at, width) in fields_1 {
        for level in [0, 1, 10] {
            for (what, value) in extremes(width) {
                let disk = both(level, |bytes| put_le(bytes, at, width, value));
                found.push(case(
                    &format!("md/1-raid{level}-{name}-{what}"),
                    "a field of version 1.2",
                    disk,
                    vec![inspect(&[0])],
                ));
            }
        }
    }
    for (name, word) in [
        ("minor", 2),
        ("level", 7),
        ("size", 8),
        ("nr-disks", 9),
        ("raid-disks", 10),
        ("md-minor", 11),
        ("state", 33),
        ("chunk", 65),
        ("layout", 64),
        ("number", 128),
        ("role", 131),
        ("disk-state", 132),
        ("this-disk", 992),
    ] {
        for (what, value) in extremes(4) {
            let disk = both_0(|bytes| put_le(bytes, 4 * word, 4, value));
            found.push(case(
                &format!("md/0-{name}-{what}"),
                "a field of version 0.90",
                disk,
                vec![inspect(&[0])],
            ));
        }
    }
    found
}

fn shapes() -> Vec<Case> {
    let layouts = [0, 1, 0x101, 0xff, 0xff01, 0xffff, 0x1_0102, 0x2_0201, u64::from(u32::MAX)];
    let mut cases: Vec<Case> = layouts
        .iter()
        .map(|layout| {
            let disk = both(10, |bytes| put_le(bytes, 76, 4, *layout));
            case(&format!("md/raid10-layout-{layout:x}"), "a layout of copies", disk, vec![inspect(&[0])])
        })
        .collect();
    let names: [&[u8]; 4] =
        [b"\x1b[2J\x1b]0;x\x07", b"a\nb\rc\x00", b"../../../etc", b"\xff\xfe$(id)|;&\x9b"];
    for (number, name) in names.into_iter().enumerate() {
        let disk = both(1, |bytes| bytes[32..32 + name.len()].copy_from_slice(name));
        cases.push(case(
            &format!("md/name-{number}"),
            "a name of an array",
            disk,
            vec![inspect(&[0]), inspect_json(&[0]), plan("kvm", &[78])],
        ));
    }
    let full = both(1, |bytes| {
        put_le(bytes, 220, 4, 1920);
        put_le(bytes, 92, 4, 1920);
        (0..1920).for_each(|at| put_le(bytes, 256 + 2 * at, 2, at as u64));
    });
    cases.push(case("md/1920-members", "an array of as many members as fit", full, vec![inspect(&[0])]));
    let same = disk(&[(4096, version_1(0, 1, |_| {})), (4096, version_1(0, 1, |_| {}))]);
    cases.push(case("md/same-member-twice", "two members that are the same one", same, vec![inspect(&[0])]));
    let own = both(1, |bytes| put_le(bytes, 128, 8, 0));
    cases.push(case(
        "md/data-over-superblock",
        "data that lies over the superblock",
        own,
        vec![inspect(&[0])],
    ));
    // The array's first bytes are the member's own superblock again, and so on.
    let nested =
        (0..8).fold(disk(&[(4096, version_1(0, 1, |bytes| put_le(bytes, 92, 4, 1)))]), |disk, depth| {
            let at = MIB + 131_072 * (depth + 1) + 4096;
            disk.put(
                at,
                &version_1(0, 1, |bytes| {
                    put_le(bytes, 92, 4, 1);
                    let sectors = SECTORS - 256 * (depth + 2);
                    put_le(bytes, 80, 8, sectors);
                    put_le(bytes, 136, 8, sectors);
                    bytes[16] = b'A' + depth as u8;
                }),
            )
        });
    cases.push(case("md/nested", "an array in an array, nine deep", nested, vec![inspect(&[0])]));
    cases.push(case(
        "md/0-plain",
        "an array of version 0.90 with nothing on it",
        both_0(|_| {}),
        vec![inspect(&[0])],
    ));
    cases
}
