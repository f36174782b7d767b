//! GUID partition tables, whose checksums are always right.

use super::disk::{Disk, Entry, MIB, SECTOR, crc32, extremes, mbr, put_le};
use super::tools::{Tree, Workshop};
use super::{case, inspect, inspect_json, plan, refused};
use crate::Case;

const SIZE: u64 = 16 * MIB;
const LINUX: [u8; 16] = *b"\xaf\x3d\xc6\x0f\x83\x84\x72\x47\x8e\x79\x3d\x69\xd8\x47\x7d\xe4";

/// A partition: its first and last block, and its name.
#[derive(Clone)]
struct Partition(u64, u64, String);

/// What both copies are made from.
struct Table {
    size: u64,
    entry_size: usize,
    count: u32,
    table: u64,
    partitions: Vec<Partition>,
}

impl Table {
    fn new(partitions: Vec<Partition>) -> Self {
        Self { size: SIZE, entry_size: 128, count: 128, table: 2, partitions }
    }

    fn entries(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.entry_size * self.count.min(1 << 16) as usize];
        for (number, Partition(first, last, name)) in self.partitions.iter().enumerate() {
            let entry = &mut bytes[number * self.entry_size..][..128];
            entry[..16].copy_from_slice(&LINUX);
            put_le(entry, 16, 8, number as u64 + 1);
            put_le(entry, 32, 8, *first);
            put_le(entry, 40, 8, *last);
            for (at, unit) in name.encode_utf16().take(36).enumerate() {
                put_le(entry, 56 + 2 * at, 2, u64::from(unit));
            }
        }
        bytes
    }

    /// A header that lies in block `own`, with `change` done before its checksum is made.
    fn header(&self, own: u64, other: u64, table: u64, change: impl Fn(&mut [u8])) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[..8].copy_from_slice(b"EFI PART");
        let fields = [
            (8, 4, 0x1_0000),
            (12, 4, 92),
            (24, 8, own),
            (32, 8, other),
            (40, 8, 34),
            (48, 8, self.size / SECTOR - 34),
            (56, 8, 0x1122_3344_5566_7788),
            (72, 8, table),
            (80, 4, u64::from(self.count)),
            (84, 4, self.entry_size as u64),
            (88, 4, u64::from(!crc32(!0, &self.entries()))),
        ];
        fields.iter().for_each(|(at, width, value)| put_le(&mut bytes, *at, *width, *value));
        change(&mut bytes);
        seal(&mut bytes);
        bytes
    }

    fn disk(&self, change: impl Fn(&mut [u8])) -> Disk {
        let guard = Entry { kind: 0xee, start: 1, sectors: (self.size / SECTOR - 1) as u32, flag: 0 };
        let last = self.size / SECTOR - 1;
        let behind = last - 32;
        Disk::empty(self.size)
            .put(0, &mbr(&[guard]))
            .put(SECTOR, &self.header(1, last, self.table, &change))
            .put(self.table * SECTOR, &self.entries())
            .put(last * SECTOR, &self.header(last, 1, behind, &change))
            .put(behind * SECTOR, &self.entries()[..32 * 512])
    }
}

fn seal(header: &mut [u8]) {
    let len =
        (u32::from_le_bytes([header[12], header[13], header[14], header[15]]) as usize).min(header.len());
    put_le(header, 16, 4, 0);
    let sum = u64::from(!crc32(!0, &header[..len]));
    put_le(header, 16, 4, sum);
}

fn plain() -> Table {
    Table::new(vec![Partition(2048, 8191, "first".into()), Partition(8192, 20_000, "second".into())])
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = fields();
    cases.extend(entries());
    cases.extend(tables());
    cases.extend(views());
    cases
}

/// Every field of both headers at its extremes.
fn fields() -> Vec<Case> {
    let fields = [
        ("revision", 8, 4),
        ("header-size", 12, 4),
        ("reserved", 20, 4),
        ("own-block", 24, 8),
        ("other-block", 32, 8),
        ("first-usable", 40, 8),
        ("last-usable", 48, 8),
        ("table", 72, 8),
        ("count", 80, 4),
        ("entry-size", 84, 4),
        ("entries-crc", 88, 4),
    ];
    let sweep = fields.into_iter().flat_map(|(name, at, width)| {
        extremes(width).into_iter().map(move |(what, value)| {
            let disk = plain().disk(|header| put_le(header, at, width, value));
            case(&format!("gpt/{name}-{what}"), "a field of both headers", disk, refused())
        })
    });
    let sizes = [64, 127, 129, 132, 4096, 1 << 16].into_iter().map(|size| {
        let disk = plain().disk(|header| put_le(header, 84, 4, size));
        case(&format!("gpt/entry-size-{size}"), "entries of another size than the table has", disk, refused())
    });
    sweep.chain(sizes).collect()
}

