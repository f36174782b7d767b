//! Records of an NTFS volume: where they are, what their attributes are, and where a file's first bytes lie.

use super::disk::{Disk, get_le};

/// Kinds of attributes.
pub(super) const STANDARD: u64 = 0x10;
pub(super) const NAME: u64 = 0x30;
pub(super) const DATA: u64 = 0x80;
pub(super) const INDEX_ROOT: u64 = 0x90;
pub(super) const INDEX: u64 = 0xa0;

/// A volume on a disk.
#[derive(Clone)]
pub(super) struct Volume {
    pub(super) disk: Disk,
    /// Where its boot sector is.
    pub(super) start: u64,
    pub(super) cluster: u64,
    record: u64,
    table: u64,
}

/// A record that is in use.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) at: u64,
    pub(super) name: String,
    pub(super) attributes: Vec<Attribute>,
}

/// An attribute, by its place on the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute {
    pub(super) kind: u64,
    pub(super) at: u64,
    pub(super) is_resident: bool,
}

impl Volume {
    pub(super) fn new(disk: Disk, start: u64) -> Self {
        let boot = disk.read(start, 512);
        assert_eq!(&boot[3..11], b"NTFS    ");
        let cluster = get_le(&boot, 11, 2) * get_le(&boot, 13, 1);
        let table = start + get_le(&boot, 48, 8) * cluster;
        let record =
            if boot[64] > 127 { 1 << (256 - u64::from(boot[64])) } else { u64::from(boot[64]) * cluster };
        Self { disk, start, cluster, record, table }
    }

    /// The records from the first on, as far as the table lies in one piece.
    pub(super) fn records(&self) -> Vec<Record> {
        let at = |number: u64| self.table + number * self.record;
        (0..4000)
            .map(at)
            .take_while(|at| *at + 1024 <= self.disk.len)
            .filter_map(|at| self.record_at(at))
            .collect()
    }

    pub(super) fn named(&self, name: &str) -> Record {
        self.records()
            .into_iter()
            .find(|record| record.name == name)
            .unwrap_or_else(|| panic!("no record of {name}"))
    }

    fn record_at(&self, at: u64) -> Option<Record> {
        let bytes = self.disk.read(at, self.record as usize);
        if &bytes[..4] != b"FILE" || bytes[22] & 1 == 0 {
            return None;
        }
        let (mut place, mut attributes, mut name) =
            (get_le(&bytes, 20, 2) as usize, Vec::new(), String::new());
        while place + 24 <= bytes.len() && get_le(&bytes, place, 4) != 0xffff_ffff {
            let (kind, len) = (get_le(&bytes, place, 4), get_le(&bytes, place + 4, 4) as usize);
            if len == 0 {
                break;
            }
            if kind == NAME {
                let value = place + get_le(&bytes, place + 20, 2) as usize;
                let units = (0..usize::from(bytes[value + 64]))
                    .map(|unit| get_le(&bytes, value + 66 + 2 * unit, 2) as u16);
                name = String::from_utf16_lossy(&units.collect::<Vec<_>>());
            }
            attributes.push(Attribute { kind, at: at + place as u64, is_resident: bytes[place + 8] == 0 });
            place += len;
        }
        Some(Record { at, name, attributes })
    }

    /// The first byte of a file's content, which lies in clusters.
    pub(super) fn content_of(&self, record: &Record) -> u64 {
        let data = record.of(DATA);
        let head = self.disk.read(data.at, 80);
        let runs = self.disk.read(data.at + get_le(&head, 32, 2), 16);
        let (len, width) = (usize::from(runs[0] & 15), usize::from(runs[0] >> 4));
        self.start + get_le(&runs, 1 + len, width) * self.cluster
    }
}

impl Record {
    pub(super) fn of(&self, kind: u64) -> Attribute {
        let found = self.attributes.iter().find(|attribute| attribute.kind == kind);
        *found.unwrap_or_else(|| panic!("{} has no attribute {kind:#x}", self.name))
    }
}

/// Fields of a record's header.
pub(super) const HEADER: &[(&str, usize, usize)] = &[
    ("fixups", 4, 2),
    ("fixup-count", 6, 2),
    ("sequence", 16, 2),
    ("links", 18, 2),
    ("attributes", 20, 2),
    ("flags", 22, 2),
    ("used", 24, 4),
    ("allocated", 28, 4),
    ("base", 32, 8),
    ("number", 44, 4),
];

/// Fields of an attribute whose value is in the record.
pub(super) const RESIDENT: &[(&str, usize, usize)] = &[
    ("kind", 0, 4),
    ("length", 4, 4),
    ("form", 8, 1),
    ("name-length", 9, 1),
    ("name", 10, 2),
    ("flags", 12, 2),
    ("value-length", 16, 4),
    ("value", 20, 2),
];

/// Fields of an attribute whose value is in clusters.
pub(super) const MAPPED: &[(&str, usize, usize)] = &[
    ("kind", 0, 4),
    ("length", 4, 4),
    ("form", 8, 1),
    ("name-length", 9, 1),
    ("flags", 12, 2),
    ("first", 16, 8),
    ("last", 24, 8),
    ("runs", 32, 2),
    ("unit", 34, 2),
    ("allocated", 40, 8),
    ("size", 48, 8),
    ("initialized", 56, 8),
];

/// Lists of runs that lead astray.
pub(super) const RUNS: &[(&str, &[u8])] = &[
    ("none", b"\x00"),
    ("no-length", b"\x10\x01\x00"),
    ("length-0", b"\x11\x00\x01\x00"),
    ("length-negative", b"\x11\xff\x01\x00"),
    ("length-max", b"\x18\xff\xff\xff\xff\xff\xff\xff\x7f\x01\x00"),
    ("length-min", b"\x18\x00\x00\x00\x00\x00\x00\x00\x80\x01\x00"),
    ("place-negative", b"\x11\x01\xff\x00"),
    ("place-max", b"\x81\x01\xff\xff\xff\xff\xff\xff\xff\x7f\x00"),
    ("place-boot", b"\x11\x08\x00\x00"),
    ("place-table", b"\x11\x40\x04\x00"),
    ("wide", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
    ("sparse-huge", b"\x06\xff\xff\xff\xff\xff\x0f\x00"),
    ("sum-wraps", b"\x18\xff\xff\xff\xff\xff\xff\xff\x3f\x01\x08\xff\xff\xff\xff\xff\xff\xff\x3f\x00"),
    ("same-often", b"\x11\x01\x64\x11\x01\x00\x11\x01\x00\x11\x01\x00\x11\x01\x00\x00"),
    ("no-end", b"\x11\x01\x64\x11\x01\x00\x11\x01\x00\x11\x01\x00\x11\x01\x00\x11"),
];
