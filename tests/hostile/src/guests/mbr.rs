//! Master boot records and chains of logical partitions.

use super::disk::{Disk, Entry, MIB, SECTOR, START, mbr};
use super::tools::{Tree, Workshop};
use super::{all_of, case, inspect, inspect_json, looked, plan, refused};
use crate::Case;

const SIZE: u64 = 8 * MIB;

fn entry(kind: u8, start: u32, sectors: u32) -> Entry {
    Entry { flag: 0, kind, start, sectors }
}

fn disk(entries: &[Entry]) -> Disk {
    Disk::empty(SIZE).put(0, &mbr(entries))
}

/// A table of logical partitions in a sector.
fn at(disk: Disk, sector: u64, entries: &[Entry]) -> Disk {
    disk.put(sector * SECTOR, &mbr(entries))
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = chains();
    cases.extend(places());
    cases.extend(one_volume_many_times());
    cases
}

fn chains() -> Vec<Case> {
    let extended = [entry(5, 100, 10_000)];
    let own = at(disk(&extended), 100, &[entry(0x83, 10, 10), entry(5, 0, 10_000)]);
    let two = at(disk(&extended), 100, &[entry(0x83, 10, 10), entry(5, 50, 100)]);
    let two = at(two, 150, &[entry(0x83, 10, 10), entry(5, 0, 100)]);
    let to_mbr = disk(&[entry(5, 0, 10_000)]);
    let beyond = at(disk(&extended), 100, &[entry(0x83, 10, 10), entry(5, u32::MAX, 100)]);
    let wraps = at(disk(&[entry(5, u32::MAX, u32::MAX)]), 100, &[]);
    let empty_links = (0..400).fold(disk(&extended), |disk, step| {
        at(disk, 100 + step, &[entry(0, 0, 0), entry(5, step as u32 + 1, 10)])
    });
    let long = (0..2000).fold(disk(&extended), |disk, step| {
        at(disk, 100 + 2 * step, &[entry(0x83, 1, 1), entry(5, 2 * step as u32 + 2, 2)])
    });
    let four = [entry(5, 100, 9), entry(0x0f, 200, 9), entry(0x85, 300, 9), entry(5, 400, 9)];
    let four = [100, 200, 300, 400]
        .into_iter()
        .fold(disk(&four), |disk, sector| at(disk, sector, &[entry(0x83, 1, 8)]));
    let inner =
        at(disk(&extended), 100, &[entry(5, 1, 10), entry(5, 2, 10), entry(5, 3, 10), entry(5, 4, 10)]);
    [
        ("own-link", "a table of logical partitions that is followed by itself", own),
        ("two-in-a-ring", "two tables of logical partitions that follow one another", two),
        ("extended-at-0", "an extended partition that begins with the MBR", to_mbr),
        ("link-beyond", "a chain that goes on behind the disk", beyond),
        ("extended-beyond", "an extended partition where 32 bits end", wraps),
        ("empty-links", "400 tables without a partition", empty_links),
        ("long", "2000 logical partitions, of which Linux sees the first", long),
        ("four-extended", "four extended partitions", four),
        ("extended-in-extended", "a table whose entries are all extended", inner),
    ]
    .into_iter()
    .map(|(name, about, disk)| case(&format!("mbr/{name}"), about, disk, refused()))
    .collect()
}

fn places() -> Vec<Case> {
    let tables: [(&str, &str, Vec<Entry>); 8] = [
        ("all-at-0", "a partition that begins with the MBR", vec![entry(0x83, 0, 16_384)]),
        ("huge", "partitions of 2 TiB on a disk of 8 MiB", vec![entry(0x83, 1, u32::MAX); 4]),
        (
            "beyond",
            "partitions behind the disk",
            vec![entry(0x83, u32::MAX, 1), entry(0x83, 1 << 31, 1 << 31)],
        ),
        ("empty-kinds", "partitions of no sectors", vec![entry(0x83, 100, 0), entry(0xee, 0, 0)]),
        ("guard-alone", "an MBR that guards a GPT that is not there", vec![entry(0xee, 1, u32::MAX)]),
        ("guards", "four guards of a GPT that is not there", vec![entry(0xee, 1, u32::MAX); 4]),
        ("guard-elsewhere", "a guard that begins elsewhere", vec![entry(0xee, 7, 9), entry(0x83, 64, 64)]),
        ("dynamic", "a dynamic disk of Windows without its database", vec![entry(0x42, 63, 16_000)]),
    ];
    let mut cases: Vec<Case> = tables
        .into_iter()
        .map(|(name, about, entries)| case(&format!("mbr/{name}"), about, disk(&entries), refused()))
        .collect();
    let flags = mbr(&[Entry { flag: 0xff, ..entry(0x83, 64, 64) }]);
    cases.push(case("mbr/flags", "flags that are none", Disk::empty(SIZE).put(0, &flags), refused()));
    let tiny = Disk { len: 512, ..Disk::empty(SIZE) }.put(0, &mbr(&[entry(0x83, 0, 1)]));
    cases.push(case("mbr/one-sector", "a disk of one sector, and a partition in it", tiny, refused()));
    for len in [0, 1, 511] {
        cases.push(case(
            &format!("mbr/size-{len}"),
            "a disk that is no sector long",
            Disk::empty(len),
            vec![inspect(&[0, 65]), plan("kvm", &[65, 78])],
        ));
    }
    let vast = Disk::empty(8 << 40).put(0, &mbr(&[entry(0x83, 2048, u32::MAX)]));
    cases.push(case("mbr/vast", "a disk of 8 TiB with nothing on it", vast, refused()));
    cases
}

/// A guest that several partitions have: what is done to one is done to all.
fn one_volume_many_times() -> Vec<Case> {
    let shop = Workshop::new();
    let volume = shop.ext(&Tree::debian(), &["-b", "1024"], "8M", "");
    let (first, sectors) = ((START / SECTOR) as u32, (volume.len / SECTOR) as u32);
    let put = |entries: &[Entry]| {
        Disk::empty(START + volume.len + MIB).put(0, &mbr(entries)).with(volume.clone(), START)
    };
    let active = Entry { flag: 0x80, ..entry(0x83, first, sectors) };
    let twice = put(&[active, entry(0x83, first, sectors)]);
    let inside = put(&[active, entry(0x83, first + 2, sectors - 2)]);
    let many = (0..250).fold(put(&[entry(0x83, first, sectors), entry(5, 1, sectors)]), |disk, step| {
        let link = entry(5, step as u32 + 1, 1);
        at(disk, 1 + step, &[entry(0x83, first - 1 - step as u32, sectors), link])
    });
    let mut cases = vec![
        case("mbr/same-guest-twice", "two partitions at the same place, with a guest", twice, all_of(&[78])),
        case("mbr/overlap", "a partition that begins in the guest's", inside, all_of(&[78])),
        case(
            "mbr/250-views",
            "250 partitions at the same place, with a guest",
            many,
            vec![inspect(&[0]), inspect_json(&[0]), plan("hyperv", &[78])],
        ),
    ];
    cases.push(case(
        "mbr/cut",
        "a guest whose partition is longer than the disk",
        put(&[Entry { sectors: u32::MAX, ..active }]),
        looked(),
    ));
    cases
}