fn entries() -> Vec<Case> {
    let one = |name: &str, about: &str, partitions: Vec<Partition>| {
        case(&format!("gpt/{name}"), about, Table::new(partitions).disk(|_| {}), refused())
    };
    let part = |first, last| Partition(first, last, "p".into());
    let names = [
        "\u{1b}[2J\u{1b}]0;x\u{7}",
        "a\nb\rc",
        "\u{202e}txt",
        "\u{9b}31m",
        "\u{0}\u{1}\u{7f}",
        "'\"$(id)`;|&<>",
    ];
    let named = names.iter().enumerate().map(|(at, name)| {
        let at = at as u64;
        Partition(2048 + 64 * at, 2048 + 64 * at + 63, (*name).into())
    });
    vec![
        one(
            "overlap",
            "partitions one in another",
            vec![part(2048, 9000), part(3000, 4000), part(2048, 9000)],
        ),
        one("over-the-table", "a partition that begins with the header", vec![part(1, 9000)]),
        one("from-0", "a partition that begins with the MBR", vec![part(0, 32_000)]),
        one("backwards", "a partition that ends before it begins", vec![part(9000, 2048), part(u64::MAX, 0)]),
        one("last-max", "a partition that ends where 64 bits do", vec![part(2048, u64::MAX)]),
        one(
            "first-max",
            "a partition at the end of 64 bits",
            vec![part(u64::MAX, u64::MAX), part(1 << 55, 1 << 56)],
        ),
        one("beyond", "partitions behind the disk", vec![part(40_000, 50_000), part(30_000, 50_000)]),
        {
            let disk = Table::new(named.collect()).disk(|_| {});
            case(
                "gpt/names",
                "names that steer terminals",
                disk,
                vec![inspect(&[0]), inspect_json(&[0]), plan("kvm", &[78])],
            )
        },
    ]
}

fn tables() -> Vec<Case> {
    let small = |first: u64| Partition(first, first, String::new());
    let many =
        Table { count: 32_768, partitions: (0..20_000).map(|at| small(9000 + at)).collect(), ..plain() };
    let over = Table { count: 32_769, ..plain() };
    let large = Table { entry_size: 4096, count: 64, ..plain() };
    let own = Table { table: 1, ..plain() };
    // Both copies are whole and say different things.
    let other = Table::new(vec![Partition(4096, 30_000, "another".into())]);
    let last = SIZE / SECTOR - 1;
    let contradicts = plain()
        .disk(|_| {})
        .put(last * SECTOR, &other.header(last, 1, last - 32, |_| {}))
        .put((last - 32) * SECTOR, &other.entries());
    let backup_alone = plain().disk(|_| {}).put(SECTOR, &[0; 512]);
    let hybrid = |entries: &[Entry]| plain().disk(|_| {}).put(0, &mbr(entries));
    let e = |kind, start, sectors| Entry { flag: 0x80, kind, start, sectors };
    let list = [
        ("20000-entries", "20,000 partitions of one block", many.disk(|_| {})),
        ("too-many-entries", "a table that is longer than Linux reads", over.disk(|_| {})),
        ("large-entries", "entries of 4 KiB", large.disk(|_| {})),
        ("table-is-header", "a table that lies in its own header", own.disk(|_| {})),
        ("copies-contradict", "two whole copies that say different things", contradicts),
        ("backup-alone", "only the second copy", backup_alone),
        (
            "hybrid-lies",
            "a hybrid MBR with partitions that are not in the GPT",
            hybrid(&[e(0xee, 1, 33), e(0x83, 5000, 9), e(7, 0, u32::MAX), e(0x83, u32::MAX, u32::MAX)]),
        ),
        (
            "hybrid-two-guards",
            "a hybrid MBR with the guard at the end",
            hybrid(&[e(0x83, 2048, 6144), e(0xee, 1, 2047), e(0xee, 20_001, u32::MAX)]),
        ),
        ("guard-from-0", "a guard that begins with itself", hybrid(&[e(0xee, 0, u32::MAX)])),
    ];
    list.into_iter().map(|(name, about, disk)| case(&format!("gpt/{name}"), about, disk, refused())).collect()
}

/// Thousands of partitions that are the same file system: opening one more costs as much as the first.
fn views() -> Vec<Case> {
    let shop = Workshop::new();
    let volume = shop.ext(&Tree::debian(), &["-b", "1024"], "8M", "");
    let at = 4 * MIB;
    let view = Partition(at / SECTOR, (at + volume.len) / SECTOR - 1, "guest".into());
    let table = Table { count: 8192, partitions: vec![view; 8192], ..plain() };
    let disk = table.disk(|_| {}).with(volume, at);
    vec![case(
        "gpt/8192-views",
        "8192 partitions at the same place, with a guest",
        disk,
        vec![inspect(&[0]), plan("hyperv", &[78])],
    )]
}
