//! Registry hives of a small Windows: base block, bins, keys, lists and values.

use super::case;
use super::disk::{Disk, few, get_le, put_le};
use super::ntfs::{system_volume, windows_disk, windows_runs};
use crate::Case;

/// Where the first bin begins.
const BINS: u64 = 4096;
const SYSTEM: &str = "SYSTEM";

/// The hive SYSTEM on the disk.
struct Hive {
    disk: Disk,
    at: u64,
}

impl Hive {
    fn new() -> Self {
        let volume = system_volume(windows_disk("2016-xen-bios"));
        let at = volume.content_of(&volume.named(SYSTEM));
        assert_eq!(volume.disk.read(at, 4), b"regf");
        Self { disk: volume.disk, at }
    }

    /// Where the content of a cell is, by its number in the hive.
    fn cell(&self, number: u64) -> u64 {
        self.at + BINS + number + 4
    }

    fn number(&self, at: u64) -> u64 {
        get_le(&self.disk.read(at, 4), 0, 4)
    }

    fn with(&self, at: u64, width: usize, value: u64) -> Disk {
        self.disk.clone().change(at, width, |bytes| put_le(bytes, 0, width, value))
    }

    /// With a field of the base block, whose checksum is made right.
    fn base(&self, at: usize, width: usize, value: u64) -> Disk {
        self.disk.clone().change(self.at, 512, |bytes| {
            put_le(bytes, at, width, value);
            let sum = (0..127).fold(0, |sum, word| sum ^ get_le(bytes, word * 4, 4));
            let sum = match sum {
                0 => 1,
                0xffff_ffff => 0xffff_fffe,
                sum => sum,
            };
            put_le(bytes, 508, 4, sum);
        })
    }
}

fn one(name: &str, about: &str, disk: Disk) -> Case {
    case(&format!("hive/{name}"), about, disk, windows_runs())
}

pub(super) fn cases() -> Vec<Case> {
    let hive = Hive::new();
    let mut cases = base_block(&hive);
    let root = hive.number(hive.at + 36);
    cases.extend(key(&hive, "root", root));
    cases.extend(lists(&hive, root));
    let control_set = child(&hive, root, "ControlSet001").expect("ControlSet001");
    let services = child(&hive, control_set, "Services").expect("Services");
    cases.extend(key(&hive, "services", services));
    let select = child(&hive, root, "Select").expect("Select");
    cases.extend(values(&hive, select));
    cases.extend(cycles(&hive, root, control_set, services));
    cases
}

/// The subkeys of a key, from a plain list of them.
fn children(hive: &Hive, key: u64) -> Vec<u64> {
    let list = hive.cell(hive.number(hive.cell(key) + 28));
    let head = hive.disk.read(list, 4);
    let step = if matches!(&head[..2], b"lf" | b"lh") { 8 } else { 4 };
    let entries = (0..get_le(&head, 2, 2)).map(|at| hive.number(list + 4 + step * at));
    if &head[..2] == b"ri" {
        return entries
            .flat_map(|inner| {
                let inner = hive.cell(inner);
                let count = get_le(&hive.disk.read(inner + 2, 2), 0, 2);
                (0..count).map(move |at| inner + 4 + 8 * at).map(|at| hive.number(at)).collect::<Vec<_>>()
            })
            .collect();
    }
    entries.collect()
}

fn child(hive: &Hive, key: u64, name: &str) -> Option<u64> {
    children(hive, key).into_iter().find(|child| {
        let at = hive.cell(*child);
        let len = get_le(&hive.disk.read(at + 72, 2), 0, 2) as usize;
        hive.disk.read(at + 76, len).eq_ignore_ascii_case(name.as_bytes())
    })
}

fn base_block(hive: &Hive) -> Vec<Case> {
    let fields = [
        ("first-sequence", 4, 4),
        ("major", 20, 4),
        ("minor", 24, 4),
        ("kind", 28, 4),
        ("format", 32, 4),
        ("root", 36, 4),
        ("length", 40, 4),
        ("cluster", 44, 4),
    ];
    let mut found = Vec::new();
    for (name, at, width) in fields {
        for (what, value) in few(width) {
            found.push(one(
                &format!("base-{name}-{what}"),
                "a field of the base block",
                hive.base(at, width, value),
            ));
        }
    }
    for (name, at) in [("offset", 4u64), ("size", 8)] {
        for (what, value) in few(4) {
            found.push(one(
                &format!("bin-{name}-{what}"),
                "a field of the first bin",
                hive.with(hive.at + BINS + at, 4, value),
            ));
        }
    }
    for (what, value) in few(4) {
        found.push(one(
            &format!("cell-size-{what}"),
            "the size of the first cell",
            hive.with(hive.at + BINS + 32, 4, value),
        ));
    }
    found
}

