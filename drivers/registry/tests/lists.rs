//! Lists of subkeys that grow beyond one leaf and shrink again, in hives of every version.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod judges;
mod maker;

use driver_registry::{FileTime, Hive};
use judges::{editable, hivex_export, parse_export};
use maker::get32;

const NOW: FileTime = FileTime(1);

fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()))
}

/// The name of the key node at `cell`, of names with one byte for each character.
fn name_of(bytes: &[u8], cell: u32) -> String {
    let at = 4096 + cell as usize + 4;
    String::from_utf8(bytes[at + 76..at + 76 + u16_at(bytes, at + 72)].to_vec()).unwrap()
}

/// The lists of the root: the signature of the first, and of each leaf signature, count and names. Hashes and hints
/// are checked by their own rules.
fn lists(bytes: &[u8]) -> (String, Vec<(String, Vec<String>)>) {
    let list = |cell: u32| 4096 + cell as usize + 4;
    let signature = |at: usize| String::from_utf8(bytes[at..at + 2].to_vec()).unwrap();
    let first = get32(bytes, 0x1024 + 28);
    if first == u32::MAX {
        return (String::new(), Vec::new());
    }
    let at = list(first);
    let leaves: Vec<u32> = match signature(at).as_str() {
        "ri" => (0..u16_at(bytes, at + 2)).map(|index| get32(bytes, at + 4 + index * 4)).collect(),
        _ => vec![first],
    };
    let leaf = |cell: u32| {
        let at = list(cell);
        let kind = signature(at);
        let step = if kind == "li" { 4 } else { 8 };
        let names = (0..u16_at(bytes, at + 2)).map(|index| {
            let entry = at + 4 + index * step;
            let name = name_of(bytes, get32(bytes, entry));
            match kind.as_str() {
                "lh" => {
                    let hash = name.bytes().fold(0u32, |hash, byte| {
                        hash.wrapping_mul(37).wrapping_add(byte.to_ascii_uppercase().into())
                    });
                    assert_eq!(get32(bytes, entry + 4), hash, "{name}");
                }
                "lf" => assert_eq!(&bytes[entry + 4..entry + 8], &name.as_bytes()[..4]),
                _ => {}
            }
            name
        });
        let names = names.collect();
        (kind, names)
    };
    (signature(at), leaves.into_iter().map(leaf).collect())
}

fn sizes(bytes: &[u8]) -> (String, Vec<(String, usize)>) {
    let (root, leaves) = lists(bytes);
    (root, leaves.into_iter().map(|(kind, names)| (kind, names.len())).collect())
}

/// Adds `count` keys in an order of their own, every other one with small letters.
fn grow(minor: u32, count: u32) -> Vec<u8> {
    let mut hive = Hive::open(maker::empty(minor)).unwrap();
    let mut edit = hive.edit(NOW).unwrap();
    for n in 0..count {
        // A permutation: 7919 is prime.
        let n = n * 7919 % count;
        let name = if n.is_multiple_of(2) { format!("Key {n:05}") } else { format!("kEY {n:05}") };
        assert!(edit.create_key(&name, None).unwrap());
    }
    hive.into_bytes().unwrap()
}

#[test]
fn leaves_are_turned_and_cut_at_their_limits() {
    let list = |kind: &str, len: usize| (kind.to_owned(), len);
    for (minor, count, root, leaves) in [
        (3, 507, "lf", vec![list("lf", 507)]),
        (3, 508, "li", vec![list("li", 508)]),
        (4, 1013, "li", vec![list("li", 1013)]),
        (5, 507, "lh", vec![list("lh", 507)]),
    ] {
        assert_eq!(sizes(&grow(minor, count)), (root.to_owned(), leaves), "1.{minor} {count}");
    }
    for (minor, count, kind, limit) in
        [(3, 1014, "li", 1013), (5, 508, "lh", 507), (6, 3000, "lh", 507), (4, 4000, "li", 1013)]
    {
        let bytes = grow(minor, count);
        let (root, leaves) = lists(&bytes);
        assert_eq!(root, "ri");
        assert!(
            leaves.len() >= 2
                && leaves.iter().all(|(it, names)| it == kind && (1..=limit).contains(&names.len()))
        );
        let names: Vec<_> =
            leaves.into_iter().flat_map(|(_, names)| names).map(|name| name.to_uppercase()).collect();
        assert!(names.is_sorted() && names.len() == count as usize);
        // Others see the same.
        assert_eq!(parse_export(&hivex_export(&bytes).unwrap()).len(), count as usize + 1);
        assert_eq!(judges::libregf(&bytes).unwrap().lines().count(), count as usize + 1);
    }
}