fn key(hive: &Hive, name: &str, number: u64) -> Vec<Case> {
    let fields = [
        ("signature", 0u64, 2),
        ("flags", 2, 2),
        ("parent", 16, 4),
        ("count", 20, 4),
        ("volatile", 24, 4),
        ("list", 28, 4),
        ("value-count", 36, 4),
        ("values", 40, 4),
        ("security", 44, 4),
        ("class", 48, 4),
        ("name-length", 72, 2),
        ("class-length", 74, 2),
    ];
    let at = hive.cell(number);
    let mut found = Vec::new();
    for (field, place, width) in fields {
        for (what, value) in few(width) {
            found.push(one(
                &format!("{name}-{field}-{what}"),
                "a field of a key",
                hive.with(at + place, width, value),
            ));
        }
    }
    found
}

fn lists(hive: &Hive, root: u64) -> Vec<Case> {
    let list = hive.cell(hive.number(hive.cell(root) + 28));
    let mut found = Vec::new();
    for (field, place, width) in
        [("signature", 0u64, 2), ("count", 2, 2), ("first", 4, 4), ("first-hash", 8, 4), ("second", 12, 4)]
    {
        for (what, value) in few(width) {
            found.push(one(
                &format!("list-{field}-{what}"),
                "a field of a list of keys",
                hive.with(list + place, width, value),
            ));
        }
    }
    found
}

fn values(hive: &Hive, key: u64) -> Vec<Case> {
    let list = hive.cell(hive.number(hive.cell(key) + 40));
    let first = hive.cell(hive.number(list));
    let mut found = Vec::new();
    for (what, value) in few(4) {
        found.push(one(&format!("value-place-{what}"), "where a value lies", hive.with(list, 4, value)));
    }
    for (field, place, width) in [
        ("signature", 0u64, 2),
        ("name-length", 2, 2),
        ("data-length", 4, 4),
        ("data", 8, 4),
        ("kind", 12, 4),
        ("flags", 16, 2),
    ] {
        for (what, value) in few(width) {
            found.push(one(
                &format!("value-{field}-{what}"),
                "a field of a value",
                hive.with(first + place, width, value),
            ));
        }
    }
    // 16 MiB in pieces, of which the list lies in the hive's own root.
    let big = hive.with(first + 4, 4, 16 << 20).change(first + 8, 4, |bytes| put_le(bytes, 0, 4, 32));
    found.push(one("value-16m", "a value of 16 MiB", big));
    found
}

/// Keys and lists that lead to themselves.
fn cycles(hive: &Hive, root: u64, set: u64, services: u64) -> Vec<Case> {
    let list_of = |key: u64| hive.number(hive.cell(key) + 28);
    let indirect = |key: u64, to: u64| {
        let list = hive.cell(list_of(key));
        hive.disk.clone().put(list, b"ri").change(list + 4, 4, |bytes| put_le(bytes, 0, 4, to))
    };
    vec![
        one("list-is-key", "a list of keys that is the key", hive.with(hive.cell(root) + 28, 4, root)),
        one("list-of-itself", "an indirect list that leads to itself", indirect(services, list_of(services))),
        one("list-of-root", "an indirect list that leads to the root's", indirect(services, list_of(root))),
        one(
            "key-of-itself",
            "a key that is its own first subkey",
            hive.with(hive.cell(list_of(services)) + 4, 4, services),
        ),
        one(
            "key-of-root",
            "a key whose first subkey is the root",
            hive.with(hive.cell(list_of(services)) + 4, 4, root),
        ),
        one(
            "set-is-root",
            "a control set that has the root's subkeys",
            hive.with(hive.cell(set) + 28, 4, list_of(root)),
        ),
        one(
            "parent-is-own",
            "a key that is its own parent",
            hive.with(hive.cell(services) + 16, 4, services),
        ),
        one("root-in-services", "a root that is a service", hive.base(36, 4, services)),
    ]
}