#[test]
fn lists_shrink_to_nothing() {
    for minor in [3, 5] {
        let mut hive = Hive::open(grow(minor, 1500)).unwrap();
        let mut edit = hive.edit(NOW).unwrap();
        for n in (0..1500).filter(|n| n % 3 > 0) {
            assert!(edit.delete_key(&format!("KEY {n:05}")).unwrap());
        }
        assert_eq!(edit.hive().check().unwrap().keys, 501);
        let mut bytes = hive.into_bytes().unwrap();
        let names: Vec<_> = lists(&bytes).1.into_iter().flat_map(|(_, names)| names).collect();
        assert!(names.len() == 500 && names.iter().all(|name| name[4..].parse::<u32>().unwrap() % 3 == 0));
        let mut hive = Hive::open(bytes).unwrap();
        let mut edit = hive.edit(NOW).unwrap();
        for n in (0..1500).rev().filter(|n| n % 3 == 0) {
            assert!(edit.delete_key(&format!("key {n:05}")).unwrap());
        }
        bytes = hive.into_bytes().unwrap();
        assert_eq!(sizes(&bytes), (String::new(), Vec::new()));
        let hive = Hive::open(bytes.clone()).unwrap();
        assert_eq!(hive.check().unwrap().keys, 1);
        // Every bin is one free cell, but for the first with root and descriptor.
        let mut at = 0x2000;
        while at < 4096 + get32(&bytes, 40) as usize {
            assert_eq!(get32(&bytes, at + 32), get32(&bytes, at + 8) - 32);
            at += get32(&bytes, at + 8) as usize;
        }
    }
}

/// Windows 7 lets leaves with hashes grow to twice the limit of today.
#[test]
fn large_leaves_of_older_windows_are_cut_when_they_grow() {
    let Some(hives) = editable() else { return };
    let (_, bytes) = hives.into_iter().find(|(name, _)| name == "dfwinreg/SYSTEM").unwrap();
    let mut hive = Hive::open(bytes).unwrap();
    let (mut path, mut largest) = (Vec::new(), (0, String::new()));
    for visit in hive.walk() {
        let visit = visit.unwrap();
        path.truncate(visit.depth.saturating_sub(1));
        if visit.depth > 0 {
            path.push(visit.key.name().to_string());
        }
        let count = visit.key.subkeys().unwrap().len();
        if count > largest.0 {
            largest = (count, path.join("\\"));
        }
    }
    let (count, path) = largest;
    assert!(count > 507);
    let mut edit = hive.edit(NOW).unwrap();
    for n in 0..300 {
        assert!(edit.create_key(&format!("{path}\\{:02x} new {n}", n % 251), None).unwrap());
    }
    let bytes = hive.into_bytes().unwrap();
    let hive = Hive::open(bytes.clone()).unwrap();
    hive.check().unwrap();
    let names: Vec<_> =
        hive.key(&path).unwrap().unwrap().subkeys().unwrap().iter().map(|key| key.name()).collect();
    assert_eq!(names.len(), count + 300);
    assert!(names.iter().map(|name| name.to_string().to_uppercase()).is_sorted());
    assert!(judges::our_content(&hive) == parse_export(&hivex_export(&bytes).unwrap()));
}
